"""The life of a worker: read a batch, handle it, commit last; set aside what cannot be read; back off from failure."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import structlog
from google.protobuf.message import DecodeError

from services.runtime import tracing
from services.runtime.errors import ClarionError
from services.runtime.kafka import Record
from services.runtime.metrics import CONSUME_RETRIES, DEAD_LETTERED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from services.runtime.kafka import Received

log = structlog.get_logger()
Item = TypeVar("Item")
DEAD_LETTERS = "dead-letters"
UNPARSABLE = "UNPARSABLE"
FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.1, 5.0


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
        self._failures = 0

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
        try:
            with tracing.batch_span(self._name, (each.headers for each in messages), messages=len(messages)):
                items = await self._readable(messages)
                if items:
                    await self._handle(items)
        except Exception as exc:
            await self._again(messages, exc)
        else:
            self._failures = 0
            await self._source.commit(messages)

    async def _readable(self, messages: Sequence[Received]) -> list[Item]:
        items, unreadable = [], []
        for message in messages:
            try:
                items.append(self._parse(message))
            except (DecodeError, ValueError) as exc:
                unreadable.append(dead_letter(message, UNPARSABLE, type(exc).__name__))
        await self._publisher.publish(unreadable)
        for record in unreadable:
            DEAD_LETTERED.labels(record.headers["source-topic"], UNPARSABLE).inc()
            log.error("message_unparsable", **{name.replace("-", "_"): value for name, value in record.headers.items()})
        return items

    async def _again(self, messages: Sequence[Received], exc: Exception) -> None:
        self._failures += 1
        backoff = min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** (self._failures - 1)) * (
            0.5 + self._jitter() / 2
        )
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
