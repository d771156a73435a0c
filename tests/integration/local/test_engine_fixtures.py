"""The engines that every suite relies on do what the suites rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import Consumer, Producer
from pymongo import MongoClient, WriteConcern
from redis import Redis

if TYPE_CHECKING:
    from tests.conftest import Topics


def test_mongodb_takes_majority_writes_and_transactions(mongo_url: str, mongo_database: str) -> None:
    client: MongoClient[dict[str, object]] = MongoClient(mongo_url)
    with client, client.start_session() as session:
        collection = client[mongo_database].get_collection("things", write_concern=WriteConcern("majority"))
        collection.insert_one({"_id": 1})
        with session.start_transaction():
            collection.insert_one({"_id": 2}, session=session)
        assert collection.count_documents({}) == 2


def test_each_test_has_an_empty_redis(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_each_test_has_an_empty_redis_even_after_another(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_kafka_hands_on_what_an_idempotent_producer_wrote(kafka_bootstrap: str, topics: Topics) -> None:
    topic = topics("events", partitions=3)
    producer = Producer({"bootstrap.servers": kafka_bootstrap, "enable.idempotence": True})
    producer.produce(topic, value=b"hello", key=b"k")
    assert producer.flush(20) == 0
    consumer = Consumer({"bootstrap.servers": kafka_bootstrap, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    message = consumer.poll(20)
    consumer.close()
    assert message is not None
    assert message.value() == b"hello"
