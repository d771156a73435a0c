from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from services.simulators.script import Action, Callbacks, Fault, Script
from services.simulators.sms.answers import DELIVERY_ERRORS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.simulators.testing import RunningSimulators

TO = "+15005550010"


@dataclass
class Receiver:
    """The customer's side of status callbacks."""

    url: str = ""
    answer: int = 204
    posts: list[tuple[dict[str, str], str]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.posts.append((form, request.headers["X-Twilio-Signature"]))
        return web.Response(status=self.answer)

    def statuses(self) -> list[str]:
        return [form["MessageStatus"] for form, _ in self.posts]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as it:
        yield it


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    it = Receiver()
    application = web.Application()
    application.router.add_post("/callback", it.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    it.url = f"http://127.0.0.1:{port}/callback?tenant=t1&x=%20y"
    yield it
    await runner.cleanup()


async def send(
    http: aiohttp.ClientSession, simulators: RunningSimulators, **changes: str
) -> tuple[int, dict[str, object]]:
    account = simulators.sms_account
    url = f"{simulators.sms.url}/2010-04-01/Accounts/{account.account_sid}/Messages.json"
    form = {"To": TO, "From": account.numbers[0], "Body": "hello", **changes}
    headers = {"authorization": account.authorization()}
    async with http.post(url, data=form, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_callbacks_follow_the_message_and_their_signature_validates(
    http: aiohttp.ClientSession, simulators: RunningSimulators, receiver: Receiver
) -> None:
    status, created = await send(http, simulators, StatusCallback=receiver.url)
    await simulators.sms.callbacks.idle()
    assert (status, receiver.statuses()) == (201, ["sent", "delivered"])
    validator = RequestValidator(simulators.sms_account.auth_token)
    for form, signature in receiver.posts:
        assert validator.validate(receiver.url, form, signature)
        assert not validator.validate(receiver.url, {**form, "MessageStatus": "failed"}, signature)
        assert (form["MessageSid"], form["To"]) == (created["sid"], TO)
        assert "ErrorCode" not in form


async def test_callbacks_come_in_any_order_as_often_and_with_what_a_script_says(
    http: aiohttp.ClientSession, simulators: RunningSimulators, receiver: Receiver
) -> None:
    plan = Callbacks(
        match=TO, statuses=("delivered", "sent", "delivered", "delivered"), extra={"NewParameter": "y & ü"}
    )
    await simulators.sms.play(Script(callbacks=(plan,)))
    await send(http, simulators, StatusCallback=receiver.url)
    await simulators.sms.callbacks.idle()
    assert receiver.statuses() == ["delivered", "sent", "delivered", "delivered"]
    form, signature = receiver.posts[0]
    assert form["NewParameter"] == "y & ü"
    assert RequestValidator(simulators.sms_account.auth_token).validate(receiver.url, form, signature)


@pytest.mark.parametrize(("code", "final"), [(code, final) for code, (final, _) in DELIVERY_ERRORS.items()])
async def test_a_delivery_error_comes_after_acceptance(
    http: aiohttp.ClientSession, simulators: RunningSimulators, receiver: Receiver, code: str, final: str
) -> None:
    await simulators.sms.play(Script(faults=(Fault(match=TO, error=code),)))
    status, _ = await send(http, simulators, StatusCallback=receiver.url)
    await simulators.sms.callbacks.idle()
    assert status == 201
    last, _ = receiver.posts[-1]
    assert (last["MessageStatus"], last["ErrorCode"]) == (final, code)
    assert simulators.sms.counts() == {"accepted": 1}


async def test_a_receiver_that_fails_is_recorded(
    http: aiohttp.ClientSession, simulators: RunningSimulators, receiver: Receiver
) -> None:
    receiver.answer = 500
    await send(http, simulators, StatusCallback=receiver.url)
    await simulators.sms.callbacks.idle()
    assert simulators.sms.callbacks.ledger.counts() == {"http_500": 2}


async def test_a_receiver_that_is_away_is_recorded(http: aiohttp.ClientSession, simulators: RunningSimulators) -> None:
    async with receiving() as gone:
        url = gone.url
    await send(http, simulators, StatusCallback=url)
    await simulators.sms.callbacks.idle()
    assert simulators.sms.callbacks.ledger.counts() == {"unreachable": 2}


async def test_a_lost_answer_may_hide_an_accepted_message(
    http: aiohttp.ClientSession, simulators: RunningSimulators, receiver: Receiver
) -> None:
    await simulators.sms.play(Script(faults=(Fault(match=TO, action=Action.DROP, deliver=True),)))
    with pytest.raises(aiohttp.ClientConnectionError):
        await send(http, simulators, StatusCallback=receiver.url)
    await simulators.sms.callbacks.idle()
    assert simulators.sms.ledger.accepted == 1
    assert receiver.statuses() == ["sent", "delivered"]


@pytest.mark.parametrize("path", ["/2010-04-01/Accounts/AC1/Calls.json", "/", "/2010-04-01/Accounts//Messages.json"])
async def test_another_path_is_not_found(http: aiohttp.ClientSession, simulators: RunningSimulators, path: str) -> None:
    async with http.post(f"{simulators.sms.url}{path}") as answer:
        assert (answer.status, (await answer.json())["code"]) == (404, 20404)


@pytest.mark.parametrize("authorization", ["", "Bearer x", "Basic !!!", "Basic bm9ib2R5Ong="])
async def test_without_basic_authentication_nothing_is_sent(
    http: aiohttp.ClientSession, simulators: RunningSimulators, authorization: str
) -> None:
    sid = simulators.sms_account.account_sid
    url = f"{simulators.sms.url}/2010-04-01/Accounts/{sid}/Messages.json"
    async with http.post(url, data={"To": TO}, headers={"authorization": authorization}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, 20003)
        assert answer.headers["www-authenticate"].startswith("Basic")


async def test_missing_fields_have_codes_of_their_own(
    http: aiohttp.ClientSession, simulators: RunningSimulators
) -> None:
    codes = [(await send(http, simulators, **{name: ""}))[1]["code"] for name in ("To", "From", "Body")]
    assert codes == [21604, 21603, 21602]
    status, created = await send(http, simulators, From="", MessagingServiceSid="MG1")
    assert (status, created["from"], created["messaging_service_sid"]) == (201, "", "MG1")


async def test_an_unknown_message_is_not_found(http: aiohttp.ClientSession, simulators: RunningSimulators) -> None:
    account = simulators.sms_account
    url = f"{simulators.sms.url}/2010-04-01/Accounts/{account.account_sid}/Messages/SM{'0' * 32}.json"
    async with http.get(url, headers={"authorization": account.authorization()}) as answer:
        assert answer.status == 404
