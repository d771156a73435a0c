"""What the use cases need from outside, as narrow as they use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from services.delivery.credentials import Account
    from services.delivery.domain import Delivery, Outcome
    from services.delivery.message import Message


class Records(Protocol):
    """The deliveries' store. Raises Unavailable where it cannot be reached."""

    async def find(self, messages: Sequence[Message]) -> Mapping[str, Delivery]:
        """What is known of these, by delivery id, as of the last acknowledged write."""

    async def save(self, deliveries: Sequence[Delivery]) -> None:
        """Keep these durably, each whole; what already stands settled is left as it is. Safe to repeat."""

    async def page(self, tenant: str, notification_id: str, *, after: str, limit: int) -> list[Delivery]:
        """Deliveries of one notification of this tenant by id, from the first one after `after`."""


class Claims(Protocol):
    """Who is at which delivery now. Raises Unavailable where it cannot be reached."""

    async def take(self, delivery_ids: Sequence[str], owner: str) -> set[str]:
        """Claim these for `owner` for a limited time; answers which it now holds and did not before."""

    async def release(self, delivery_ids: Collection[str], owner: str) -> None:
        """Give back what this owner holds of these; another's claims stay."""


class AccountStore(Protocol):
    """The provider accounts' store. Raises Unavailable where it cannot be reached."""

    async def add(self, account: Account, *, most: int) -> None:
        """Raises AlreadyExists if the tenant has one of this id, LimitReached if it has `most` or more."""

    async def remove(self, tenant: str, account_id: str) -> None:
        """Raises NotFound."""

    async def page(self, tenant: str, *, after: str, limit: int) -> list[Account]:
        """A tenant's accounts by id, from the first one after `after`."""

    async def of_tenant(self, tenant: str) -> list[Account]:
        """All of a tenant's accounts."""


class Provider(Protocol):
    """One provider's protocol."""

    async def send(self, account: Account, message: Message, timeout: float) -> Outcome:
        """Make one attempt that ends within `timeout` seconds. Every failure is an outcome; nothing is raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A delivery came to where it stands, for a message, by an outcome if a provider was asked."""

    message: Message
    delivery: Delivery
    outcome: Outcome | None


class Events(Protocol):
    """Where others learn what happened. Raises Unavailable where they cannot be told."""

    async def publish(self, steps: Sequence[Step]) -> None:
        """Tell of steps in the life of deliveries, and of tokens that are gone."""
