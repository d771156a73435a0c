"""The use cases: send, look at, cancel and watch notifications, and hear from the workers what became of them."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from services.notification import metrics
from services.notification.domain import CANCELLED, MAX_BATCH, OPEN_STATES, Outcome, Position
from services.notification.drafting import draft
from services.notification.reports import reports_of
from services.notification.validation import check_id, check_send, filter_of
from services.runtime.errors import ClarionError, PreconditionFailed, RateLimited
from services.runtime.validation import Violations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from clarion.notification.v1 import ListNotificationsRequest, ProgressReport, SendNotificationRequest

    from services.notification.acceptance import Acceptor
    from services.notification.domain import Accepted, Caller, Draft, Ids, Report, Standing, Stored
    from services.notification.ports import ChangeFeed, NotificationStore
    from services.runtime.clock import Clock
    from services.runtime.pages import PageTokens

LARGE_RECIPIENTS: Final = 1_000
"""From this many recipients on, a request is checked beside the event loop: 10,000 phone numbers take 0.1 s."""

YIELD_AFTER: Final = 100
"""So many items of a batch are checked before other calls have their turn: about 3 ms."""


class Notifications:
    """What can be done with notifications. Each method works for one tenant."""

    def __init__(
        self,
        *,
        store: NotificationStore,
        acceptor: Acceptor,
        feed: ChangeFeed,
        pages: PageTokens,
        clock: Clock,
        ids: Ids,
        retention: timedelta,
        max_watchers: int,
    ) -> None:
        """`retention`: how long a notification is kept at least."""
        self._store, self._acceptor, self._feed, self._pages = store, acceptor, feed, pages
        self._clock, self._ids, self._retention = clock, ids, retention
        self._watchers, self._max_watchers = 0, max_watchers

    async def send(self, caller: Caller, request: SendNotificationRequest) -> Accepted:
        """Accept one notification. Raises what the contract names."""
        self._acceptor.admit(1, request.ByteSize())
        made = await self._draft(caller, request)
        (outcome,) = await self._acceptor.accept([made])
        if isinstance(outcome, ClarionError):
            raise outcome
        return outcome

    async def send_batch(self, caller: Caller, requests: Sequence[SendNotificationRequest]) -> Sequence[Outcome]:
        """Accept each notification for itself; an outcome for each, in order.

        Raises InvalidInput for too many or none, and what keeps the whole batch from being taken.
        """
        violations = Violations()
        violations.count("requests", len(requests), most=MAX_BATCH)
        violations.check()
        self._acceptor.admit(len(requests), sum(request.ByteSize() for request in requests))
        made = []
        for number, request in enumerate(requests, start=1):
            made.append(await self._drafted(caller, request))
            if not number % YIELD_AFTER:
                await asyncio.sleep(0)
        valid = [each for each in made if not isinstance(each, ClarionError)]
        outcomes = iter(await self._acceptor.accept(valid))
        return [each if isinstance(each, ClarionError) else next(outcomes) for each in made]

    async def get(self, caller: Caller, notification_id: str) -> Stored:
        """One notification, whole."""
        check_id(notification_id)
        return await self._store.get(caller.tenant, notification_id)

    async def list(self, caller: Caller, request: ListNotificationsRequest) -> tuple[Sequence[Stored], str]:
        """One page, newest first, and the token of the next page or ''."""
        wanted, size = filter_of(request)
        cursor = self._pages.open(request.page_token, tenant=caller.tenant, request=request)
        after = _position(cursor) if cursor else None
        found = await self._store.find(caller.tenant, wanted, after=after, limit=size + 1)
        page = found[:size]
        if len(found) <= size:
            return page, ""
        return page, self._pages.sign(_cursor(page[-1]), tenant=caller.tenant, request=request)

    async def cancel(self, caller: Caller, notification_id: str) -> Stored:
        """Cancel what no worker has begun; again is the same again."""
        check_id(notification_id)
        cancelled = await self._store.cancel(caller.tenant, notification_id, self._clock())
        if cancelled.state != CANCELLED:
            raise PreconditionFailed("a worker has begun it: it is too late to cancel", reason="ALREADY_PROCESSED")
        return cancelled

    async def watch(self, caller: Caller, notification_id: str) -> AsyncIterator[Stored]:
        """The notification now and after each change, until its state is final."""
        check_id(notification_id)
        with self._seat():
            async with self._feed.follow(caller.tenant, notification_id) as changes:
                async for each in changes:
                    yield each
                    if each.state not in OPEN_STATES:
                        return

    async def report(self, messages: Sequence[ProgressReport]) -> Sequence[tuple[Report, Standing]]:
        """Take what workers say; where each notification and its chunk stand then, in order."""
        reports = reports_of(messages)
        return list(zip(reports, await self._store.report(reports, self._clock()), strict=True))

    async def _draft(self, caller: Caller, request: SendNotificationRequest) -> Draft:
        if len(request.recipients) < LARGE_RECIPIENTS:
            return self._checked_draft(caller, request)
        return await asyncio.to_thread(self._checked_draft, caller, request)

    async def _drafted(self, caller: Caller, request: SendNotificationRequest) -> Draft | ClarionError:
        try:
            return await self._draft(caller, request)
        except ClarionError as exc:
            return exc

    def _checked_draft(self, caller: Caller, request: SendNotificationRequest) -> Draft:
        now = self._clock()
        check_send(request, now)
        return draft(request, caller=caller, now=now, ids=self._ids, retention=self._retention)

    @contextmanager
    def _seat(self) -> Iterator[None]:
        if self._watchers >= self._max_watchers:
            raise RateLimited("too many watchers; try again later", reason="TOO_MANY_WATCHERS", retry_after=5.0)
        self._watchers += 1
        metrics.WATCHERS.inc()
        try:
            yield
        finally:
            self._watchers -= 1
            metrics.WATCHERS.dec()


def _cursor(last: Stored) -> str:
    return f"{int(last.created_at.timestamp() * 1000)}:{last.notification_id}"


def _position(cursor: str) -> Position:
    milliseconds, _, notification_id = cursor.partition(":")
    created_at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(milliseconds))
    return Position(created_at=created_at, notification_id=notification_id)
