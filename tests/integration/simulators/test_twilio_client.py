"""The SMS gateway, judged by Twilio's own client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]
from twilio.http.http_client import TwilioHttpClient  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

from services.simulators.script import Fault, Script

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.simulators.testing import RunningSimulators


@pytest.fixture
def twilio(trusting: RunningSimulators) -> Client:
    http = TwilioHttpClient(pool_connections=False)
    account = trusting.sms_account
    client = Client(account.account_sid, account.auth_token, http_client=http)
    client.api.base_url = trusting.sms.url
    return client


def text(client: Client, to: str = "+15005550010", **changes: str) -> Callable[[], Any]:
    return lambda: client.messages.create(**{"to": to, "from_": "+15005550006", "body": "hello", **changes})


async def test_twilio_creates_and_fetches_a_message(trusting: RunningSimulators, twilio: Client) -> None:
    created = await asyncio.to_thread(text(twilio))
    assert (created.status, created.direction, created.num_segments) == ("queued", "outbound-api", "1")
    assert created.date_created is not None
    assert created.error_code is None
    await trusting.sms.callbacks.idle()
    fetched = await asyncio.to_thread(lambda: twilio.messages(created.sid).fetch())
    assert (fetched.sid, fetched.to, fetched.body, fetched.status) == (
        created.sid, "+15005550010", "hello", "delivered",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"to": "5005550010"}, 400, 21211),
        ({"to": "+0123456789"}, 400, 21211),
        ({"from_": "not a number!"}, 400, 21212),
        ({"from_": "+15005559999"}, 400, 21606),
        ({"body": ""}, 400, 21602),
        ({"body": "x" * 1601}, 400, 21617),
        ({"status_callback": "ftp://example.com"}, 400, 21609),
    ],
)
async def test_twilio_is_refused_with_the_code(
    trusting: RunningSimulators, twilio: Client, changes: dict[str, str], status: int, code: int
) -> None:
    with pytest.raises(TwilioRestException) as refused:
        await asyncio.to_thread(text(twilio, **changes))
    assert (refused.value.status, refused.value.code) == (status, code)
    assert trusting.sms.ledger.accepted == 0


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("20003", 401), ("20404", 404), ("20429", 429), ("20500", 500), ("20503", 503),
        ("21408", 400), ("21608", 400), ("21610", 400), ("21611", 429), ("21612", 400), ("21614", 400),
    ],
)  # fmt: skip
async def test_twilio_reads_every_scripted_code(
    trusting: RunningSimulators, twilio: Client, code: str, status: int
) -> None:
    await trusting.sms.play(Script(faults=(Fault(match="+15005550010", error=code),)))
    with pytest.raises(TwilioRestException) as refused:
        await asyncio.to_thread(text(twilio))
    assert (refused.value.status, refused.value.code) == (status, int(code))
    assert (await asyncio.to_thread(text(twilio, to="+15005550011"))).status == "queued"


async def test_twilio_with_a_wrong_token_is_not_let_in(trusting: RunningSimulators, twilio: Client) -> None:
    twilio.auth = (twilio.username, "wrong")
    with pytest.raises(TwilioRestException) as refused:
        await asyncio.to_thread(text(twilio))
    assert (refused.value.status, refused.value.code) == (401, 20003)
