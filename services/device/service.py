"""The use cases: devices, recipients, and how users can be reached."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from services.device import domain
from services.device.domain import Device, DeviceAddress, GoneToken, Position, Reach, Recipient, UserKey
from services.device.metrics import (
    CACHE_FILLS_FAILED,
    CACHE_INVALIDATIONS,
    CACHE_LOOKUPS,
    TOKENS_DROPPED,
    TOKENS_KEPT,
)
from services.device.ports import CacheAnswer, DeviceRepository, ReachCache, RecipientRepository
from services.runtime.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from services.runtime.clock import Clock

log = structlog.get_logger()


class Reachability:
    """Answers how users can be reached, from the cache or from the stores.

    An answer that is asked for after a write was answered never predates that write: a write forgets the cached answer
    before it is answered, and what was read from the stores before the write is not cached after it (see ReachCache).
    Without the cache everything comes from the stores. What is not forgotten, because Redis is down, this process
    dies between write and answer, or the store never says whom a write touched, stays for at most the cache's time
    plus that of a lease.
    """

    def __init__(self, *, devices: DeviceRepository, recipients: RecipientRepository, cache: ReachCache) -> None:
        """The stores, and the cache in front of them."""
        self._devices, self._recipients, self._cache = devices, recipients, cache

    async def resolve(self, users: Sequence[UserKey]) -> list[Reach]:
        """One answer for each user, in their order."""
        wanted = list(dict.fromkeys(users))
        known = await self._look_up(wanted)
        answers = dict(known.found)
        missing = [user for user in wanted if user not in answers]
        if missing:
            read = await self._read(missing)
            answers |= read
            if known.leases:
                await self._fill(known.leases, read)
        return [answers[user] for user in users]

    @asynccontextmanager
    async def changing(self, *users: UserKey) -> AsyncIterator[set[UserKey]]:
        """Write inside; afterwards these users are forgotten, and those added to the set that this gives.

        Also when the write failed: it may have happened all the same.
        """
        touched = set(users)
        try:
            yield touched
        finally:
            await self._forget(touched)

    async def _look_up(self, users: list[UserKey]) -> CacheAnswer:
        try:
            answer = await self._cache.get(users)
        except Unavailable as exc:
            log.warning("cache_unavailable", operation="get", reason=exc.reason)
            CACHE_LOOKUPS.labels("unavailable").inc(len(users))
            return CacheAnswer(found={}, leases={})
        CACHE_LOOKUPS.labels("hit").inc(len(answer.found))
        CACHE_LOOKUPS.labels("miss").inc(len(users) - len(answer.found))
        return answer

    async def _read(self, users: list[UserKey]) -> dict[UserKey, Reach]:
        recipients, devices = await asyncio.gather(self._recipients.of_users(users), self._devices.of_users(users))
        return {user: domain.reach(recipients.get(user), devices.get(user, ())) for user in users}

    async def _fill(self, leases: Mapping[UserKey, bytes], reaches: Mapping[UserKey, Reach]) -> None:
        try:
            await self._cache.fill(leases, reaches)
        except Unavailable as exc:
            log.warning("cache_unavailable", operation="fill", reason=exc.reason)
            CACHE_FILLS_FAILED.inc(len(leases))

    async def _forget(self, users: set[UserKey]) -> None:
        if not users:
            return
        try:
            await self._cache.forget(users)
        except Unavailable as exc:
            log.warning("cache_unavailable", operation="forget", reason=exc.reason)
            CACHE_INVALIDATIONS.labels("failed").inc(len(users))
        else:
            CACHE_INVALIDATIONS.labels("done").inc(len(users))


class Devices:
    """Where a user's apps are."""

    def __init__(self, *, devices: DeviceRepository, reachability: Reachability, clock: Clock) -> None:
        """The store, what forgets cached answers, and the time."""
        self._devices, self._reachability, self._clock = devices, reachability, clock

    async def register(self, tenant: str, user_id: str, address: DeviceAddress, locale: str) -> Device:
        """Store a device or refresh it; a token that another user had moves.

        Raises LimitReached if the user has MAX_DEVICES others.
        """
        now = self._clock()
        device = Device(
            device_id=domain.device_id(tenant, address),
            user_id=user_id,
            address=address,
            locale=locale,
            register_time=now,
            last_seen_time=now,
        )
        async with self._reachability.changing(UserKey(tenant, user_id)) as touched:
            registration = await self._devices.register(tenant, device, limit=domain.MAX_DEVICES)
            if registration.former_user is not None:
                touched.add(UserKey(tenant, registration.former_user))
        return registration.device

    async def get(self, tenant: str, user_id: str, device_id: str) -> Device:
        """The user's device. Raises NotFound."""
        device = await self._devices.get(tenant, user_id, device_id)
        if device is None:
            raise NotFound("the user has no such device")
        return device

    async def listed(
        self, tenant: str, user_id: str, *, after: Position | None, size: int
    ) -> tuple[list[Device], Position | None]:
        """A page of the user's devices, last seen first, and where the next one begins if there is one."""
        found = await self._devices.listed(tenant, user_id, after=after, limit=size + 1)
        page = found[:size]
        if len(found) <= size:
            return page, None
        return page, Position(last_seen_time=page[-1].last_seen_time, device_id=page[-1].device_id)

    async def delete(self, tenant: str, user_id: str, device_id: str) -> None:
        """Forget the user's device. Raises NotFound."""
        async with self._reachability.changing(UserKey(tenant, user_id)):
            deleted = await self._devices.delete(tenant, user_id, device_id)
        if not deleted:
            raise NotFound("the user has no such device")

    async def drop_gone(self, gone: Sequence[GoneToken]) -> int:
        """Forget tokens that were not registered after their provider's timestamp; how many. Twice is harmless."""
        async with self._reachability.changing() as touched:
            owners = await self._devices.drop(gone)
            touched.update(owners)
        TOKENS_DROPPED.inc(len(owners))
        TOKENS_KEPT.inc(len(gone) - len(owners))
        return len(owners)


class Recipients:
    """What is known of people."""

    def __init__(
        self, *, recipients: RecipientRepository, devices: DeviceRepository, reachability: Reachability
    ) -> None:
        """The stores, and what forgets cached answers."""
        self._recipients, self._devices, self._reachability = recipients, devices, reachability

    async def put(self, tenant: str, recipient: Recipient) -> Recipient:
        """Store a recipient, whole."""
        async with self._reachability.changing(UserKey(tenant, recipient.user_id)):
            await self._recipients.put(tenant, recipient)
        return recipient

    async def get(self, tenant: str, user_id: str) -> Recipient:
        """The recipient. Raises NotFound."""
        recipient = await self._recipients.get(tenant, user_id)
        if recipient is None:
            raise NotFound("there is no such recipient")
        return recipient

    async def delete(self, tenant: str, user_id: str) -> None:
        """Forget a person and their devices. Raises NotFound if there is neither.

        Devices go first: if this ends half-way, the same call again finishes it.
        """
        async with self._reachability.changing(UserKey(tenant, user_id)):
            devices = await self._devices.delete_all(tenant, user_id)
            known = await self._recipients.delete(tenant, user_id)
        if not known and not devices:
            raise NotFound("there is no such recipient")
