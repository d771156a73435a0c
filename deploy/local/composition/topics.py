"""The topics that a stack begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from deploy.local.problem import Problem
from services.topics import ALL, PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS = 30.0


def create_topics(bootstrap: str, *, prefix: str = "") -> None:
    """Create the topics that are not there yet, their names prefixed; blocks. Raises Problem."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        existing = admin.list_topics(timeout=_SECONDS).topics
        wanted = [prefix + name for name in ALL]
        missing = [NewTopic(name, PARTITIONS, 1) for name in wanted if name not in existing]
        for creation in (admin.create_topics(missing) if missing else {}).values():
            _finish(creation.result)
    except KafkaException as exc:
        raise Problem(f"Kafka did not create the topics ({exc.args[0].str()})", remedy="see its log") from exc


def _finish(result: Callable[[float], None]) -> None:
    try:
        result(_SECONDS)
    except KafkaException as exc:
        if exc.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
