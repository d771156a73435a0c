from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import aiohttp
import pytest

from services.simulators.script import Action, Fault, Limit, Outage, Scope, Script
from tests.integration.simulators.fcm_client import (
    TOKEN,
    fcm_code,
    fields,
    send,
)
from tests.integration.simulators.http2_client import http2_client

if TYPE_CHECKING:
    from services.simulators.testing import RunningSimulators
    from tests.integration.simulators.conftest import MovableClock


async def test_an_accepted_message_is_named_and_kept(
    http: aiohttp.ClientSession, simulators: RunningSimulators, bearer: str
) -> None:
    message = {"token": TOKEN, "notification": {"title": "Hi", "body": "there"}, "data": {"k": "v"}}
    status, _, body = await send(http, simulators, bearer, message)
    assert status == 200
    assert body["name"].startswith("projects/clarion-test/messages/")
    [kept] = simulators.fcm.ledger.messages(TOKEN)
    assert kept.content["message"] == message
    assert kept.content["name"] == body["name"]
    assert simulators.fcm.counts() == {"accepted": 1}


async def test_a_dry_run_is_checked_but_not_kept(
    http: aiohttp.ClientSession, simulators: RunningSimulators, bearer: str
) -> None:
    status, _, body = await send(http, simulators, bearer, {"token": TOKEN}, validate_only=True)
    assert (status, body["name"]) == (200, "projects/clarion-test/messages/fake_message_id")
    assert simulators.fcm.counts() == {}


@pytest.mark.parametrize(
    ("error", "status", "canonical"),
    [
        ("INVALID_ARGUMENT", 400, "INVALID_ARGUMENT"),
        ("UNREGISTERED", 404, "NOT_FOUND"),
        ("SENDER_ID_MISMATCH", 403, "PERMISSION_DENIED"),
        ("THIRD_PARTY_AUTH_ERROR", 401, "UNAUTHENTICATED"),
        ("QUOTA_EXCEEDED", 429, "RESOURCE_EXHAUSTED"),
        ("INTERNAL", 500, "INTERNAL"),
        ("UNAVAILABLE", 503, "UNAVAILABLE"),
    ],
)
async def test_a_scripted_error_is_answered_as_fcm_does(
    http: aiohttp.ClientSession, simulators: RunningSimulators, bearer: str, error: str, status: int, canonical: str
) -> None:
    await simulators.fcm.play(Script(faults=(Fault(match=TOKEN, error=error, retry_after_seconds=7),)))
    got, headers, body = await send(http, simulators, bearer, {"token": TOKEN})
    assert (got, body["error"]["code"], body["error"]["status"]) == (status, status, canonical)
    assert fcm_code(body) == error
    assert headers["retry-after"] == "7"
    assert simulators.fcm.counts() == {error: 1}
    other, _, _ = await send(http, simulators, bearer, {"token": "another-device"})
    assert other == 200


async def test_a_load_balancer_answers_in_html(
    http: aiohttp.ClientSession, simulators: RunningSimulators, bearer: str
) -> None:
    await simulators.fcm.play(Script(faults=(Fault(error="HTML_502"),)))
    status, headers, body = await send(http, simulators, bearer, {"token": TOKEN})
    assert status == 502
    assert headers["content-type"].startswith("text/html")
    assert "<title>Error 502" in body


@pytest.mark.parametrize(
    ("message", "wrong"),
    [
        ({}, ["message"]),
        ({"token": "with space"}, ["message.token"]),
        ({"token": "x"}, ["message.token"]),
        ({"token": TOKEN, "topic": "news"}, ["message"]),
        ({"topic": "no/slash"}, ["message.topic"]),
        ({"token": TOKEN, "data": {"from": "me"}}, ["message.data"]),
        ({"token": TOKEN, "data": {"gcm": "me"}}, ["message.data"]),
        ({"token": TOKEN, "data": {"google.sent": "1"}}, ["message.data"]),
        ({"token": TOKEN, "android": {"data": {"googleX": "1"}}}, ["message.android.data"]),
        ({"token": TOKEN, "android": {"ttl": "2419201s"}}, ["message.android.ttl"]),
        ({"token": TOKEN, "android": {"ttl": "-1s"}}, ["message.android.ttl"]),
        ({"token": TOKEN, "android": {"ttl": "60"}}, ["message.android.ttl"]),
        ({"token": TOKEN, "android": {"priority": "urgent"}}, ["message.android.priority"]),
        ({"token": "x", "data": {"from": "me"}}, ["message.token", "message.data"]),
    ],
)
async def test_a_wrong_message_is_refused_with_every_field_named(
    http: aiohttp.ClientSession, simulators: RunningSimulators, bearer: str, message: object, wrong: list[str]
) -> None:
    status, _, body = await send(http, simulators, bearer, message)
    assert (status, body["error"]["status"], fcm_code(body)) == (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")
    assert fields(body) == wrong
    assert simulators.fcm.counts() == {"INVALID_ARGUMENT": 1}


@pytest.mark.parametrize(
    ("message", "wrong"),
    [
        ({"token": TOKEN, "data": {"n": 12}}, ["message.data[0].value"]),
        ({"token": TOKEN, "colour": "red"}, ["message"]),
        ({"token": TOKEN, "android": {"colour": "red"}}, ["message.android"]),
        ({"token": 7}, ["message.token"]),
        ({"token": TOKEN, "apns": []}, ["message.apns"]),
        ("text", ["message"]),
    ],
)
async def test_what_does_not_fit_the_schema_carries_no_fcm_error(
    http: aiohttp.ClientSession, simulators: RunningSimulators, bearer: str, message: object, wrong: list[str]
) -> None:
    status, _, body = await send(http, simulators, bearer, message)
    assert (status, fcm_code(body), fields(body)) == (400, None, wrong)


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ({"token": TOKEN, "data": {"k": "x" * 4095}}, 200),
        ({"token": TOKEN, "data": {"k": "x" * 4096}}, 400),
        ({"token": TOKEN, "data": {"k": "é" * 2048}}, 400),
        ({"topic": "news", "data": {"k": "x" * 2047}}, 200),
        ({"topic": "news", "data": {"k": "x" * 2048}}, 400),
        ({"token": TOKEN, "data": {"k": "x" * 2000}, "notification": {"title": "x" * 2090}}, 200),
        ({"token": TOKEN, "data": {"k": "x" * 2000}, "notification": {"title": "x" * 2091}}, 400),
        ({"token": TOKEN, "apns": {"payload": {"aps": {"alert": "x" * 4100}}}}, 400),
        ({"token": TOKEN, "android": {"ttl": "2419200s", "priority": "high"}}, 200),
        ({"token": TOKEN, "android": {"ttl": "0.5s"}}, 200),
    ],
)
async def test_limits_hold_to_the_byte(
    http: aiohttp.ClientSession, simulators: RunningSimulators, bearer: str, message: object, status: int
) -> None:
    got, _, body = await send(http, simulators, bearer, message)
    assert got == status
    if status == 400:
        assert "details" not in body["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"message"}', b"{}"])
async def test_a_body_without_a_message_is_refused(
    http: aiohttp.ClientSession, simulators: RunningSimulators, bearer: str, body: bytes
) -> None:
    url = f"{simulators.fcm.url}/v1/projects/clarion-test/messages:send"
    async with http.post(url, data=body, headers={"authorization": bearer}) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["status"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize("header", ["", "Bearer made-up", "Basic abc", "Bearer"])
async def test_without_a_live_bearer_nothing_is_sent(
    http: aiohttp.ClientSession, simulators: RunningSimulators, header: str
) -> None:
    status, headers, body = await send(http, simulators, header, {"token": TOKEN})
    assert (status, body["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert "invalid_token" in headers["www-authenticate"]
    assert simulators.fcm.ledger.messages() == []


async def test_a_bearer_ends_with_its_lifetime(
    http: aiohttp.ClientSession, simulators: RunningSimulators, bearer: str, clock: MovableClock
) -> None:
    clock.ahead = 3590
    assert (await send(http, simulators, bearer, {"token": TOKEN}))[0] == 200
    clock.ahead = 3601
    assert (await send(http, simulators, bearer, {"token": TOKEN}))[0] == 401


async def test_a_bearer_sends_for_its_own_project_only(
    http: aiohttp.ClientSession, simulators: RunningSimulators, bearer: str
) -> None:
    status, _, body = await send(http, simulators, bearer, {"token": TOKEN}, project="somebody-else")
    assert (status, body["error"]["status"]) == (403, "PERMISSION_DENIED")


async def test_a_quota_counts_each_project_and_says_when_to_come_back(
    http: aiohttp.ClientSession, simulators: RunningSimulators, bearer: str, clock: MovableClock
) -> None:
    limit = Limit(requests=2, window_seconds=60, scope=Scope.ACCOUNT)
    await simulators.fcm.play(Script(limits=(limit,)))
    statuses = [(await send(http, simulators, bearer, {"token": TOKEN}))[0] for _ in range(2)]
    status, headers, body = await send(http, simulators, bearer, {"token": TOKEN})
    assert ([*statuses, status], fcm_code(body)) == ([200, 200, 429], "QUOTA_EXCEEDED")
    assert 1 <= int(headers["retry-after"]) <= 60
    clock.ahead = 61
    assert (await send(http, simulators, bearer, {"token": TOKEN}))[0] == 200


async def test_http2_is_spoken_where_the_client_offers_it(simulators: RunningSimulators, bearer: str) -> None:
    async with http2_client("127.0.0.1", simulators.fcm.port, simulators.client_context()) as client:
        head = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "fcm.googleapis.com"),
            (":path", "/v1/projects/clarion-test/messages:send"),
            ("authorization", bearer),
        ]
        bodies = [json.dumps({"message": {"token": f"h2-device-{n}"}}).encode() for n in range(50)]
        streams = [await client.open(head, body) for body in bodies]
        answers = [await client.answer(stream) for stream in streams]
    assert {answer.status for answer in answers} == {200}
    assert simulators.fcm.ledger.accepted == 50


async def test_a_dropped_connection_may_have_delivered(
    http: aiohttp.ClientSession, simulators: RunningSimulators, bearer: str
) -> None:
    lost = Fault(match="lost-device", action=Action.DROP)
    kept = Fault(match="kept-device", action=Action.DROP, deliver=True)
    await simulators.fcm.play(Script(faults=(lost, kept)))
    for token in ("lost-device", "kept-device"):
        with pytest.raises(aiohttp.ClientConnectionError):
            await send(http, simulators, bearer, {"token": token})
    assert [each.address for each in simulators.fcm.ledger.messages()] == ["kept-device"]
    assert simulators.fcm.counts() == {"drop": 1, "accepted": 1}


async def test_a_hanging_request_ends_with_the_script(
    http: aiohttp.ClientSession, simulators: RunningSimulators, bearer: str
) -> None:
    await simulators.fcm.play(Script(faults=(Fault(action=Action.HANG),)))
    hanging = asyncio.create_task(send(http, simulators, bearer, {"token": TOKEN}))
    await simulators.fcm.ledger.until(1)
    assert not hanging.done()
    await simulators.fcm.play(Script())
    with pytest.raises(aiohttp.ClientConnectionError):
        await hanging


async def test_an_outage_refuses_connections_and_ends_on_the_same_port(
    http: aiohttp.ClientSession, simulators: RunningSimulators, bearer: str
) -> None:
    port = simulators.fcm.port
    await simulators.fcm.play(Script(outage=Outage.REFUSE))
    with pytest.raises(aiohttp.ClientConnectionError):
        await send(http, simulators, bearer, {"token": TOKEN})
    await simulators.fcm.play(Script())
    assert simulators.fcm.port == port
    assert (await send(http, simulators, bearer, {"token": TOKEN}))[0] == 200


async def test_another_path_or_method_is_not_found(
    http: aiohttp.ClientSession, simulators: RunningSimulators, bearer: str
) -> None:
    async with http.get(f"{simulators.fcm.url}/v1/projects/clarion-test/messages:send") as answer:
        assert answer.status == 404
    async with http.post(f"{simulators.fcm.url}/fcm/send") as answer:
        assert answer.status == 404
