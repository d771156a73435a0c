"""Tells Kafka what was accepted, off the path of the answer, with a bound on what may wait."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Final, Self

import structlog

from services.notification import metrics
from services.runtime.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from services.notification.domain import Draft
    from services.notification.ports import EventPublisher

log = structlog.get_logger()
PUBLISH_ITEMS: Final = 2_000
PUBLISH_BYTES: Final = 16 * 1024 * 1024
CONCURRENT_PUBLISHES: Final = 4
"""Publishes under way at the same time: more than one, so that nobody waits for an acknowledgement of others."""


class Publication:
    """Publishes accepted notifications soon. What it cannot is left to the reconciler, which finds every notification
    that no worker has processed: so it neither waits nor retries."""

    def __init__(
        self, publisher: EventPublisher, *, backlog_items: int, backlog_bytes: int, end_seconds: float = 2.0
    ) -> None:
        """`end_seconds`: how long the end of the process waits for what is left."""
        self._publisher = publisher
        self._most_items, self._most_bytes = backlog_items, backlog_bytes
        self._end_seconds = end_seconds
        self._waiting: deque[Draft] = deque()
        self._items = self._bytes = 0
        self._publishes: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            async with asyncio.timeout(self._end_seconds):
                while self._publishes:
                    await asyncio.wait(self._publishes)
        except TimeoutError:
            left = self._items
            self._waiting.clear()
            log.warning("publication_cut_off", notifications=left)
            metrics.LEFT_TO_RECONCILER.labels("ended").inc(left)
            for publish in tuple(self._publishes):
                publish.cancel()
            await asyncio.gather(*self._publishes, return_exceptions=True)

    def offer(self, accepted: Sequence[Draft]) -> None:
        """Take what there is room for."""
        left = 0
        for draft in accepted:
            size = len(draft.spec)
            if self._items >= self._most_items or self._bytes + size > self._most_bytes:
                left += 1
                continue
            self._waiting.append(draft)
            self._items += 1
            self._bytes += size
        if left:
            log.warning("publication_full", notifications=left)
            metrics.LEFT_TO_RECONCILER.labels("full").inc(left)
        self._start()

    def _start(self) -> None:
        metrics.BACKLOG.set(self._items)
        if self._waiting and len(self._publishes) < CONCURRENT_PUBLISHES:
            publish = asyncio.create_task(self._publish(self._take()), name="publication", context=Context())
            self._publishes.add(publish)
            publish.add_done_callback(self._ended)

    def _ended(self, publish: asyncio.Task[None]) -> None:
        self._publishes.discard(publish)
        self._start()

    async def _publish(self, drafts: Sequence[Draft]) -> None:
        try:
            await self._publisher.publish(drafts)
        except Unavailable:
            log.warning("publication_failed", notifications=len(drafts))
            metrics.LEFT_TO_RECONCILER.labels("unavailable").inc(len(drafts))
        except Exception:
            log.exception("publication_broken", notifications=len(drafts))
            metrics.LEFT_TO_RECONCILER.labels("failed").inc(len(drafts))
        finally:
            self._items -= len(drafts)
            self._bytes -= sum(len(draft.spec) for draft in drafts)

    def _take(self) -> list[Draft]:
        group: list[Draft] = []
        size = 0
        while self._waiting and len(group) < PUBLISH_ITEMS and size < PUBLISH_BYTES:
            draft = self._waiting.popleft()
            group.append(draft)
            size += len(draft.spec)
        return group
