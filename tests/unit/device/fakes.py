"""The device service's stores, in memory. tests/contract/device holds them to what the real ones do."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from services.device.domain import Device, GoneToken, Position, Reach, Recipient, UserKey, latest_by_device, listed
from services.device.ports import CacheAnswer, Registration
from services.runtime.errors import LimitReached, Unavailable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence


class InMemoryDevices:
    """A DeviceRepository."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], Device] = {}
        self.queries = 0

    async def register(self, tenant: str, device: Device, *, limit: int) -> Registration:
        former = self.stored.get((tenant, device.device_id))
        moved = former is not None and former.user_id != device.user_id
        if former is None or moved:
            if len(self._of(tenant, device.user_id)) >= limit:
                raise LimitReached(reason="TOO_MANY_DEVICES")
            kept = device
        else:
            kept = Device(
                device_id=device.device_id,
                user_id=device.user_id,
                address=device.address,
                locale=device.locale,
                register_time=max(device.register_time, former.register_time),
                last_seen_time=max(device.last_seen_time, former.last_seen_time),
            )
        self.stored[tenant, device.device_id] = kept
        return Registration(device=kept, former_user=former.user_id if former and moved else None)

    async def get(self, tenant: str, user_id: str, device_id: str) -> Device | None:
        device = self.stored.get((tenant, device_id))
        return device if device and device.user_id == user_id else None

    async def listed(self, tenant: str, user_id: str, *, after: Position | None, limit: int) -> list[Device]:
        ordered = listed(self._of(tenant, user_id))
        return [device for device in ordered if after is None or after.precedes(device)][:limit]

    async def delete(self, tenant: str, user_id: str, device_id: str) -> bool:
        if await self.get(tenant, user_id, device_id) is None:
            return False
        del self.stored[tenant, device_id]
        return True

    async def delete_all(self, tenant: str, user_id: str) -> int:
        devices = self._of(tenant, user_id)
        for device in devices:
            del self.stored[tenant, device.device_id]
        return len(devices)

    async def drop(self, gone: Sequence[GoneToken]) -> list[UserKey]:
        owners = []
        for device_id, each in latest_by_device(gone).items():
            device = self.stored.get((each.tenant, device_id))
            if device and device.register_time <= each.gone_time:
                del self.stored[each.tenant, device_id]
                owners.append(UserKey(each.tenant, device.user_id))
        return owners

    async def of_users(self, users: Collection[UserKey]) -> dict[UserKey, list[Device]]:
        self.queries += 1
        found = {user: self._of(user.tenant, user.user_id) for user in users}
        return {user: devices for user, devices in found.items() if devices}

    def _of(self, tenant: str, user_id: str) -> list[Device]:
        return [device for (owner, _), device in self.stored.items() if owner == tenant and device.user_id == user_id]


class InMemoryRecipients:
    """A RecipientRepository."""

    def __init__(self) -> None:
        self.stored: dict[UserKey, Recipient] = {}
        self.queries = 0

    async def put(self, tenant: str, recipient: Recipient) -> None:
        self.stored[UserKey(tenant, recipient.user_id)] = recipient

    async def get(self, tenant: str, user_id: str) -> Recipient | None:
        return self.stored.get(UserKey(tenant, user_id))

    async def delete(self, tenant: str, user_id: str) -> bool:
        return self.stored.pop(UserKey(tenant, user_id), None) is not None

    async def of_users(self, users: Collection[UserKey]) -> dict[UserKey, Recipient]:
        self.queries += 1
        return {user: self.stored[user] for user in users if user in self.stored}


class InMemoryReachCache:
    """A ReachCache that keeps what it has until it is forgotten; `down` makes it unreachable."""

    def __init__(self) -> None:
        self.answers: dict[UserKey, Reach] = {}
        self.leases: dict[UserKey, bytes] = {}
        self.down = False
        self._serial = itertools.count()

    async def get(self, users: Sequence[UserKey]) -> CacheAnswer:
        self._reach()
        found = {user: self.answers[user] for user in users if user in self.answers}
        granted = {}
        for user in users:
            if user not in found and user not in self.leases:
                granted[user] = self.leases[user] = str(next(self._serial)).encode()
        return CacheAnswer(found=found, leases=granted)

    async def fill(self, leases: Mapping[UserKey, bytes], reaches: Mapping[UserKey, Reach]) -> None:
        self._reach()
        for user, lease in leases.items():
            if self.leases.get(user) == lease:
                del self.leases[user]
                self.answers[user] = reaches[user]

    async def forget(self, users: Iterable[UserKey]) -> None:
        self._reach()
        for user in users:
            self.answers.pop(user, None)
            self.leases.pop(user, None)

    def _reach(self) -> None:
        if self.down:
            raise Unavailable
