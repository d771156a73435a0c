"""The process itself: it serves, drains what is under way, and writes nothing personal to its logs."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from clarion.type.v1 import DeliveryState
from pydantic import SecretStr

from services.simulators.script import Action, Fault, Script
from tests.integration.delivery.conftest import Caller, accounts, android, ios, mail, sms, until
from tests.processes import Running, serving, started
from tests.serving import published_keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import grpc
    from clarion.delivery import v1

    from services.delivery.settings import DeliverySettings
    from services.simulators.testing import RunningSimulators
    from tests.serving import Issuer

SENT = DeliveryState.DELIVERY_STATE_SENT


def environment(settings: DeliverySettings, **changes: str) -> dict[str, str]:
    values: dict[str, Any] = {name: getattr(settings, name) for name in type(settings).model_fields} | changes
    return {
        f"CLARION_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in values.items()
    }


class Process:
    """A started delivery process with the accounts of the tenant acme, and who calls it."""

    def __init__(self, running: Running, caller: Caller, issuer_url: str) -> None:
        self.running, self.caller, self.issuer_url = running, caller, issuer_url

    async def deliver(self, *items: v1.DeliverItem) -> list[v1.DeliverResult]:
        return await self.caller.deliver(*items)


class UrlCaller(Caller):
    """Calls with tokens of an issuer that is reached by URL."""

    def __init__(self, channel: grpc.aio.Channel, issuer: Issuer, url: str) -> None:
        super().__init__(channel, issuer)
        self._url = url

    def metadata(self, *roles: str, tenant: str = "acme") -> tuple[tuple[str, str], ...]:
        return self.issuer.metadata(*roles, tenant=tenant, issuer=self._url)


@pytest.fixture
async def process(
    make_settings: Callable[..., DeliverySettings], issuer: Issuer, simulators: RunningSimulators
) -> AsyncIterator[Process]:
    async with published_keys(issuer) as url:
        given = environment(make_settings(issuer=url, log_level="DEBUG"))
        async with serving("services.delivery", given) as (running, channel):
            caller = UrlCaller(channel, issuer, url)
            for account in accounts(simulators):
                await caller.create(account)
            yield Process(running, caller, url)


async def test_a_drain_finishes_what_is_under_way(process: Process, simulators: RunningSimulators) -> None:
    await simulators.sms.play(Script(faults=(Fault(latency_seconds=0.5),)))
    batch = asyncio.create_task(process.deliver(*(sms(f"+3512112340{n:02}") for n in range(20))))
    await until(lambda: simulators.sms.ledger.accepted > 0)
    process.running.terminate()
    assert {each.state for each in await batch} == {SENT}
    assert await process.running.end() == 0
    assert process.running.names[-1] == "process_ended"
    assert simulators.sms.ledger.accepted == 20


async def test_logs_hold_no_address_no_content_and_no_secret(process: Process, simulators: RunningSimulators) -> None:
    await simulators.fcm.play(Script(faults=(Fault(match="fcm-token-0001", error="UNREGISTERED"),)))
    await simulators.apns.play(Script(faults=(Fault(match="ab" * 32, action=Action.DROP),)))
    reply = "550 5.1.1 <ada@example.org> unknown"
    await simulators.smtp.play(Script(faults=(Fault(match="ada@example.org", error=reply),)))
    await simulators.sms.play(Script(faults=(Fault(error="20500"),)))
    await process.deliver(android(), ios(), sms(), mail(), mail("bad\r\n@example.org"))
    process.running.terminate()
    assert await process.running.end() == 0
    written = json.dumps(process.running.events, ensure_ascii=False) + await process.running.complaint()
    assert "call_served" in written
    words = (
        "fcm-token-0001", "ab" * 32, "351211234567", "example.org", "Your code", "Hello Ada", "PRIVATE KEY", "eyJ",
        "ya29", simulators.sms_account.auth_token, simulators.smtp_account.password,
    )  # fmt: skip
    for word in words:
        assert word not in written


async def test_two_processes_use_one_apns_token(
    process: Process, make_settings: Callable[..., DeliverySettings], issuer: Issuer, simulators: RunningSimulators
) -> None:
    # The simulator refuses a team's second token within 20 minutes, as Apple does.
    given = environment(make_settings(issuer=process.issuer_url))
    async with serving("services.delivery", given) as (_, channel):
        other = UrlCaller(channel, issuer, process.issuer_url)
        answers = await asyncio.gather(
            process.deliver(*(ios(f"{n:064x}") for n in range(30))),
            other.deliver(*(ios(f"{n:064x}") for n in range(30, 60))),
        )
    assert {result.state for answer in answers for result in answer} == {SENT}
    assert simulators.apns.counts() == {"accepted": 60}


async def test_everything_that_is_wrong_in_the_environment_is_said_at_once(
    make_settings: Callable[..., DeliverySettings],
) -> None:
    wrong = {"provider_ca_file": "/no/such/file", "unsubscribe_url": "http://x/{delivery_id}", "fcm_url": "fcm"}
    given = environment(make_settings(), **wrong)
    del given["CLARION_CREDENTIAL_KEY"]
    async with started("services.delivery", given) as running:
        assert await running.end() == 2
        complaint = await running.complaint()
    for name in ("PROVIDER_CA_FILE", "UNSUBSCRIBE_URL", "FCM_URL", "CREDENTIAL_KEY"):
        assert f"CLARION_{name}" in complaint
