"""The processor with a real Kafka and peers over real channels."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import grpc
import pytest
from clarion.events.v1 import NotificationEvent
from clarion.notification.v1 import DeliveryOptions, Recipient
from clarion.type.v1 import (
    CHANNEL_PUSH,
    CHANNEL_SMS,
    PRIORITY_NORMAL,
    ROUTING_FIRST,
    Address,
    Content,
    PushContent,
    SmsContent,
)
from confluent_kafka.admin import AdminClient
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2

from deploy.local.composition.topics import create_topics
from deploy.local.machine.ports import free_ports
from services import topics
from services.processor.bootstrap import build
from services.processor.domain import Outcome, Standing
from services.processor.settings import Settings
from services.runtime import kafka
from services.runtime.kafka import KafkaSource, Received, Record
from services.runtime.process import Process
from tests.integration.processor.peers import Peers, issuing, serving
from tests.unit.processor.fakes import device, phone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from services.runtime.settings import KafkaSettings

PATIENCE = 30.0
LANES = (topics.NOTIFICATIONS_CRITICAL, topics.NOTIFICATIONS_NORMAL, topics.NOTIFICATIONS_BULK)


@pytest.fixture
def prefix(kafka_bootstrap: str) -> Iterator[str]:
    """Topics of this test's own."""
    made = f"{uuid.uuid4().hex[:8]}."
    create_topics(kafka_bootstrap, prefix=made)
    yield made
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap, "log_level": 0})
    for deletion in admin.delete_topics([made + name for name in topics.ALL]).values():
        deletion.result(PATIENCE)


@pytest.fixture
def peers() -> Peers:
    made = Peers()
    made.directory.known = {"ada": (device("a1"), phone("+351211111111"))}
    return made


@pytest.fixture
async def variables(kafka_bootstrap: str, prefix: str, peers: Peers) -> AsyncIterator[Mapping[str, str]]:
    """The environment of a processor."""
    async with issuing() as issuer, serving(peers) as outbound:
        yield {
            "CLARION_GRPC_PORT": "0",
            "CLARION_METRICS_PORT": "0",
            "CLARION_KAFKA_BOOTSTRAP": kafka_bootstrap,
            "CLARION_TOPIC_PREFIX": prefix,
            "CLARION_OUTBOUND": outbound,
            "CLARION_ISSUER": issuer,
            "CLARION_CLIENT_ID": "processor",
            "CLARION_CLIENT_SECRET": "made-up",
        }


@pytest.fixture
def settings(variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings()  # type: ignore[call-arg]  # it reads the environment


@asynccontextmanager
async def processing(settings: Settings) -> AsyncIterator[asyncio.Event]:
    """Run a processor; it drains when the context ends, or when the event is set."""
    ended = asyncio.Event()
    async with AsyncExitStack() as stack:
        process = Process("processor", settings, stack, traced=False)
        await build(process)
        living = asyncio.create_task(process.live(ended))
        try:
            yield ended
        finally:
            ended.set()
            await living


async def publish(settings: KafkaSettings, *messages: tuple[str, NotificationEvent | bytes]) -> None:
    async with kafka.publisher(settings) as publisher:
        await publisher.publish(
            [
                Record(
                    topic=topic,
                    # One key, one partition: what is bad is in the midst of what is good.
                    key=b"k",
                    value=event if isinstance(event, bytes) else event.SerializeToString(),
                    headers={"tenant": "acme"},
                )
                for topic, event in messages
            ]
        )


def event(notification_id: str, *recipients: Recipient) -> NotificationEvent:
    now, later = Timestamp(), Timestamp()
    now.GetCurrentTime()
    later.FromSeconds(now.seconds + 3600)
    return NotificationEvent(
        tenant="acme",
        notification_id=notification_id,
        recipients=recipients or [Recipient(user_id="ada")],
        content=Content(push=PushContent(title="Hi"), sms=SmsContent(body="Hi")),
        options=DeliveryOptions(channels=[CHANNEL_PUSH, CHANNEL_SMS], routing=ROUTING_FIRST, priority=PRIORITY_NORMAL),
        accept_time=now,
        expire_time=later,
    )


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110  # the peers are not told when to look
            await asyncio.sleep(0.02)


async def dead_letters(settings: KafkaSettings, count: int) -> list[Received]:
    source = KafkaSource(settings, group="reader", topics=[topics.DEAD_LETTERS])
    found: list[Received] = []
    try:
        async with asyncio.timeout(PATIENCE):
            while len(found) < count:
                found += await source.read(100, 0.2)
    finally:
        await source.close()
    return found


async def test_all_three_lanes_are_delivered_reported_and_committed(settings: Settings, peers: Peers) -> None:
    late = event("late")
    late.expire_time.FromSeconds(late.accept_time.seconds)
    peers.progress.standings["cancelled"] = Standing.FINAL
    direct = Recipient(address=Address(phone="+351222222222"))
    mixed = event("mixed", Recipient(user_id="ada"), Recipient(user_id="nobody"), direct)
    await publish(settings, *((topic, event(f"{topic}-{number}")) for topic in LANES for number in range(20)))
    await publish(
        settings, (LANES[1], mixed), (LANES[1], late), (LANES[2], event("cancelled")), (LANES[2], event("last"))
    )
    async with processing(settings):
        await eventually(lambda: len(peers.progress.reports) == 63)
    assert all(peers.progress.counts(f"{topic}-{number}") == {"sent": 1} for topic in LANES for number in range(20))
    assert peers.progress.counts("mixed") == {"sent": 2, "suppressed": 1}
    assert peers.progress.counts("late") == {"expired": 1}
    assert not any(notification in ("late", "cancelled") for notification, _, _ in peers.deliveries.handed_over)
    assert set(peers.deliveries.handed_over.values()) == {1}
    assert max(peers.seconds_left) < settings.batch_seconds + 1  # gRPC rounds up
    assert peers.credentials == {"Bearer made-up"}

    begun = len(peers.progress.begun)
    await publish(settings, *((topic, event(f"{topic}-next")) for topic in LANES))
    async with processing(settings):
        await eventually(lambda: len(peers.progress.reports) == 66)
    again = {notification for _, notification, _ in peers.progress.begun[begun:]}
    assert again == {f"{topic}-next" for topic in LANES}


async def test_what_cannot_be_read_or_done_is_set_aside_and_the_others_go_on(settings: Settings, peers: Peers) -> None:
    peers.refused.add("poison")
    await publish(
        settings,
        (LANES[0], event("before")),
        (LANES[0], b"\xff\xff"),
        (LANES[0], event("poison")),
        (LANES[0], event("after")),
    )
    async with processing(settings):
        await eventually(lambda: {("acme", name, 0) for name in ("before", "after")} <= set(peers.progress.reports))
        letters = await dead_letters(settings, 2)
    garbage, poison = sorted(letters, key=lambda each: each.headers["reason"], reverse=True)
    assert (garbage.headers["reason"], garbage.value) == ("UNPARSABLE", b"\xff\xff")
    assert poison.headers["reason"] == "PROCESSING_FAILED"
    assert NotificationEvent.FromString(poison.value).notification_id == "poison"
    assert poison.headers["source-topic"] == LANES[0]
    assert poison.headers["tenant"] == "acme"
    assert ("acme", "poison", 0) not in peers.progress.reports


async def test_an_outage_delays_and_neither_loses_nor_repeats(settings: Settings, peers: Peers) -> None:
    peers.statuses = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED]
    peers.deliveries.answers = {"a1": (Outcome.FAILED, "TOKEN_GONE")}
    await publish(settings, *((LANES[1], event(f"n{number}")) for number in range(10)))
    async with processing(settings):
        await eventually(lambda: len(peers.progress.reports) == 10)
    assert all(peers.progress.counts(f"n{number}") == {"failed": 1, "sent": 1} for number in range(10))
    assert set(peers.deliveries.handed_over.values()) == {1}


async def test_a_drain_finishes_and_commits_the_batch_in_hand(settings: Settings, peers: Peers) -> None:
    peers.open_for_delivery.clear()
    await publish(settings, (LANES[0], event("in-hand")))
    async with processing(settings) as ended:
        async with asyncio.timeout(PATIENCE):
            await peers.delivering.wait()
        ended.set()
        peers.open_for_delivery.set()
    assert peers.progress.counts("in-hand") == {"sent": 1}
    begun = len(peers.progress.begun)
    await publish(settings, (LANES[0], event("next")))
    async with processing(settings):
        await eventually(lambda: ("acme", "next", 0) in peers.progress.reports)
    assert {notification for _, notification, _ in peers.progress.begun[begun:]} == {"next"}


async def test_the_program_is_healthy_counts_and_ends_with_0_on_sigterm(
    variables: Mapping[str, str], settings: Settings, peers: Peers
) -> None:
    grpc_port, metrics_port = free_ports(2)
    ports = {"CLARION_GRPC_PORT": str(grpc_port), "CLARION_METRICS_PORT": str(metrics_port)}
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.processor", env={**os.environ, **variables, **ports}
    )
    try:
        await publish(settings, (LANES[2], event("n1")))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            answer = await check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=PATIENCE)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        await eventually(lambda: ("acme", "n1", 0) in peers.progress.reports)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{metrics_port}/metrics") as response,
        ):
            metrics = await response.text()
        assert 'clarion_processor_outcomes_total{lane="bulk",outcome="sent"} 1.0' in metrics
        assert 'clarion_processor_batches_total{lane="bulk",result="done"} 1.0' in metrics
        assert "ada" not in metrics
        program.send_signal(signal.SIGTERM)
        async with asyncio.timeout(settings.drain_seconds + 10):
            assert await program.wait() == 0
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
