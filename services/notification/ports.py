"""What the use cases need from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from services.notification.domain import Draft, Filter, First, Position, Report, Standing, Stored
    from services.runtime.errors import ClarionError


class DraftStore(Protocol):
    """Where notifications are accepted."""

    async def insert(self, drafts: Sequence[Draft]) -> Sequence[First | ClarionError | None]:
        """Store drafts by a majority, in one round trip; answer for each None, or what its id already stands for, or
        why it alone could not be stored.

        Raises Unavailable where a majority did not confirm; some may be stored all the same.
        """


class NotificationStore(DraftStore, Protocol):
    """Where notifications are kept. There is no way to ask without a tenant."""

    async def get(self, tenant: str, notification_id: str) -> Stored:
        """One notification, whole.

        Raises NotFound.
        """

    async def find(self, tenant: str, wanted: Filter, *, after: Position | None, limit: int) -> Sequence[Stored]:
        """The newest first, without recipients and content, from behind `after` on."""

    async def cancel(self, tenant: str, notification_id: str, now: datetime) -> Stored:
        """Cancel what is ACCEPTED; answer how it stands then, whether that was cancelled or not.

        Raises NotFound.
        """

    async def report(self, reports: Sequence[Report], now: datetime) -> Sequence[Standing]:
        """Apply reports, each at most once whatever is repeated, and answer where each stands afterwards."""


class ChangeFeed(Protocol):
    """Follows single notifications."""

    def follow(self, tenant: str, notification_id: str) -> AbstractAsyncContextManager[AsyncIterator[Stored]]:
        """The notification now (without recipients and content) and after each change; none is missed.

        Raises NotFound on entry; Unavailable on entry or while it is followed.
        """


class EventPublisher(Protocol):
    """Tells workers and analytics."""

    async def publish(self, accepted: Sequence[Draft]) -> None:
        """Return once every event of these notifications is acknowledged.

        Raises Unavailable if any was not; some may have been published all the same.
        """


class Announcements(Protocol):
    """Takes what was accepted, to be published soon."""

    def offer(self, accepted: Sequence[Draft]) -> None:
        """Never waits and never fails: what cannot be taken is left to the reconciler."""
