"""Real engines for every suite: started when a test first asks for one, each test with a place of its own.

The fixtures are synchronous and their engines are processes, so they depend on no event loop. A test takes

- `mongo_url` and `mongo_database`: a replica set of one node, and a database's name, dropped afterwards;
- `redis_url`: a Redis that is empty when the test begins;
- `kafka_bootstrap` and `topics`: a broker, and a maker of topics with names of their own.

They never use the engines that `CLARION_*_URL` names: tests drop and flush.
"""

from __future__ import annotations

import os
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from pymongo import MongoClient
from redis import Redis as RedisClient

from deploy.local.engines import kafka, mongodb, redis
from deploy.local.engines.running import running
from deploy.local.machine.places import cache_folder
from deploy.local.machine.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOPIC_SECONDS = 30.0


@pytest.fixture(scope="session")
def local_environ() -> dict[str, str]:
    """Give this process's environment without the engines that it names."""
    urls = {mongodb.URL_VARIABLE, redis.URL_VARIABLE, kafka.URL_VARIABLE}
    return {name: value for name, value in os.environ.items() if name not in urls}


@pytest.fixture(scope="session")
def mongo_url(tmp_path_factory: pytest.TempPathFactory, local_environ: dict[str, str]) -> Iterator[str]:
    """Give the URL of a real MongoDB, a replica set of one node."""
    folder = tmp_path_factory.mktemp("mongodb")
    (port,) = free_ports(1)
    engine = mongodb.MongoDB(mongodb.find(local_environ), port=port, data=folder / "data")
    with running(engine, log=folder / "log"):
        yield engine.address


@pytest.fixture
def mongo_database(mongo_url: str) -> Iterator[str]:
    """Give the name of a database that no other test uses; it is dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield name
    client: MongoClient[dict[str, object]] = MongoClient(mongo_url)
    with client:
        client.drop_database(name)


@pytest.fixture(scope="session")
def _redis_server(tmp_path_factory: pytest.TempPathFactory, local_environ: dict[str, str]) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("redis")
    (port,) = free_ports(1)
    engine = redis.Redis(redis.find(local_environ), port=port, data=folder / "data")
    with running(engine, log=folder / "log"):
        yield engine.address


@pytest.fixture
def redis_url(_redis_server: str) -> str:
    """Give the URL of a real Redis that is empty."""
    client = RedisClient.from_url(_redis_server)
    client.flushall()
    client.close()
    return _redis_server


@pytest.fixture(scope="session")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory, local_environ: dict[str, str]) -> Iterator[str]:
    """Give the bootstrap servers of a real Kafka (or of the emulator where Java or Maven is missing)."""
    folder = tmp_path_factory.mktemp("kafka")
    port, controller_port = free_ports(2)
    engine = kafka.Kafka(
        kafka.find(local_environ, cache=cache_folder()),
        port=port,
        controller_port=controller_port,
        data=folder / "data",
    )
    with running(engine, log=folder / "log"):
        yield engine.address


class Topics:
    """Makes topics whose names no other test uses, and deletes them."""

    def __init__(self, bootstrap: str) -> None:
        """Take the broker to make them on."""
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._made: list[str] = []

    def __call__(self, name: str = "topic", *, partitions: int = 3) -> str:
        """Make a topic and give its full name, which begins with `name`."""
        full = f"{name}-{uuid.uuid4().hex[:12]}"
        self._admin.create_topics([NewTopic(full, partitions, 1)])[full].result(_TOPIC_SECONDS)
        self._made.append(full)
        return full

    def delete(self) -> None:
        """Delete what was made."""
        for deletion in (self._admin.delete_topics(self._made) if self._made else {}).values():
            deletion.result(_TOPIC_SECONDS)


@pytest.fixture
def topics(kafka_bootstrap: str) -> Iterator[Topics]:
    """Give a maker of topics: `name = topics("events", partitions=3)`."""
    with ExitStack() as cleanup:
        made = Topics(kafka_bootstrap)
        cleanup.callback(made.delete)
        yield made
