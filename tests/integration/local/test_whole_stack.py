"""The whole of Clarion on this machine, as programs start it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clarion.delivery.v1 import ListProviderAccountsRequest

from deploy.local.composition.environment import SERVICES
from deploy.local.composition.equipment import demo_accounts, equip
from deploy.local.demo.tenant import access_token, bearer, connected
from deploy.local.stack import Stack, StackOptions
from deploy.local.supervision.leftovers import alive
from deploy.local.supervision.state import StateFile
from tests.integration.local.stand_ins import nothing_left

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def test_everything_comes_up_healthy_takes_its_equipment_and_ends_without_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("CLARION_MONGO_URL", "CLARION_REDIS_URL", "CLARION_KAFKA_BOOTSTRAP"):
        monkeypatch.delenv(variable, raising=False)
    async with Stack(StackOptions(name="whole", home=tmp_path)) as stack:
        processes = {each.name: each for each in await stack.status()}
        assert processes.keys() == {
            *("mongodb", "redis", "kafka", "envoy"),
            *(service.name for service in SERVICES),
        }
        assert all(each.healthy and each.restarts == 0 for each in processes.values())

        accounts = demo_accounts(stack.folder.secrets)
        await equip(stack.plan, accounts)
        await equip(stack.plan, demo_accounts(stack.folder.secrets))
        demo = stack.demo_client
        token = await access_token(stack.addresses.auth_url, demo.client_id, demo.client_secret)
        async with connected(stack.addresses, bearer(token)) as tenant:
            stored = await tenant.deliveries.ListProviderAccounts(
                ListProviderAccountsRequest(), metadata=tenant.metadata
            )
        assert {each.provider_account_id for each in stored.provider_accounts} == {"fcm", "apns", "twilio", "smtp"}

        await stack.stop_process("processor")
        await stack.start_process("processor")
        recorded = StateFile(stack.folder.state).recorded()
        assert len(alive(recorded)) == len(processes)
    assert alive(recorded) == []
    await nothing_left(tmp_path)
