from __future__ import annotations

import asyncio
import json
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import jwt
import pytest
from h2.errors import ErrorCodes

from services.simulators.apns.request import REASONS
from services.simulators.credentials import ApnsKey
from services.simulators.script import Action, Fault, Limit, Outage, Scope, Script
from tests.integration.simulators.http2_client import Http2Client, http2_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.simulators.testing import RunningSimulators
    from tests.integration.simulators.conftest import MovableClock

TOKEN = "ab" * 32
PAYLOAD = json.dumps({"aps": {"alert": "hello"}}).encode()


def provider_token(key: ApnsKey, issued_at: float, **changes: object) -> str:
    claims = {"iss": key.team_id, "iat": int(issued_at), **changes}
    return jwt.encode(claims, key.private_key, algorithm="ES256", headers={"kid": key.key_id})


def headers(
    bearer: str | None, *, token: str = TOKEN, method: str = "POST", path: str | None = None, **apns: str | None
) -> list[tuple[str, str]]:
    given = {"topic": "org.clarion.app", "push-type": "alert", **{k.replace("_", "-"): v for k, v in apns.items()}}
    head = [
        (":method", method),
        (":scheme", "https"),
        (":authority", "api.push.apple.com"),
        (":path", path or f"/3/device/{token}"),
    ]
    if bearer is not None:
        head.append(("authorization", f"bearer {bearer}"))
    return [*head, *((f"apns-{name}", value) for name, value in given.items() if value is not None)]


@pytest.fixture
def bearer(simulators: RunningSimulators, clock: MovableClock) -> str:
    return provider_token(simulators.apns_key, clock())


@asynccontextmanager
async def connected(simulators: RunningSimulators) -> AsyncIterator[Http2Client]:
    async with http2_client("127.0.0.1", simulators.apns.port, simulators.client_context()) as client:
        yield client


@pytest.fixture
async def client(simulators: RunningSimulators) -> AsyncIterator[Http2Client]:
    async with connected(simulators) as connection:
        yield connection


async def test_an_accepted_push_is_answered_with_an_empty_200_and_kept(
    simulators: RunningSimulators, client: Http2Client, bearer: str
) -> None:
    own_id = str(uuid.uuid4())
    head = headers(bearer, id=own_id, priority="5", expiration="1700000000", collapse_id="c" * 64)
    answer = await client.send(head, PAYLOAD)
    assert (answer.status, answer.headers["apns-id"], answer.body) == (200, own_id, b"")
    [kept] = simulators.apns.ledger.messages(TOKEN)
    assert kept.content == {
        "team_id": "TEAM123456",
        "apns_id": own_id,
        "topic": "org.clarion.app",
        "push_type": "alert",
        "priority": "5",
        "expiration": "1700000000",
        "collapse_id": "c" * 64,
        "payload": {"aps": {"alert": "hello"}},
    }


async def test_a_missing_apns_id_is_generated(client: Http2Client, bearer: str) -> None:
    answer = await client.send(headers(bearer), PAYLOAD)
    assert str(uuid.UUID(answer.headers["apns-id"])).upper() == answer.headers["apns-id"]


@pytest.mark.parametrize(("reason", "status"), sorted(REASONS.items()))
async def test_every_reason_can_be_scripted(
    simulators: RunningSimulators, client: Http2Client, bearer: str, reason: str, status: int
) -> None:
    await simulators.apns.play(Script(faults=(Fault(match=TOKEN, error=reason, timestamp_ms=1_700_000_000_123),)))
    answer = await client.send(headers(bearer), PAYLOAD)
    assert (answer.status, answer.reason) == (status, reason)
    assert json.loads(answer.body).get("timestamp") == (1_700_000_000_123 if status == 410 else None)
    assert simulators.apns.counts() == {reason: 1}
    spared = await client.send(headers(bearer, token="cd" * 32), PAYLOAD)
    assert spared.status == 200


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"method": "GET"}, "MethodNotAllowed"),
        ({"path": "/3/devices/x"}, "BadPath"),
        ({"path": "/3/device/"}, "MissingDeviceToken"),
        ({"token": "zz" * 32}, "BadDeviceToken"),
        ({"token": "ab" * 31}, "BadDeviceToken"),
        ({"id": "not-a-uuid"}, "BadMessageId"),
        ({"push_type": "shout"}, "InvalidPushType"),
        ({"expiration": "tomorrow"}, "BadExpirationDate"),
        ({"expiration": "-1"}, "BadExpirationDate"),
        ({"priority": "7"}, "BadPriority"),
        ({"push_type": "background", "priority": "10"}, "BadPriority"),
        ({"collapse_id": "c" * 65}, "BadCollapseId"),
        ({"topic": None}, "MissingTopic"),
        ({"topic": "no topic"}, "BadTopic"),
        ({"topic": "org.somebody.else"}, "TopicDisallowed"),
    ],
)
async def test_a_wrong_request_gets_its_reason(
    simulators: RunningSimulators, client: Http2Client, bearer: str, changes: dict[str, str | None], reason: str
) -> None:
    answer = await client.send(headers(bearer, **changes), PAYLOAD)  # type: ignore[arg-type]
    assert (answer.status, answer.reason) == (REASONS[reason], reason)
    assert simulators.apns.counts() == {reason: 1}


async def test_a_header_given_twice_is_refused(client: Http2Client, bearer: str) -> None:
    answer = await client.send([*headers(bearer), ("apns-topic", "org.clarion.app")], PAYLOAD)
    assert answer.reason == "DuplicateHeaders"


def sized(size: int) -> bytes:
    frame = len(json.dumps({"a": ""}))
    return json.dumps({"a": "x" * (size - frame)}).encode()


@pytest.mark.parametrize(
    ("push_type", "body", "reason"),
    [
        ("alert", sized(4096), None),
        ("alert", sized(4097), "PayloadTooLarge"),
        ("alert", sized(200_000), "PayloadTooLarge"),
        ("voip", sized(5120), None),
        ("voip", sized(5121), "PayloadTooLarge"),
        ("alert", b"", "PayloadEmpty"),
        ("alert", b"[]", "PayloadEmpty"),
        ("alert", b"{}", "PayloadEmpty"),
    ],
)
async def test_payload_limits_hold_to_the_byte(
    client: Http2Client, bearer: str, push_type: str, body: bytes, reason: str | None
) -> None:
    topic = "org.clarion.app.voip" if push_type == "voip" else "org.clarion.app"
    number = await client.open(headers(bearer, push_type=push_type, topic=topic), end=not body)
    for start in range(0, len(body), 16_000):
        chunk = body[start : start + 16_000]
        if start + 16_000 >= len(body):
            await client.finish(number, chunk)
        else:
            await client.more(number, chunk)
    answer = await client.answer(number)
    assert answer.status == (200 if reason is None else REASONS[reason])
    if reason is not None:
        assert answer.reason == reason


async def test_a_token_must_be_there(client: Http2Client) -> None:
    assert (await client.send(headers(None), PAYLOAD)).reason == "MissingProviderToken"


async def test_a_token_must_be_signed_by_a_registered_key(
    simulators: RunningSimulators, client: Http2Client, clock: MovableClock
) -> None:
    own = simulators.apns_key
    other = ApnsKey.generate(team_id=own.team_id, key_id=own.key_id, topic=own.topic)
    unknown_key = own.model_copy(update={"key_id": "KEY0000000"})
    unknown_team = own.model_copy(update={"team_id": "TEAM000000"})
    tokens = [provider_token(key, clock()) for key in (other, unknown_key, unknown_team)]
    no_age = jwt.encode({"iss": own.team_id}, own.private_key, algorithm="ES256", headers={"kid": own.key_id})
    for wrong in (*tokens, no_age, "made.up", "nonsense"):
        answer = await client.send(headers(wrong), PAYLOAD)
        assert (answer.status, answer.reason) == (403, "InvalidProviderToken")


async def test_a_token_older_than_an_hour_is_expired(client: Http2Client, bearer: str, clock: MovableClock) -> None:
    clock.ahead = 3590
    assert (await client.send(headers(bearer), PAYLOAD)).status == 200
    clock.ahead = 3602
    answer = await client.send(headers(bearer), PAYLOAD)
    assert (answer.status, answer.reason) == (403, "ExpiredProviderToken")


async def test_a_team_may_renew_its_token_every_20_minutes_whatever_the_connection(
    simulators: RunningSimulators, client: Http2Client, bearer: str, clock: MovableClock
) -> None:
    assert (await client.send(headers(bearer), PAYLOAD)).status == 200
    clock.ahead = 1190
    renewed = provider_token(simulators.apns_key, clock())
    async with connected(simulators) as replica:
        answer = await replica.send(headers(renewed), PAYLOAD)
        assert (answer.status, answer.reason) == (429, "TooManyProviderTokenUpdates")
        assert (await replica.send(headers(bearer), PAYLOAD)).status == 200
        clock.ahead = 1210
        assert (await replica.send(headers(renewed), PAYLOAD)).status == 200


async def test_a_connection_belongs_to_one_team(
    simulators: RunningSimulators, client: Http2Client, bearer: str, clock: MovableClock
) -> None:
    other = ApnsKey.generate(team_id="TEAM222222", key_id="KEY2222222", topic="org.other.app")
    simulators.apns.register(other.team())
    token = provider_token(other, clock())
    assert (await client.send(headers(bearer), PAYLOAD)).status == 200
    answer = await client.send(headers(token, topic="org.other.app"), PAYLOAD)
    assert (answer.status, answer.reason) == (403, "InvalidProviderToken")
    async with connected(simulators) as own:
        assert (await own.send(headers(token, topic="org.other.app"), PAYLOAD)).status == 200


async def test_one_stream_is_allowed_until_a_request_is_authenticated(client: Http2Client, bearer: str) -> None:
    await client.until_streams(1)
    first = await client.open(headers(bearer), end=False)
    with client.ignoring_limits():
        second = await client.open(headers(bearer), PAYLOAD)
    refused = await client.answer(second)
    assert refused.reset == ErrorCodes.REFUSED_STREAM
    await client.finish(first, PAYLOAD)
    assert (await client.answer(first)).status == 200
    await client.until_streams(1000)
    streams = [await client.open(headers(bearer, token=f"{n:064x}"), PAYLOAD) for n in range(200)]
    assert {(await client.answer(stream)).status for stream in streams} == {200}


async def test_an_unauthenticated_request_opens_no_more_streams(
    simulators: RunningSimulators, client: Http2Client
) -> None:
    await client.until_streams(1)
    await client.send(headers("made.up"), PAYLOAD)
    assert client.max_streams == [1]
    assert simulators.apns.ledger.accepted == 0


async def test_a_dead_token_may_answer_200_for_a_while(
    simulators: RunningSimulators, client: Http2Client, bearer: str, clock: MovableClock
) -> None:
    by_count = Fault(match=TOKEN, error="Unregistered", skip=2)
    by_time = Fault(match="cd" * 32, error="Unregistered", after_seconds=60)
    await simulators.apns.play(Script(faults=(by_count, by_time)))
    assert [(await client.send(headers(bearer), PAYLOAD)).status for _ in range(3)] == [200, 200, 410]
    assert (await client.send(headers(bearer, token="cd" * 32), PAYLOAD)).status == 200
    clock.ahead = 61
    answer = await client.send(headers(bearer, token="cd" * 32), PAYLOAD)
    assert answer.status == 410
    assert json.loads(answer.body)["timestamp"] == pytest.approx(clock() * 1000, abs=5000)


async def test_too_many_requests_to_one_device(simulators: RunningSimulators, client: Http2Client, bearer: str) -> None:
    await simulators.apns.play(Script(limits=(Limit(requests=1, window_seconds=60, scope=Scope.ADDRESS),)))
    assert (await client.send(headers(bearer), PAYLOAD)).status == 200
    answer = await client.send(headers(bearer), PAYLOAD)
    assert (answer.status, answer.reason) == (429, "TooManyRequests")
    assert (await client.send(headers(bearer, token="cd" * 32), PAYLOAD)).status == 200


async def test_goaway_finishes_what_is_under_way_and_processes_nothing_later(
    simulators: RunningSimulators, client: Http2Client, bearer: str
) -> None:
    assert (await client.send(headers(bearer), PAYLOAD)).status == 200
    slow, leaving = "cd" * 32, "ef" * 32
    faults = (
        Fault(match=slow, latency_seconds=0.2),
        Fault(match=leaving, action=Action.GOAWAY, error="IdleTimeout"),
    )
    await simulators.apns.play(Script(faults=faults))
    under_way = await client.open(headers(bearer, token=slow), PAYLOAD)
    refused = await client.open(headers(bearer, token=leaving), PAYLOAD)
    await client.until_closed()
    assert client.goaway is not None
    assert client.goaway.last_stream_id == under_way < refused
    assert json.loads(client.goaway.additional_data or b"") == {"reason": "IdleTimeout"}
    assert client.late_frames
    assert [each.address for each in simulators.apns.ledger.messages()] == [TOKEN, slow]


async def test_goaway_reaches_every_connection(simulators: RunningSimulators, client: Http2Client, bearer: str) -> None:
    async with connected(simulators) as other:
        for each in (client, other):
            assert (await each.send(headers(bearer), PAYLOAD)).status == 200
        assert simulators.apns.go_away("Shutdown") == 2
        for each in (client, other):
            await each.until_closed()
            assert each.goaway is not None
            assert each.goaway.error_code == ErrorCodes.NO_ERROR


async def test_an_outage_resets_open_connections(
    simulators: RunningSimulators, client: Http2Client, bearer: str
) -> None:
    assert (await client.send(headers(bearer), PAYLOAD)).status == 200
    await simulators.apns.play(Script(outage=Outage.REFUSE))
    await client.until_closed()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", simulators.apns.port)


async def test_frames_that_break_the_protocol_end_the_connection(simulators: RunningSimulators) -> None:
    context = simulators.client_context()
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", simulators.apns.port, ssl=context)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(10):
        while await reader.read(65_536):
            pass
    writer.close()
    await writer.wait_closed()
