"""Kafka: publishing with acknowledgement, and consuming in batches whose offsets are committed last."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.aio import AIOConsumer

from services.runtime.errors import Unavailable
from services.runtime.metrics import CONSUMED, PUBLISH_FAILURES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from services.runtime.settings import KafkaSettings

log = structlog.get_logger()
# librdkafka writes twenty lines a second while the broker is down; what matters is logged by whoever publishes or reads.
_driver_log = logging.getLogger("librdkafka")
_driver_log.setLevel(logging.CRITICAL)

MESSAGE_MAX_BYTES = 1_000_000
ACKNOWLEDGE_SECONDS = 10.0
CLOSE_SECONDS = 1.0
_COMMON = {"reconnect.backoff.ms": 100, "reconnect.backoff.max.ms": 2_000, "socket.keepalive.enable": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One message to publish."""

    topic: str
    value: bytes
    key: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class KafkaPublisher:
    """Publishes with acks=all. Messages of one call share a wait; order holds per key within a call."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Nothing is contacted before the first publish."""
        self._config = _COMMON | {
            "bootstrap.servers": settings.kafka_bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 2,
            "compression.type": "lz4",
            "message.max.bytes": MESSAGE_MAX_BYTES,
            "delivery.timeout.ms": int(ACKNOWLEDGE_SECONDS * 1000),
            "queue.buffering.max.messages": 100_000,
            "queue.buffering.max.kbytes": 64 * 1024,
        }
        self._prefix = settings.topic_prefix
        self._producer = Producer(self._config, logger=_driver_log)
        self._closing = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="kafka-publisher", daemon=True)
        self._poller.start()

    async def publish(self, records: Sequence[Record]) -> None:
        """Return once every record is acknowledged by all in-sync replicas.

        Raises Unavailable if any was not within ACKNOWLEDGE_SECONDS; some may have been written all the same.
        """
        if not records:
            return
        acknowledgement = _Acknowledgement(len(records))
        try:
            for record in records:
                self._producer.produce(
                    self._prefix + record.topic,
                    record.value,
                    record.key,
                    headers=dict(record.headers),
                    on_delivery=acknowledgement.on_delivery,
                )
        except (BufferError, KafkaException) as exc:
            self._replace_if_fatal(exc)
            PUBLISH_FAILURES.labels(records[0].topic).inc()
            raise Unavailable("Kafka takes no more messages now") from exc
        try:
            await asyncio.wait_for(acknowledgement.future, ACKNOWLEDGE_SECONDS + 1)
        except (KafkaException, TimeoutError) as exc:
            self._replace_if_fatal(exc)
            PUBLISH_FAILURES.labels(records[0].topic).inc(len(records))
            raise Unavailable("Kafka did not acknowledge the messages") from exc

    async def close(self) -> None:
        """Give what nobody waits for any more CLOSE_SECONDS; everything else `publish` has waited for."""
        self._closing.set()
        await asyncio.to_thread(self._poller.join)
        await asyncio.to_thread(self._producer.flush, CLOSE_SECONDS)

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(0.1)

    def _replace_if_fatal(self, exc: BaseException) -> None:
        # A broker that lost its state makes an idempotent producer fail for good; a new one starts a new sequence.
        error = exc.args[0] if isinstance(exc, KafkaException) and exc.args else None
        if isinstance(error, KafkaError) and (error.fatal() or error.code() in _SEQUENCE_ERRORS):
            log.error("kafka_producer_replaced", error=error.name())
            self._producer = Producer(self._config, logger=_driver_log)


_SEQUENCE_ERRORS = frozenset(
    {KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, KafkaError.UNKNOWN_PRODUCER_ID, KafkaError._FATAL}
)


class _Acknowledgement:
    """Counts delivery reports, which come on the poller's thread, and then wakes the one who waits."""

    def __init__(self, expected: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self._loop.create_future()
        self._missing = expected
        self._error: KafkaError | None = None

    def on_delivery(self, error: KafkaError | None, message: Message) -> None:
        self._error = self._error or error
        self._missing -= 1
        if not self._missing and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if self.future.done():
            return
        if self._error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(KafkaException(self._error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One message that was consumed; `topic` is without the stack's prefix."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: Mapping[str, str]


class KafkaSource:
    """Reads one group's share of some topics in batches. Nothing is committed unless it is asked for."""

    def __init__(self, settings: KafkaSettings, *, group: str, topics: Sequence[str]) -> None:
        """Must be made inside a running event loop."""
        self._prefix = settings.topic_prefix
        self._topics = [self._prefix + topic for topic in topics]
        self._consumer = AIOConsumer(
            _COMMON
            | {
                "bootstrap.servers": settings.kafka_bootstrap,
                "group.id": self._prefix + group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": 10_000,
                "max.poll.interval.ms": 300_000,
                "fetch.wait.max.ms": 50,
                "queued.max.messages.kbytes": 16 * 1024,
                "logger": _driver_log,
            },
            max_workers=2,
        )
        self._subscribed = False

    async def read(self, limit: int, wait: float) -> list[Received]:
        """Up to `limit` messages; as soon as there are any, at the latest after `wait` seconds (then maybe none)."""
        if not self._subscribed:
            await self._consumer.subscribe(self._topics)
            self._subscribed = True
        first = await self._consumer.consume(1, wait)
        more = await self._consumer.consume(limit - 1, 0.002) if first and limit > 1 else []
        received = []
        for message in (*first, *more):
            if error := message.error():
                log.warning("consume_failed", error=error.name(), topics=self._topics)
            else:
                received.append(self._received(message))
        return received

    async def commit(self, messages: Iterable[Received]) -> None:
        """Record that these messages, and all before them, are done.

        A failure is logged and otherwise left: the worst is that they come again.
        """
        last: dict[tuple[str, int], int] = {}
        count: dict[str, int] = {}
        for message in messages:
            at = (message.topic, message.partition)
            last[at] = max(last.get(at, 0), message.offset + 1)
            count[message.topic] = count.get(message.topic, 0) + 1
        if not last:
            return
        offsets = [
            TopicPartition(self._prefix + topic, partition, offset) for (topic, partition), offset in last.items()
        ]
        try:
            await self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as exc:
            log.warning("commit_failed", error=str(exc.args[0]))
            return
        for topic, done in count.items():
            CONSUMED.labels(topic).inc(done)

    async def rewind(self, messages: Iterable[Received]) -> None:
        """Go back to the first of these messages in each partition, so that they are read again."""
        first: dict[tuple[str, int], int] = {}
        for message in messages:
            at = (message.topic, message.partition)
            first[at] = min(first.get(at, message.offset), message.offset)
        for (topic, partition), offset in first.items():
            try:
                await self._consumer.seek(TopicPartition(self._prefix + topic, partition, offset))
            except KafkaException as exc:
                # The partition went to another member, which starts from the committed offset by itself.
                log.warning("rewind_skipped", topic=topic, partition=partition, error=str(exc.args[0]))

    async def close(self) -> None:
        """Leave the group."""
        await self._consumer.close()

    def _received(self, message: Message) -> Received:
        headers = message.headers() or []
        pairs = headers.items() if isinstance(headers, dict) else headers
        return Received(
            topic=str(message.topic()).removeprefix(self._prefix),
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            key=_bytes(message.key()),
            value=_bytes(message.value()) or b"",
            headers={name: _text(value) for name, value in pairs},
        )


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def _text(value: str | bytes | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""


@asynccontextmanager
async def publisher(settings: KafkaSettings) -> AsyncIterator[KafkaPublisher]:
    """A publisher that is flushed when the context ends."""
    made = KafkaPublisher(settings)
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def source(settings: KafkaSettings, *, group: str, topics: Sequence[str]) -> AsyncIterator[KafkaSource]:
    """A source that leaves its group when the context ends."""
    made = KafkaSource(settings, group=group, topics=topics)
    try:
        yield made
    finally:
        await made.close()
