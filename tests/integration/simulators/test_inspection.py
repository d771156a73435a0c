from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from services.simulators.credentials import ApnsKey, ServiceAccount, SmsAccount, SmtpAccount

if TYPE_CHECKING:
    import aiohttp

    from services.simulators.testing import RunningSimulators


async def get(http: aiohttp.ClientSession, simulators: RunningSimulators, path: str) -> Any:
    async with http.get(f"{simulators.inspect_url}{path}") as answer:
        assert answer.status == 200
        return await answer.json()


async def post(http: aiohttp.ClientSession, simulators: RunningSimulators, path: str, body: object) -> tuple[int, Any]:
    async with http.post(f"{simulators.inspect_url}{path}", json=body) as answer:
        return answer.status, await answer.json() if answer.status != 204 else None


async def send(http: aiohttp.ClientSession, simulators: RunningSimulators, to: str) -> int:
    account = simulators.sms_account
    url = f"{simulators.sms.url}/2010-04-01/Accounts/{account.account_sid}/Messages.json"
    headers = {"authorization": account.authorization()}
    form = {"To": to, "From": account.numbers[0], "Body": "hello"}
    async with http.post(url, data=form, headers=headers) as answer:
        return answer.status


async def test_messages_are_read_in_pages_by_address_and_outcome(
    http: aiohttp.ClientSession, simulators: RunningSimulators
) -> None:
    for number in range(5):
        assert await send(http, simulators, f"+1500555100{number}") == 201
    assert await send(http, simulators, "nonsense") == 400
    first = await get(http, simulators, "/sms/messages?limit=2")
    assert [each["address"] for each in first["messages"]] == ["+15005551000", "+15005551001"]
    rest = await get(http, simulators, f"/sms/messages?limit=10&after={first['next_after']}")
    assert [each["address"] for each in rest["messages"]] == ["+15005551002", "+15005551003", "+15005551004"]
    assert rest["next_after"] is None
    [one] = (await get(http, simulators, "/sms/messages?to=%2B15005551003"))["messages"]
    assert one["content"]["body"] == "hello"
    assert one["received_at"] == pytest.approx(time.time(), abs=60)
    [refused] = (await get(http, simulators, "/sms/messages?outcome=21211"))["messages"]
    assert refused["address"] == "nonsense"
    assert len((await get(http, simulators, "/sms/messages?outcome=any"))["messages"]) == 6
    assert await get(http, simulators, "/sms/counts") == {"accepted": 5, "21211": 1}
    counts = await get(http, simulators, "/counts")
    assert counts == {"fcm": {}, "apns": {}, "sms": {"accepted": 5, "21211": 1}, "smtp": {}}


async def test_a_script_is_set_read_and_reset(http: aiohttp.ClientSession, simulators: RunningSimulators) -> None:
    status, _ = await post(http, simulators, "/sms/script", {"faults": [{"match": "+1500*", "error": "21610"}]})
    assert status == 204
    script = await get(http, simulators, "/sms/script")
    assert (script["faults"][0]["match"], script["faults"][0]["error"]) == ("+1500*", "21610")
    assert await send(http, simulators, "+15005550010") == 400
    async with http.delete(f"{simulators.inspect_url}/sms") as answer:
        assert answer.status == 204
    assert await send(http, simulators, "+15005550010") == 201
    assert await get(http, simulators, "/sms/counts") == {"accepted": 1}


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("/fcm/script", {"faults": [{"error": "Unregistered"}]}, ["faults.0.error"]),
        ("/apns/script", {"faults": [{"error": "BadPath"}, {"error": "21610"}]}, ["faults.1.error"]),
        ("/sms/script", {"faults": [{"error": "UNREGISTERED"}]}, ["faults.0.error"]),
        ("/smtp/script", {"faults": [{"error": "250 OK"}]}, ["faults.0.error"]),
        ("/smtp/script", {"faults": [{"error": "550 x\r\n250 y"}]}, ["faults.0.error"]),
        ("/fcm/script", {"faults": [{"probability": 2, "skip": -1}]}, ["faults.0.probability", "faults.0.skip"]),
        ("/fcm/script", {"colour": "red"}, ["colour"]),
        ("/fcm/projects", {"project_id": "p"}, ["project_id", "client_email", "public_key"]),
        ("/apns/teams", {"team_id": "T", "keys": {"K": "not PEM"}}, ["keys"]),
        ("/sms/accounts", {"account_sid": "AC1", "auth_token": "x"}, ["account_sid"]),
        ("/smtp/accounts", {}, ["username", "password"]),
        ("/apns/goaway", {"reason": "Bored"}, ["reason"]),
    ],
)
async def test_wrong_input_is_refused_with_every_field_named(
    http: aiohttp.ClientSession, simulators: RunningSimulators, path: str, body: object, fields: list[str]
) -> None:
    status, answer = await post(http, simulators, path, body)
    assert status == 400
    assert [error["field"] for error in answer["errors"]] == fields


@pytest.mark.parametrize("query", ["limit=x", "limit=1001", "after=-1", "limit=²"])
async def test_wrong_pages_are_refused(http: aiohttp.ClientSession, simulators: RunningSimulators, query: str) -> None:
    async with http.get(f"{simulators.inspect_url}/sms/messages?{query}") as answer:
        assert answer.status == 400


async def test_credentials_are_registered(http: aiohttp.ClientSession, simulators: RunningSimulators) -> None:
    account = ServiceAccount.generate(project_id="another-project")
    key = ApnsKey.generate(team_id="TEAM999999", key_id="KEY9999999", topic="org.other.app")
    sms = SmsAccount.generate(number="+15005550099")
    registrations = {
        "/fcm/projects": account.project(),
        "/apns/teams": key.team(),
        "/sms/accounts": sms,
        "/smtp/accounts": SmtpAccount(username="other", password="secret"),
    }
    for path, credential in registrations.items():
        assert (await post(http, simulators, path, credential.model_dump()))[0] == 204
    url = f"{simulators.sms.url}/2010-04-01/Accounts/{sms.account_sid}/Messages.json"
    form = {"To": "+15005550010", "From": "+15005550099", "Body": "x"}
    async with http.post(url, data=form, headers={"authorization": sms.authorization()}) as answer:
        assert answer.status == 201
    assert simulators.smtp.permits(b"other", b"secret")
    assert simulators.apns.tokens.allows("TEAM999999", "org.other.app")


async def test_bearer_tokens_are_revoked_and_connections_sent_away(
    http: aiohttp.ClientSession, simulators: RunningSimulators
) -> None:
    assert (await post(http, simulators, "/fcm/revoke", {}))[0] == 204
    assert await post(http, simulators, "/apns/goaway", {"reason": "Shutdown"}) == (200, {"connections": 0})
