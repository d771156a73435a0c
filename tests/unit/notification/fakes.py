"""The notification service's ports, in memory. tests/contract/notification holds them to what the real ones do."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from services.notification.domain import (
    ACCEPTED,
    CANCELLED,
    OPEN_STATES,
    PROCESSING,
    UNKNOWN,
    First,
    Processed,
    Settled,
    Standing,
    Stored,
    Totals,
    final_state,
)
from services.runtime.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime

    from services.notification.domain import Draft, Filter, Position, Report
    from services.runtime.errors import ClarionError


@dataclass
class _Kept:
    draft: Draft
    shown: Stored
    done: set[int] = field(default_factory=set)
    retrying: set[str] = field(default_factory=set)
    early: dict[str, str] = field(default_factory=dict)


class InMemoryNotifications:
    """A NotificationStore and a ChangeFeed. `down` makes it unreachable; `gate`, while it is closed, slow."""

    def __init__(self) -> None:
        self.kept: dict[str, _Kept] = {}
        self.inserts: list[int] = []
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.following: list[tuple[str, asyncio.Queue[Stored]]] = []

    async def insert(self, drafts: Sequence[Draft]) -> Sequence[First | ClarionError | None]:
        self.inserts.append(len(drafts))
        await self.gate.wait()
        self._reach()
        return [self._insert(draft) for draft in drafts]

    def _insert(self, draft: Draft) -> First | None:
        if known := self.kept.get(draft.notification_id):
            return First(
                content_hash=known.draft.content_hash,
                created_at=known.draft.created_at,
                expire_at=known.draft.expire_at,
                untouched=known.shown.state == ACCEPTED,
            )
        self.kept[draft.notification_id] = _Kept(
            draft,
            Stored(
                notification_id=draft.notification_id,
                tenant=draft.tenant,
                state=ACCEPTED,
                reason="",
                revision=0,
                totals=Totals(),
                options=draft.request.options,
                request=draft.request,
                idempotency_key=draft.idempotency_key,
                recipient_count=len(draft.request.recipients),
                created_at=draft.created_at,
                updated_at=draft.created_at,
                expire_at=draft.expire_at,
            ),
        )
        return None

    async def get(self, tenant: str, notification_id: str) -> Stored:
        return self._of(tenant, notification_id).shown

    async def find(self, tenant: str, wanted: Filter, *, after: Position | None, limit: int) -> Sequence[Stored]:
        self._reach()
        matching = [
            replace(kept.shown, request=None)
            for kept in self.kept.values()
            if kept.shown.tenant == tenant
            and (not wanted.states or kept.shown.state in wanted.states)
            and wanted.category in ("", kept.shown.options.category)
            and (wanted.created_after is None or kept.shown.created_at >= wanted.created_after)
            and (wanted.created_before is None or kept.shown.created_at < wanted.created_before)
            and (after is None or _place(kept.shown) < (after.created_at, after.notification_id))
        ]
        return sorted(matching, key=_place, reverse=True)[:limit]

    async def cancel(self, tenant: str, notification_id: str, now: datetime) -> Stored:
        kept = self._of(tenant, notification_id)
        if kept.shown.state == ACCEPTED:
            self._show(kept, replace(kept.shown, state=CANCELLED, updated_at=now))
        return replace(kept.shown, request=None)

    async def report(self, reports: Sequence[Report], now: datetime) -> Sequence[Standing]:
        self._reach()
        for report in reports:
            kept = self._reported(report)
            if kept is None or kept.shown.state not in OPEN_STATES:
                continue
            if isinstance(report.phase, Processed):
                self._processed(kept, report.chunk, report.phase, now)
            elif isinstance(report.phase, Settled):
                self._settled(kept, report.chunk, report.phase.endings, now)
            elif kept.shown.state == ACCEPTED:
                self._show(kept, replace(kept.shown, state=PROCESSING, updated_at=now))
        return [self._standing(report) for report in reports]

    @asynccontextmanager
    async def follow(self, tenant: str, notification_id: str) -> AsyncIterator[AsyncIterator[Stored]]:
        kept = self._of(tenant, notification_id)
        queue: asyncio.Queue[Stored] = asyncio.Queue()
        queue.put_nowait(replace(kept.shown, request=None))
        follower = (notification_id, queue)
        self.following.append(follower)
        try:
            yield _queued(queue)
        finally:
            self.following.remove(follower)

    def _processed(self, kept: _Kept, chunk: int, phase: Processed, now: datetime) -> None:
        if chunk in kept.done or chunk >= len(kept.draft.chunks):
            return
        kept.done.add(chunk)
        counts = _plus(kept.shown.totals, phase.totals)
        for delivery_id in phase.retrying:
            if ending := kept.early.pop(delivery_id, ""):
                counts = replace(counts, **{ending: getattr(counts, ending) + 1})
            else:
                kept.retrying.add(delivery_id)
        self._close(kept, replace(kept.shown, totals=counts, reason=kept.shown.reason or phase.reason), now)

    def _settled(self, kept: _Kept, chunk: int, endings: Mapping[str, str], now: datetime) -> None:
        counts, changed = kept.shown.totals, False
        for delivery_id, ending in endings.items():
            if delivery_id in kept.retrying:
                kept.retrying.remove(delivery_id)
                counts = replace(counts, **{ending: getattr(counts, ending) + 1})
                changed = True
            elif chunk not in kept.done and chunk < len(kept.draft.chunks) and delivery_id not in kept.early:
                kept.early[delivery_id] = ending
                changed = True
        if changed:
            self._close(kept, replace(kept.shown, totals=counts), now)

    def _close(self, kept: _Kept, shown: Stored, now: datetime) -> None:
        counts = replace(shown.totals, retrying=len(kept.retrying))
        state, reason = PROCESSING, shown.reason
        if len(kept.done) == len(kept.draft.chunks) and not kept.retrying:
            state, reason = final_state(counts), "" if counts.sent else shown.reason
        self._show(kept, replace(shown, totals=counts, state=state, reason=reason, updated_at=now))

    def _show(self, kept: _Kept, shown: Stored) -> None:
        kept.shown = replace(shown, revision=shown.revision + 1)
        for notification_id, queue in self.following:
            if notification_id == shown.notification_id:
                queue.put_nowait(replace(kept.shown, request=None))

    def _standing(self, report: Report) -> Standing:
        kept = self._reported(report)
        if kept is None:
            return Standing(state=UNKNOWN, chunk_done=False)
        return Standing(state=kept.shown.state, chunk_done=report.chunk in kept.done)

    def _reported(self, report: Report) -> _Kept | None:
        kept = self.kept.get(report.notification_id)
        return kept if kept is not None and kept.shown.tenant == report.tenant else None

    def _of(self, tenant: str, notification_id: str) -> _Kept:
        self._reach()
        kept = self.kept.get(notification_id)
        if kept is None or kept.shown.tenant != tenant:
            raise NotFound("there is no such notification")
        return kept

    def _reach(self) -> None:
        if self.down:
            raise Unavailable("the store cannot be reached")


class Announced:
    """Announcements that only remembers."""

    def __init__(self) -> None:
        self.drafts: list[Draft] = []

    def offer(self, accepted: Sequence[Draft]) -> None:
        self.drafts.extend(accepted)


class Events:
    """An EventPublisher. `failure` is what publishing raises; `gate`, while it is closed, holds it up."""

    def __init__(self) -> None:
        self.published: list[Sequence[Draft]] = []
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def publish(self, accepted: Sequence[Draft]) -> None:
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.published.append(list(accepted))


async def _queued(queue: asyncio.Queue[Stored]) -> AsyncIterator[Stored]:
    while True:
        yield await queue.get()


def _place(stored: Stored) -> tuple[datetime, str]:
    return stored.created_at, stored.notification_id


def _plus(left: Totals, right: Totals) -> Totals:
    return Totals(
        queued=left.queued + right.queued,
        sent=left.sent + right.sent,
        failed=left.failed + right.failed,
        suppressed=left.suppressed + right.suppressed,
        expired=left.expired + right.expired,
    )
