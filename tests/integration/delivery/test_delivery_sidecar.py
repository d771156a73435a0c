"""With an outbound address, providers are called in plain HTTP/1.1 through it, each by its name."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web
from clarion.type.v1 import DeliveryState

from services.delivery.adapters.http import MAX_ANSWER_BYTES
from tests.integration.delivery.conftest import accounts, android, ios, sms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from services.simulators.testing import RunningSimulators
    from tests.integration.delivery.conftest import Caller

    Replica = Callable[..., AbstractAsyncContextManager[Caller]]

PUBLIC = {
    "fcm_url": "https://fcm.googleapis.com",
    "fcm_token_url": "https://oauth2.googleapis.com/token",
    "apns_url": "https://api.push.apple.com",
    "twilio_url": "https://api.twilio.com",
    "provider_ca_file": "",
}


class Sidecar:
    """Answers for every provider as if each took every message; `flood` makes FCM's answers endless."""

    def __init__(self) -> None:
        self.calls: set[tuple[str, str, tuple[int, int]]] = set()
        self.address = ""
        self.flood = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.calls.add((request.host, request.path, (request.version.major, request.version.minor)))
        if request.host == "fcm.googleapis.com" and self.flood:
            response = web.StreamResponse(status=500)
            await response.prepare(request)
            for _ in range(100):
                await response.write(b"x" * MAX_ANSWER_BYTES)
            return response
        return {
            "oauth2.googleapis.com": web.json_response({"access_token": "ya29.x", "expires_in": 3599}),
            "fcm.googleapis.com": web.json_response({"name": "projects/clarion-test/messages/1"}),
            "api.push.apple.com": web.Response(),
            "api.twilio.com": web.json_response({"sid": "SM1", "status": "queued"}, status=201),
        }[request.host]


@asynccontextmanager
async def started_sidecar() -> AsyncIterator[Sidecar]:
    sidecar = Sidecar()
    application = web.Application()
    application.router.add_post("/{path:.*}", sidecar.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sidecar.address = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield sidecar
    finally:
        await runner.cleanup()


async def test_every_http_provider_is_called_through_the_outbound_address(
    replica: Replica, simulators: RunningSimulators
) -> None:
    async with started_sidecar() as sidecar, replica(provider_outbound=sidecar.address, **PUBLIC) as delivery:
        for account in accounts(simulators):
            await delivery.create(account)
        results = await delivery.deliver(android(), ios(), sms())
    assert {each.state for each in results} == {DeliveryState.DELIVERY_STATE_SENT}
    sid = simulators.sms_account.account_sid
    assert sidecar.calls == {
        ("oauth2.googleapis.com", "/token", (1, 1)),
        ("fcm.googleapis.com", "/v1/projects/clarion-test/messages:send", (1, 1)),
        ("api.push.apple.com", f"/3/device/{'ab' * 32}", (1, 1)),
        ("api.twilio.com", f"/2010-04-01/Accounts/{sid}/Messages.json", (1, 1)),
    }


async def test_an_endless_answer_is_cut_off(replica: Replica, simulators: RunningSimulators) -> None:
    async with started_sidecar() as sidecar, replica(provider_outbound=sidecar.address, **PUBLIC) as delivery:
        for account in accounts(simulators):
            await delivery.create(account)
        sidecar.flood = True
        (result,) = await delivery.deliver(android())
    assert (result.state, result.reason) == (DeliveryState.DELIVERY_STATE_RETRYING, "PROVIDER_ERROR")
