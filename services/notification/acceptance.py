"""Group commit: what arrives while an insert is under way shares the next one."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextvars import Context
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self

import structlog

from services.notification import metrics
from services.notification.domain import Accepted, Draft, First, Outcome, outcome
from services.runtime import deadline
from services.runtime.errors import ClarionError, RateLimited, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from services.notification.ports import Announcements, DraftStore

log = structlog.get_logger()
FLUSH_ITEMS: Final = 2_000
FLUSH_BYTES: Final = 24 * 1024 * 1024
"""One insert carries at most this; the driver would cut a larger one at 48 MB by itself."""
_ANSWER_SECONDS: Final = 0.1
_LATE: Final = "the store did not confirm in time; try again with the same idempotency key"
_DOWN: Final = "the store cannot be reached; nothing was stored, try again"


@dataclass(frozen=True, slots=True)
class _Waiting:
    drafts: Sequence[Draft]
    size: int
    answer: asyncio.Future[Sequence[Outcome] | ClarionError]


class Acceptor:
    """Stores drafts, many callers' in one insert, and hands what was accepted on to be announced.

    An insert belongs to nobody: whoever gives up waiting leaves what was taken to be accepted all the same.
    """

    def __init__(
        self,
        store: DraftStore,
        announcements: Announcements,
        *,
        pending_items: int,
        pending_bytes: int,
        concurrent_flushes: int,
    ) -> None:
        """`pending_*` bound what is held here, waiting or being inserted."""
        self._store, self._announcements = store, announcements
        self._most_items, self._most_bytes = pending_items, pending_bytes
        self._most_flushes = concurrent_flushes
        self._waiting: deque[_Waiting] = deque()
        self._items = self._bytes = 0
        self._flushes: set[asyncio.Task[None]] = set()
        self._down = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._flushes:
            await asyncio.wait(self._flushes)

    def admit(self, items: int, size: int) -> None:
        """Say before any work is done whether so many notifications of so many bytes could be taken now.

        Raises RateLimited if not, and Unavailable while the store is known to be down.
        """
        if self._down and self._flushes:
            metrics.TURNED_AWAY.labels("down").inc(items)
            raise Unavailable(_DOWN)
        if self._items + items > self._most_items or self._bytes + size > self._most_bytes:
            metrics.TURNED_AWAY.labels("full").inc(items)
            raise RateLimited("too many notifications wait for the store; slow down", reason="ACCEPTANCE_FULL")

    async def accept(self, drafts: Sequence[Draft]) -> Sequence[Outcome]:
        """Answer once a majority has them: an outcome for each.

        Raises what `admit` raises, and Unavailable if the store did not confirm, or not within the caller's deadline;
        some may be stored all the same.
        """
        if not drafts:
            return ()
        size = sum(len(draft.spec) for draft in drafts)
        self.admit(len(drafts), size)
        waiting = _Waiting(drafts, size, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._items += len(drafts)
        self._bytes += size
        self._start()
        try:
            async with asyncio.timeout(_patience()):
                answer = await asyncio.shield(waiting.answer)
        except TimeoutError:
            raise Unavailable(_LATE) from None
        if isinstance(answer, ClarionError):
            raise answer
        return answer

    def _start(self) -> None:
        if self._waiting and len(self._flushes) < self._most_flushes:
            # A context of its own: the flush must not inherit the deadline or the tenant of whoever came first.
            flush = asyncio.create_task(self._flush(), name="acceptance-flush", context=Context())
            self._flushes.add(flush)
            flush.add_done_callback(self._ended)

    def _ended(self, flush: asyncio.Task[None]) -> None:
        self._flushes.discard(flush)
        self._start()

    async def _flush(self) -> None:
        group = self._take()
        drafts = [draft for waiting in group for draft in waiting.drafts]
        if not drafts:
            return
        started = time.perf_counter()
        answers: Sequence[Sequence[Outcome] | ClarionError]
        try:
            firsts = await self._store.insert(drafts)
        except ClarionError as exc:
            log.warning("acceptance_failed", error=exc.reason, notifications=len(drafts))
            self._down = isinstance(exc, Unavailable)
            # Those who came meanwhile would wait for the same store: they hear it now.
            group += self._take(everything=self._down)
            answers = [exc] * len(group)
        except Exception:
            log.exception("acceptance_broken", notifications=len(drafts))
            answers = [Unavailable("the notification could not be stored")] * len(group)
        else:
            self._down = False
            outcomes = [outcome(draft, first) for draft, first in zip(drafts, firsts, strict=True)]
            self._announce(drafts, firsts, outcomes)
            answers = _dealt(group, outcomes)
        metrics.FLUSH_ITEMS.observe(len(drafts))
        metrics.FLUSH_SECONDS.observe(time.perf_counter() - started)
        for waiting, answer in zip(group, answers, strict=True):
            self._items -= len(waiting.drafts)
            self._bytes -= waiting.size
            if not waiting.answer.done():
                waiting.answer.set_result(answer)

    def _take(self, *, everything: bool = False) -> list[_Waiting]:
        group: list[_Waiting] = []
        items = size = 0
        while self._waiting:
            first = self._waiting[0]
            items, size = items + len(first.drafts), size + first.size
            if group and not everything and (items > FLUSH_ITEMS or size > FLUSH_BYTES):
                break
            group.append(self._waiting.popleft())
        return group

    def _announce(
        self, drafts: Sequence[Draft], firsts: Sequence[First | ClarionError | None], outcomes: Sequence[Outcome]
    ) -> None:
        fresh: dict[str, Draft] = {}
        again: dict[str, Draft] = {}
        duplicates = 0
        for draft, first, each in zip(drafts, firsts, outcomes, strict=True):
            if not isinstance(each, Accepted):
                continue
            if not each.duplicate:
                fresh[draft.notification_id] = draft
                continue
            duplicates += 1
            if isinstance(first, First) and first.untouched:
                # A call may be repeated because the first one was stored, but neither confirmed nor announced.
                again[draft.notification_id] = replace(draft, created_at=first.created_at, expire_at=first.expire_at)
        metrics.ACCEPTED.inc(len(fresh))
        metrics.DUPLICATES.inc(duplicates)
        self._announcements.offer(list((again | fresh).values()))


def _patience() -> float | None:
    # A little less than the caller has, so that the answer reaches it before it stops listening.
    left = deadline.remaining()
    return None if left is None else left - min(_ANSWER_SECONDS, left / 10)


def _dealt(group: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> list[Sequence[Outcome] | ClarionError]:
    answers: list[Sequence[Outcome] | ClarionError] = []
    at = 0
    for waiting in group:
        answers.append(outcomes[at : at + len(waiting.drafts)])
        at += len(waiting.drafts)
    return answers
