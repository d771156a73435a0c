"""Engines as the stack runs them: what survives a restart, and on another port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from pymongo import MongoClient

from deploy.local.composition.topics import create_topics
from deploy.local.engines import kafka, mongodb
from deploy.local.engines.running import running
from deploy.local.machine.places import cache_folder
from deploy.local.machine.ports import free_ports
from services.topics import ALL, PARTITIONS

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.local.engines.kafka import FoundKafka


def broker(found: FoundKafka, folder: Path) -> kafka.Kafka:
    port, controller_port = free_ports(2)
    return kafka.Kafka(found, port=port, controller_port=controller_port, data=folder / "kafka")


def received(bootstrap: str, topic: str) -> bytes | None:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "g", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    message = consumer.poll(20)
    consumer.close()
    return message.value() if message is not None else None


def produce(bootstrap: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    producer.produce(topic, value=value)
    assert producer.flush(20) == 0


def test_mongodb_keeps_its_data_when_it_comes_back_on_another_port(tmp_path: Path) -> None:
    for expected in (0, 1):
        engine = mongodb.MongoDB(mongodb.find({"PATH": ""}), port=free_ports(1)[0], data=tmp_path / "mongodb")
        with running(engine, log=tmp_path / "log"):
            client: MongoClient[dict[str, object]] = MongoClient(engine.address)
            with client:
                assert client.kept.things.count_documents({}) == expected
                client.kept.things.insert_one({})


def test_kafka_keeps_its_data_when_it_comes_back_on_another_port(tmp_path: Path, local_environ: dict[str, str]) -> None:
    found = kafka.find(local_environ, cache=cache_folder())
    with running(broker(found, tmp_path), log=tmp_path / "log") as engine:
        create_topics(engine.address)
        produce(engine.address, ALL[0], b"kept")
    with running(broker(found, tmp_path), log=tmp_path / "log") as engine:
        create_topics(engine.address)
        assert received(engine.address, ALL[0]) == b"kept"


def test_topics_are_made_once_with_their_prefix_and_partitions(kafka_bootstrap: str) -> None:
    create_topics(kafka_bootstrap, prefix="second.")
    create_topics(kafka_bootstrap, prefix="second.")
    topics = AdminClient({"bootstrap.servers": kafka_bootstrap}).list_topics(timeout=20).topics
    made = {name: len(topic.partitions) for name, topic in topics.items() if name.startswith("second.")}
    assert made == {f"second.{name}": PARTITIONS for name in ALL}


def test_the_emulator_serves_where_java_and_maven_are_missing(tmp_path: Path) -> None:
    found = kafka.find({"PATH": ""}, cache=tmp_path)
    with running(broker(found, tmp_path), log=tmp_path / "log") as engine:
        create_topics(engine.address)
        produce(engine.address, ALL[0], b"hello")
        assert received(engine.address, ALL[0]) == b"hello"
