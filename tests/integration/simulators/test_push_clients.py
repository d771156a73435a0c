"""FCM and APNs, judged by firebase-admin, google-auth and aioapns, which were written against the real ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import firebase_admin
import pytest
import requests
from aioapns import APNs, NotificationRequest, PushType
from aioapns.connection import APNsProductionClientProtocol
from firebase_admin import credentials, exceptions, messaging
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import Request
from google.oauth2 import service_account

from services.simulators.credentials import ServiceAccount
from services.simulators.script import Fault, Script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from services.simulators.testing import RunningSimulators

TOKEN = "foreign-device-1"
SCOPES = ["https://www.googleapis.com/auth/firebase.messaging"]


def google_credentials(info: dict[str, str]) -> service_account.Credentials:
    load: Callable[..., service_account.Credentials] = service_account.Credentials.from_service_account_info
    return load(info, scopes=SCOPES)


async def test_google_auth_gets_a_token(trusting: RunningSimulators) -> None:
    account = google_credentials(trusting.service_account_json())
    with requests.Session() as session:
        await asyncio.to_thread(account.refresh, Request(session=session))
    assert account.valid
    assert trusting.fcm.tokens.project_of(f"Bearer {account.token}") == "clarion-test"


async def test_google_auth_is_told_of_a_wrong_key(trusting: RunningSimulators) -> None:
    stranger = ServiceAccount.generate(project_id="clarion-test").google_json(token_uri=trusting.fcm.token_url)
    account = google_credentials(stranger)
    with requests.Session() as session, pytest.raises(RefreshError, match="invalid_grant"):
        await asyncio.to_thread(account.refresh, Request(session=session))


@pytest.fixture
def firebase(trusting: RunningSimulators, monkeypatch: pytest.MonkeyPatch) -> Iterator[firebase_admin.App]:
    monkeypatch.setattr(
        messaging._MessagingService,
        "FCM_URL",
        f"{trusting.fcm.url}/v1/projects/{{0}}/messages:send",
    )
    certificate = credentials.Certificate(trusting.service_account_json())
    app = firebase_admin.initialize_app(certificate, name="fidelity")
    service = messaging._get_messaging_service(app)
    # Its own retries of 500 and 503 would wait for seconds.
    service._client.session.mount(trusting.fcm.url, requests.adapters.HTTPAdapter(max_retries=0))
    yield app
    service._client.close()
    app._services.clear()
    firebase_admin.delete_app(app)


@pytest.mark.filterwarnings("ignore:Message.token is deprecated:DeprecationWarning")
async def test_firebase_admin_sends(trusting: RunningSimulators, firebase: firebase_admin.App) -> None:
    message = messaging.Message(
        token=TOKEN,
        notification=messaging.Notification(title="Hi", body="there"),
        data={"delivery": "d-1"},
        android=messaging.AndroidConfig(priority="high", ttl=3600, collapse_key="c"),
    )
    name = await asyncio.to_thread(messaging.send, message, app=firebase)
    [kept] = trusting.fcm.ledger.messages(TOKEN)
    assert kept.content["name"] == name
    sent: Any = kept.content["message"]
    assert sent["android"] == {"priority": "high", "ttl": "3600s", "collapse_key": "c"}


async def test_firebase_admin_sends_to_an_installation(
    trusting: RunningSimulators, firebase: firebase_admin.App
) -> None:
    await asyncio.to_thread(messaging.send, messaging.Message(fid="cIL7fF2jQx2m0KZr4f3b1A"), app=firebase)
    assert len(trusting.fcm.ledger.messages("cIL7fF2jQx2m0KZr4f3b1A")) == 1


@pytest.mark.filterwarnings("ignore:Message.token is deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    ("error", "raised"),
    [
        ("UNREGISTERED", messaging.UnregisteredError),
        ("SENDER_ID_MISMATCH", messaging.SenderIdMismatchError),
        ("THIRD_PARTY_AUTH_ERROR", messaging.ThirdPartyAuthError),
        ("QUOTA_EXCEEDED", messaging.QuotaExceededError),
        ("INVALID_ARGUMENT", exceptions.InvalidArgumentError),
        ("INTERNAL", exceptions.InternalError),
        ("UNAVAILABLE", exceptions.UnavailableError),
    ],
)
async def test_firebase_admin_reads_every_error(
    trusting: RunningSimulators, firebase: firebase_admin.App, error: str, raised: type[Exception]
) -> None:
    await trusting.fcm.play(Script(faults=(Fault(match=TOKEN, error=error),)))
    with pytest.raises(raised):
        await asyncio.to_thread(messaging.send, messaging.Message(token=TOKEN), app=firebase)


@pytest.fixture
async def apns(simulators: RunningSimulators, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[APNs]:
    monkeypatch.setattr(APNsProductionClientProtocol, "APNS_SERVER", "127.0.0.1")
    monkeypatch.setattr(APNsProductionClientProtocol, "APNS_PORT", simulators.apns.port)
    key = simulators.apns_key
    context = simulators.client_context()
    context.set_alpn_protocols(["h2"])
    client = APNs(
        key=key.private_key,
        key_id=key.key_id,
        team_id=key.team_id,
        topic=key.topic,
        ssl_context=context,
        max_connections=1,
    )
    yield client
    client.pool.close()


def push(number: int = 1) -> NotificationRequest:
    return NotificationRequest(
        device_token=f"{number:064x}",
        message={"aps": {"alert": "hello", "badge": number}},
        time_to_live=60,
        push_type=PushType.ALERT,
    )


async def test_aioapns_pushes_many_on_one_connection(simulators: RunningSimulators, apns: APNs) -> None:
    assert (await apns.send_notification(push(0))).is_successful
    results = await asyncio.gather(*(apns.send_notification(push(number)) for number in range(1, 100)))
    assert {result.status for result in results} == {"200"}
    assert simulators.apns.ledger.accepted == 100


async def test_aioapns_reads_reason_and_timestamp(simulators: RunningSimulators, apns: APNs) -> None:
    fault = Fault(match=f"{1:064x}", error="Unregistered", timestamp_ms=1_700_000_000_000)
    await simulators.apns.play(Script(faults=(fault,)))
    result = await apns.send_notification(push())
    assert (result.status, result.description, result.timestamp) == ("410", "Unregistered", 1_700_000_000_000)
