"""What the use cases need of stores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from services.device.domain import Device, GoneToken, Position, Reach, Recipient, UserKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a registration led to; `former_user` had the device before, if it was another."""

    device: Device
    former_user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheAnswer:
    """What a cache knew, and the leases it granted for some of what it did not."""

    found: Mapping[UserKey, Reach]
    leases: Mapping[UserKey, bytes]


class DeviceRepository(Protocol):
    """Keeps devices. A device id belongs to one user of the tenant at any time. Every method raises Unavailable if
    the store cannot be reached and Conflict if others wrote the same in each of several attempts."""

    async def register(self, tenant: str, device: Device, *, limit: int) -> Registration:
        """Store the device or refresh it, taking it from whoever had it. Times never move back.

        Raises LimitReached if it would be the user's device number `limit` + 1. Registrations at the very same
        moment may pass the limit by as many as they are.
        """

    async def get(self, tenant: str, user_id: str, device_id: str) -> Device | None:
        """The user's device."""

    async def listed(self, tenant: str, user_id: str, *, after: Position | None, limit: int) -> list[Device]:
        """Up to `limit` of the user's devices, last seen first and then by id, from after a position."""

    async def delete(self, tenant: str, user_id: str, device_id: str) -> bool:
        """Forget the user's device; whether there was one."""

    async def delete_all(self, tenant: str, user_id: str) -> int:
        """Forget all of the user's devices; how many there were."""

    async def drop(self, gone: Sequence[GoneToken]) -> list[UserKey]:
        """Forget each of these that was not registered after its `gone_time`; whose they were, once for each."""

    async def of_users(self, users: Collection[UserKey]) -> dict[UserKey, list[Device]]:
        """The devices of those users who have any, in one query."""


class RecipientRepository(Protocol):
    """Keeps recipients. Every method raises Unavailable if the store cannot be reached."""

    async def put(self, tenant: str, recipient: Recipient) -> None:
        """Store, in place of what was there."""

    async def get(self, tenant: str, user_id: str) -> Recipient | None:
        """The recipient."""

    async def delete(self, tenant: str, user_id: str) -> bool:
        """Forget the recipient; whether there was one."""

    async def of_users(self, users: Collection[UserKey]) -> dict[UserKey, Recipient]:
        """Those users who have a profile, in one query."""


class ReachCache(Protocol):
    """Keeps answers for a while. It never holds one that is older than the last `forget`: an answer is only taken
    under a lease, which was granted before the answer was read from the store and which `forget` ends.

    Every method raises Unavailable if the cache cannot be reached.
    """

    async def get(self, users: Sequence[UserKey]) -> CacheAnswer:
        """What is known; a lease for what is not, unless another has one."""

    async def fill(self, leases: Mapping[UserKey, bytes], reaches: Mapping[UserKey, Reach]) -> None:
        """Keep the answers of those users whose lease still stands."""

    async def forget(self, users: Iterable[UserKey]) -> None:
        """Drop answers and leases."""
