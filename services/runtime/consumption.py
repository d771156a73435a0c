"""The life of a worker: read a batch, handle it, commit last; back off from failure; set aside what can never be done.

A failure that says it may pass (`retryable`) is waited out. One that will not pass, or passed in none of a few
attempts, is traced to its message by handling the batch one by one, and that message becomes a dead letter.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import structlog
from google.protobuf.message import DecodeError

from services.runtime import tracing
from services.runtime.errors import (
    AlreadyExists,
    ClarionError,
    Denied,
    InvalidInput,
    NotFound,
    PreconditionFailed,
)
from services.runtime.kafka import Record
from services.runtime.metrics import CONSUME_RETRIES, DEAD_LETTERED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from services.runtime.kafka import Received

log = structlog.get_logger()
Item = TypeVar("Item")
DEAD_LETTERS = "dead-letters"
UNPARSABLE = "UNPARSABLE"
PROCESSING_FAILED = "PROCESSING_FAILED"
FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.1, 5.0
MAX_RETRY_AFTER_SECONDS = 60.0
ATTEMPTS = 5
"""How often a batch that fails for no known reason is tried as a whole."""
MOST_FAILED_IN_A_ROW = 20
"""So many messages in a row that fail are not at fault, this release or a peer is: no more are set aside."""
_VERDICTS = (InvalidInput, NotFound, PreconditionFailed, Denied, AlreadyExists)


class Source(Protocol):
    """What batches are read from."""

    async def read(self, limit: int, wait: float) -> list[Received]:
        """Up to `limit` messages, after `wait` seconds at the latest."""

    async def commit(self, messages: Sequence[Received]) -> None:
        """These are done."""

    async def rewind(self, messages: Sequence[Received]) -> None:
        """These are to be read again."""


class Publisher(Protocol):
    """Where dead letters go."""

    async def publish(self, records: Sequence[Record]) -> None:
        """Return once all are acknowledged."""


class Consumption(Generic[Item]):
    """Hands batches of parsed messages to a handler. A message is committed only after it was handled or set aside."""

    def __init__(
        self,
        *,
        name: str,
        source: Source,
        publisher: Publisher,
        parse: Callable[[Received], Item],
        handle: Callable[[Sequence[Item]], Awaitable[None]],
        batch_size: int = 500,
        wait_seconds: float = 0.2,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`parse` raises DecodeError or ValueError for what no release can read; `jitter` answers in [0, 1)."""
        self._name = name
        self._source, self._publisher = source, publisher
        self._parse, self._handle = parse, handle
        self._batch_size, self._wait = batch_size, wait_seconds
        self._jitter = jitter
        self._stopping = asyncio.Event()
        self._failures = self._unexplained = self._failed_in_a_row = 0

    def stop(self) -> None:
        """Take no more; what is in hand is finished."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until stopped."""
        while not self._stopping.is_set():
            await self.step()

    async def step(self) -> None:
        """Read and finish one batch; if it fails, arrange that it comes again, and wait a little longer each time."""
        messages = await self._source.read(self._batch_size, self._wait)
        if not messages:
            return
        done: list[Received] = []
        try:
            with tracing.batch_span(self._name, (each.headers for each in messages), messages=len(messages)):
                await self._work(messages, done)
        except Exception as exc:
            await self._source.commit(done)
            await self._again(messages[len(done) :], exc)
        else:
            self._failures = self._unexplained = 0
            await self._source.commit(messages)

    async def _work(self, messages: Sequence[Received], done: list[Received]) -> None:
        items, unreadable = self._parsed(messages)
        try:
            if items:
                await self._handle(list(items.values()))
                self._failed_in_a_row = 0
        except Exception as exc:
            if self._may_pass(exc):
                raise
            log.warning("batch_taken_apart", worker=self._name, error=type(exc).__name__, messages=len(messages))
        else:
            await self._set_aside(UNPARSABLE, [(messages[at], error) for at, error in unreadable.items()])
            return
        for at, message in enumerate(messages):
            if at in items:
                await self._alone(message, items[at])
            else:
                await self._set_aside(UNPARSABLE, [(message, unreadable[at])])
            done.append(message)

    def _parsed(self, messages: Sequence[Received]) -> tuple[dict[int, Item], dict[int, Exception]]:
        items: dict[int, Item] = {}
        unreadable: dict[int, Exception] = {}
        for at, message in enumerate(messages):
            try:
                items[at] = self._parse(message)
            except (DecodeError, ValueError) as exc:
                unreadable[at] = exc
        return items, unreadable

    async def _alone(self, message: Received, item: Item) -> None:
        try:
            await self._handle([item])
        except AlreadyExists:
            pass
        except Exception as exc:
            if self._may_pass(exc):
                raise
            if self._failed_in_a_row >= MOST_FAILED_IN_A_ROW:
                log.critical("dead_letters_withheld", worker=self._name, in_a_row=self._failed_in_a_row)
                raise
            self._failed_in_a_row += 1
            await self._set_aside(PROCESSING_FAILED, [(message, exc)])
            return
        self._failed_in_a_row = 0

    def _may_pass(self, exc: Exception) -> bool:
        if isinstance(exc, ClarionError) and exc.retryable:
            return True
        if isinstance(exc, _VERDICTS):
            return False
        self._unexplained += 1
        return self._unexplained < ATTEMPTS

    async def _set_aside(self, reason: str, failed: Sequence[tuple[Received, Exception]]) -> None:
        await self._publisher.publish([dead_letter(message, reason, type(exc).__name__) for message, exc in failed])
        for message, exc in failed:
            DEAD_LETTERED.labels(message.topic, reason).inc()
            log.error(
                "message_set_aside",
                worker=self._name,
                reason=reason,
                error=type(exc).__name__,
                topic=message.topic,
                partition=message.partition,
                offset=message.offset,
            )

    async def _again(self, messages: Sequence[Received], exc: Exception) -> None:
        self._failures += 1
        backoff = min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** (self._failures - 1)) * (
            0.5 + self._jitter() / 2
        )
        if isinstance(exc, ClarionError) and exc.retry_after is not None:
            backoff = max(backoff, min(exc.retry_after, MAX_RETRY_AFTER_SECONDS))
        CONSUME_RETRIES.labels(messages[0].topic).inc()
        known = isinstance(exc, ClarionError) and exc.retryable
        log.warning("batch_failed", worker=self._name, error=type(exc).__name__, backoff=backoff, exc_info=not known)
        await self._source.rewind(messages)
        try:
            await asyncio.wait_for(self._stopping.wait(), backoff)
        except TimeoutError:
            return


def dead_letter(message: Received, reason: str, error: str) -> Record:
    """The message as it came, with where it came from and why it is here in its headers. `error` holds no content."""
    return Record(
        topic=DEAD_LETTERS,
        key=message.key,
        value=message.value,
        headers={
            **message.headers,
            "source-topic": message.topic,
            "source-partition": str(message.partition),
            "source-offset": str(message.offset),
            "reason": reason,
            "error": error,
        },
    )
