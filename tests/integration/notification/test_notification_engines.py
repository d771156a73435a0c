"""What the engines see of the service, and what its callers see when one of them is gone."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
from clarion.events.v1 import AnalyticsEvent, NotificationEvent
from clarion.notification.v1 import BatchSendNotificationsRequest, GetNotificationRequest
from clarion.type.v1 import PRIORITY_BULK, PRIORITY_CRITICAL
from confluent_kafka import Consumer, TopicPartition
from prometheus_client import REGISTRY

from deploy.local.machine.ports import free_ports
from services import topics as names
from services.notification.domain import Filter, Position
from services.runtime.errors import Unavailable
from tests.integration.notification.conftest import World, kafka_events, serving, until
from tests.serving import refusal
from tests.unit.notification.builders import made, send_request
from tests.unit.notification.fakes import Events

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    import pytest
    from confluent_kafka import Message

    from services.notification.adapters.mongo import MongoNotifications
    from tests.conftest import Topics


def nowhere() -> str:
    (port,) = free_ports(1)
    return f"127.0.0.1:{port}"


def read_all(bootstrap: str, topic: str, number: int) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic, "enable.auto.commit": False})
    partitions = list(consumer.list_topics(topic, timeout=20).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    messages: list[Message] = []
    until = time.monotonic() + 20
    while len(messages) < number and time.monotonic() < until:
        messages += [each for each in consumer.consume(number, 0.5) if each.error() is None]
    consumer.close()
    return messages


async def test_accepted_notifications_reach_their_lanes_and_analytics(
    mongo_url: str, mongo_database: str, kafka_bootstrap: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes = {PRIORITY_CRITICAL: topics("critical"), PRIORITY_BULK: topics("bulk")}
    analytics = topics("analytics")
    monkeypatch.setattr("services.notification.adapters.kafka.LANES", lanes)
    monkeypatch.setattr(names, "ANALYTICS_EVENTS", analytics)
    large = send_request(*(f"user-{number}" for number in range(1_200)), priority=PRIORITY_BULK)
    async with (
        kafka_events(kafka_bootstrap) as events,
        serving(mongo_url=mongo_url, database=mongo_database, events=events) as world,
    ):
        one = await world.api.SendNotification(
            send_request("ada", priority=PRIORITY_CRITICAL, key="k"), metadata=world.sender()
        )
        await world.api.SendNotification(
            send_request("ada", priority=PRIORITY_CRITICAL, key="k"), metadata=world.sender()
        )
        many = await world.api.SendNotification(large, metadata=world.sender())
    # No worker had begun it when the call was repeated: it is announced again, as the same event.
    critical, again = await asyncio.to_thread(read_all, kafka_bootstrap, lanes[PRIORITY_CRITICAL], 2)
    assert critical.value() == again.value()
    event = NotificationEvent.FromString(critical.value() or b"")
    assert (event.tenant, event.notification_id) == ("acme", one.notification_id)
    assert dict(critical.headers() or [])["tenant"] == b"acme"
    bulk = await asyncio.to_thread(read_all, kafka_bootstrap, lanes[PRIORITY_BULK], 3)
    chunks = sorted((NotificationEvent.FromString(each.value() or b"") for each in bulk), key=lambda each: each.chunk)
    assert [len(each.recipients) for each in chunks] == [500, 500, 200]
    assert [each.user_id for chunk in chunks for each in chunk.recipients] == [
        each.user_id for each in large.recipients
    ]
    heard = await asyncio.to_thread(read_all, kafka_bootstrap, analytics, 3)
    steps = [AnalyticsEvent.FromString(each.value() or b"") for each in heard]
    assert {step.notification_id for step in steps} == {one.notification_id, many.notification_id}
    assert len({step.event_id for step in steps}) == 2
    assert {step.reason for step in steps} == {"ACCEPTED"}


async def test_with_kafka_down_accepting_goes_on(
    mongo_url: str, mongo_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.runtime.kafka.ACKNOWLEDGE_SECONDS", 0.5)
    before = left("unavailable")
    async with (
        kafka_events(nowhere()) as events,
        serving(mongo_url=mongo_url, database=mongo_database, events=events) as world,
    ):
        for _ in range(5):
            await asyncio.gather(
                *(world.api.SendNotification(send_request(), metadata=world.sender(), timeout=2) for _ in range(20))
            )
        assert await world.collection.count_documents({"processed_at": None}) == 100
        await until(lambda: left("unavailable") == before + 100)


def left(why: str) -> float:
    return REGISTRY.get_sample_value("clarion_publication_left_total", {"why": why}) or 0.0


class Refusing(Events):
    async def publish(self, accepted: Sequence[Any]) -> None:
        raise Unavailable


async def test_what_kafka_does_not_take_is_there_for_the_reconciler(mongo_url: str, mongo_database: str) -> None:
    async with serving(mongo_url=mongo_url, database=mongo_database, events=Refusing()) as world:
        sent = await world.api.SendNotification(send_request(), metadata=world.sender())
        left = await world.collection.find({"processed_at": None}, {"_id": True}).to_list(None)
    assert [each["_id"] for each in left] == [sent.notification_id]


async def test_with_mongodb_down_callers_hear_it_within_their_deadline() -> None:
    async with serving(mongo_url=f"mongodb://{nowhere()}/?replicaSet=rs0", database="none") as world:
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: world.api.SendNotification(send_request(), metadata=world.sender(), timeout=1.0),
            lambda: world.api.BatchSendNotifications(
                BatchSendNotificationsRequest(requests=[send_request()]), metadata=world.sender(), timeout=4.0
            ),
            lambda: world.api.GetNotification(
                GetNotificationRequest(notification_id="n1"), metadata=world.sender(), timeout=4.0
            ),
        ]
        for call in calls:
            refused = await refusal(call())
            assert refused.code == grpc.StatusCode.UNAVAILABLE
            assert refused.retry_after
        assert world.events.published == []  # type: ignore[attr-defined]


async def test_once_mongodb_is_known_to_be_down_nobody_else_waits_for_it() -> None:
    async with serving(mongo_url=f"mongodb://{nowhere()}/?replicaSet=rs0", database="none", flushes=1) as world:
        await refusal(world.api.SendNotification(send_request(), metadata=world.sender()))
        probe = asyncio.ensure_future(refusal(world.api.SendNotification(send_request(), metadata=world.sender())))
        await until(lambda: world.store.inserts == 2)
        others = [refusal(world.api.SendNotification(send_request(), metadata=world.sender())) for _ in range(20)]
        refused = await asyncio.gather(*others)
        assert {each.code for each in refused} == {grpc.StatusCode.UNAVAILABLE}
        assert not probe.done()
        await probe
        assert world.store.inserts == 2


async def test_indexes_serve_the_questions_that_are_asked(world: World) -> None:
    await world.store.create_indexes()
    await world.store.insert([made() for _ in range(50)])
    now = datetime.now(UTC)

    async def index_of(query: dict[str, Any], **sort: int) -> set[str]:
        plan = await world.collection.find(query).sort(list(sort.items()) or [("_id", 1)]).explain()
        return set(_values(plan["queryPlanner"]["winningPlan"], "indexName"))

    unprocessed = {"processed_at": {"$type": "null"}, "created_at": {"$lt": now}}
    assert await index_of(unprocessed, created_at=1) == {"unprocessed"}
    mine = {"tenant": "acme", "created_at": {"$lte": now}}
    assert await index_of(mine, created_at=-1, _id=-1) == {"tenant_newest_first"}
    indexes = await world.collection.index_information()
    assert indexes["purge"]["expireAfterSeconds"] == 0


def _values(plan: Any, key: str) -> list[str]:
    if isinstance(plan, list):
        return [found for each in plan for found in _values(each, key)]
    if not isinstance(plan, dict):
        return []
    own = [plan[key]] if key in plan else []
    return own + [found for each in plan.values() for found in _values(each, key)]


async def test_a_page_reads_no_more_than_it_shows(world: World) -> None:
    drafts = [made() for _ in range(60)]
    await world.store.insert(drafts)
    after = Position(created_at=drafts[30].created_at, notification_id=drafts[30].notification_id)
    page = await world.store.find("acme", Filter(), after=after, limit=10)
    assert [each.notification_id for each in page] == [each.notification_id for each in reversed(drafts[20:30])]


async def test_the_process_can_be_made_twice(mongo_url: str, mongo_database: str) -> None:
    async with serving(mongo_url=mongo_url, database=mongo_database) as world:
        store: MongoNotifications = world.store
        await asyncio.gather(store.create_indexes(), store.create_indexes())
        await store.create_indexes()
