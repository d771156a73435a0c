"""Registers people: their contact points and their devices."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from clarion.device.v1 import (
    ContactPoint,
    ListDevicesRequest,
    Recipient,
    RegisterDeviceRequest,
    UpsertRecipientRequest,
)

from deploy.local.demo.tenant import CALL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.local.demo.scenario import Person
    from deploy.local.demo.tenant import Tenant

AT_A_TIME = 32
"""Calls under way at once."""


async def register(tenant: Tenant, people: Iterable[Person]) -> None:
    """Store everybody with phone, mailbox and device."""
    turns = asyncio.Semaphore(AT_A_TIME)

    async def one(person: Person) -> None:
        async with turns:
            await _register(tenant, person)

    async with asyncio.TaskGroup() as group:
        for person in people:
            group.create_task(one(person))


async def tokens(tenant: Tenant, user_id: str) -> set[str]:
    """The tokens of a user's devices."""
    answer = await tenant.devices.ListDevices(
        ListDevicesRequest(user_id=user_id), metadata=tenant.metadata, timeout=CALL_SECONDS
    )
    return {device.address.token for device in answer.devices}


async def _register(tenant: Tenant, person: Person) -> None:
    recipient = Recipient(
        user_id=person.user_id,
        contact_points=[
            ContactPoint(phone=person.phone, verified=True),
            ContactPoint(email=person.email, verified=True),
        ],
        locale="en-GB",
        time_zone="Europe/London",
    )
    await tenant.recipients.UpsertRecipient(
        UpsertRecipientRequest(recipient=recipient), metadata=tenant.metadata, timeout=CALL_SECONDS
    )
    await tenant.devices.RegisterDevice(
        RegisterDeviceRequest(user_id=person.user_id, address=person.device, locale="en-GB"),
        metadata=tenant.metadata,
        timeout=CALL_SECONDS,
    )
