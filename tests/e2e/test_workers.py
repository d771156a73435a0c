"""Workers stop, start and read what nobody can: what was accepted is neither lost nor sent twice."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING

import grpc
import pytest
from clarion.notification.v1 import (
    NOTIFICATION_STATE_ACCEPTED,
    NOTIFICATION_STATE_CANCELLED,
    NOTIFICATION_STATE_COMPLETED,
    NOTIFICATION_STATE_EXPIRED,
    BatchSendNotificationsRequest,
    CancelNotificationRequest,
    DeliveryOptions,
    SendNotificationRequest,
    WatchNotificationRequest,
)
from confluent_kafka import Consumer, Producer, TopicPartition
from google.protobuf.duration_pb2 import Duration

from deploy.local.demo.letters import Peer
from deploy.local.demo.waiting import until
from services.topics import DEAD_LETTERS, NOTIFICATIONS_NORMAL, PARTITIONS
from tests.e2e.refusals import refusal
from tests.e2e.world import SECONDS, phone

if TYPE_CHECKING:
    from clarion.notification.v1 import SendNotificationResponse
    from confluent_kafka import Message

    from tests.e2e.world import World

WORKER = "processor"


async def test_what_is_cancelled_or_past_its_time_is_never_sent(world: World) -> None:
    people = [world.stranger() for _ in range(3)]
    await world.stack.stop_process(WORKER)
    try:
        late = await _send(world, people[0].phone, ttl=1)
        cancelled = await _send(world, people[1].phone)
        kept = await _send(world, people[2].phone)
        request = CancelNotificationRequest(notification_id=cancelled.notification_id)
        for _ in range(2):
            answer = await world.call(world.tenant.notifications.CancelNotification, request)
            assert answer.notification.state == NOTIFICATION_STATE_CANCELLED
        assert (await world.get(late.notification_id)).state == NOTIFICATION_STATE_ACCEPTED
        expire = late.create_time.seconds + late.create_time.nanos / 1e9 + 1.1

        async def past() -> bool:
            return time.time() > expire

        assert await until(past, seconds=3)
    finally:
        await world.stack.start_process(WORKER)
    assert (await world.final(late.notification_id)).state == NOTIFICATION_STATE_EXPIRED
    assert (await world.final(cancelled.notification_id)).state == NOTIFICATION_STATE_CANCELLED
    assert (await world.final(kept.notification_id)).state == NOTIFICATION_STATE_COMPLETED
    assert [len(await world.letters(Peer.SMS, each.phone)) for each in people] == [0, 0, 1]


async def test_what_was_sent_cannot_be_cancelled(world: World) -> None:
    answer = await _send(world, world.stranger().phone)
    await world.final(answer.notification_id)
    no = await refusal(
        world.call(
            world.tenant.notifications.CancelNotification,
            CancelNotificationRequest(notification_id=answer.notification_id),
        )
    )
    assert no.code is grpc.StatusCode.FAILED_PRECONDITION
    assert no.reason == "ALREADY_PROCESSED"


async def test_a_watch_shows_every_state_until_the_last(world: World) -> None:
    await world.stack.stop_process(WORKER)
    try:
        answer = await _send(world, world.stranger().phone)
        watch = world.tenant.notifications.WatchNotification(
            WatchNotificationRequest(notification_id=answer.notification_id),
            metadata=world.tenant.metadata,
            timeout=SECONDS,
        )
        states = aiter(watch)
        assert (await anext(states)).notification.state == NOTIFICATION_STATE_ACCEPTED
    finally:
        await world.stack.start_process(WORKER)
    seen = [each.notification.state async for each in states]
    assert seen[-1] == NOTIFICATION_STATE_COMPLETED
    assert NOTIFICATION_STATE_ACCEPTED not in seen


async def test_a_worker_that_is_drained_under_load_loses_nothing(world: World) -> None:
    strangers = [world.stranger() for _ in range(600)]
    _, content = world.content(Peer.SMS)
    requests = [SendNotificationRequest(recipients=[phone(each.phone)], content=content) for each in strangers]
    answer = await world.call(
        world.tenant.notifications.BatchSendNotifications, BatchSendNotificationsRequest(requests=requests)
    )
    numbers = {each.phone for each in strangers}

    async def received() -> Counter[str]:
        return Counter(
            each.letter.address for each in await world.ledgers.receipts(Peer.SMS) if each.letter.address in numbers
        )

    async def begun() -> bool:
        return bool(await received())

    assert await until(begun, seconds=SECONDS, every=0.01)
    await world.stack.stop_process(WORKER)
    status = next(each for each in await world.stack.status() if each.name == WORKER)
    assert status.last_exit == 0, "the drain was not finished in time"
    await world.stack.start_process(WORKER)
    ends = await world.finals(each.accepted.notification_id for each in answer.results)
    assert Counter(each.state for each in ends) == {NOTIFICATION_STATE_COMPLETED: 600}
    assert await received() == Counter(numbers)


@pytest.mark.parametrize("garbage", [b"\xff\xfe not a message", b""])
async def test_what_does_not_parse_is_set_aside_and_the_partition_moves_on(world: World, garbage: bytes) -> None:
    prefix = world.stack.plan.environments[WORKER]["CLARION_TOPIC_PREFIX"]
    mark = f"garbage-{len(garbage)}"
    producer = Producer({"bootstrap.servers": world.stack.addresses.kafka_bootstrap, "log_level": 0})
    for partition in range(PARTITIONS):
        producer.produce(prefix + NOTIFICATIONS_NORMAL, garbage, mark.encode(), partition)
    assert await asyncio.to_thread(producer.flush, SECONDS) == 0
    # Enough recipients that every partition has one behind its garbage.
    answers = [await _send(world, world.stranger().phone) for _ in range(60)]
    ends = await world.finals(each.notification_id for each in answers)
    assert {end.state for end in ends} == {NOTIFICATION_STATE_COMPLETED}
    letters = await asyncio.to_thread(_dead_letters, world, prefix, mark.encode(), PARTITIONS)
    headers = [_headers(each) for each in letters]
    assert {each["source-partition"] for each in headers} == {str(number) for number in range(PARTITIONS)}
    assert {(each["source-topic"], each["reason"]) for each in headers} == {(NOTIFICATIONS_NORMAL, "UNPARSABLE")}
    assert {each.value() or b"" for each in letters} == {garbage}


def _headers(message: Message) -> dict[str, str]:
    pairs = dict(message.headers() or {})
    return {name: value.decode() if isinstance(value, bytes) else value or "" for name, value in pairs.items()}


def _dead_letters(world: World, prefix: str, key: bytes, count: int) -> list[Message]:
    consumer = Consumer(
        {
            "bootstrap.servers": world.stack.addresses.kafka_bootstrap,
            "group.id": "e2e-dead-letters",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    try:
        consumer.assign([TopicPartition(prefix + DEAD_LETTERS, number, 0) for number in range(PARTITIONS)])
        found: list[Message] = []
        deadline = time.monotonic() + SECONDS
        while len(found) < count and time.monotonic() < deadline:
            found += [each for each in consumer.consume(100, 0.5) if each.error() is None and each.key() == key]
    finally:
        consumer.close()
    assert len(found) == count
    return found


async def _send(world: World, number: str, *, ttl: int | None = None) -> SendNotificationResponse:
    _, content = world.content(Peer.SMS)
    options = DeliveryOptions(ttl=Duration(seconds=ttl)) if ttl else None
    return await world.send(phone(number), content=content, options=options)
