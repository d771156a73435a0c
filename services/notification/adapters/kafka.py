"""Accepted notifications onto the lanes, and their first step to analytics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from services import topics
from services.notification.events import LANES, accepted_event, chunk_events, key
from services.runtime.kafka import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from services.notification.domain import Draft


class Publisher(Protocol):
    """What records are published with; `runtime.kafka.KafkaPublisher` is one."""

    async def publish(self, records: Sequence[Record]) -> None:
        """Return once all are acknowledged."""


class KafkaEvents:
    """Publishes the events of many notifications in one flush."""

    def __init__(self, publisher: Publisher) -> None:
        """The publisher is closed by whoever opened it."""
        self._publisher = publisher

    async def publish(self, accepted: Sequence[Draft]) -> None:
        """Return once every event of these notifications is acknowledged.

        Raises Unavailable if any was not.
        """
        await self._publisher.publish([record for draft in accepted for record in _records(draft)])


def _records(draft: Draft) -> Iterator[Record]:
    headers = {"tenant": draft.tenant, **draft.trace}
    lane = LANES[draft.request.options.priority]
    for event in chunk_events(draft):
        yield Record(topic=lane, key=key(draft, event.chunk), value=event.SerializeToString(), headers=headers)
    yield Record(
        topic=topics.ANALYTICS_EVENTS,
        key=draft.notification_id.encode(),
        value=accepted_event(draft).SerializeToString(),
        headers=headers,
    )
