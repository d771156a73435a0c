"""What was accepted is published soon, within bounds, and never holds anything up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY

from services.notification.publication import CONCURRENT_PUBLISHES, Publication
from services.runtime.errors import Unavailable
from tests.unit.notification.builders import made
from tests.unit.notification.fakes import Events

if TYPE_CHECKING:
    from services.notification.domain import Draft


def left(why: str) -> float:
    return REGISTRY.get_sample_value("clarion_publication_left_total", {"why": why}) or 0.0


def drafts(number: int) -> list[Draft]:
    return [made() for _ in range(number)]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_is_offered_together_is_published_together() -> None:
    events = Events()
    offered = drafts(5)
    async with Publication(events, backlog_items=10, backlog_bytes=100_000) as publication:
        publication.offer(offered)
    assert events.published == [offered]


async def test_what_is_offered_meanwhile_goes_out_with_the_next() -> None:
    events = Events()
    events.gate.clear()
    async with Publication(events, backlog_items=100, backlog_bytes=1_000_000) as publication:
        for _ in range(CONCURRENT_PUBLISHES + 6):
            publication.offer(drafts(1))
            await settle()
        events.gate.set()
    assert sorted(len(each) for each in events.published) == [*[1] * CONCURRENT_PUBLISHES, 6]


@pytest.mark.parametrize(
    "bounds", [{"backlog_items": 3, "backlog_bytes": 10**6}, {"backlog_items": 99, "backlog_bytes": 3}]
)
async def test_beyond_the_bound_it_is_left_to_the_reconciler(bounds: dict[str, int]) -> None:
    events, before = Events(), left("full")
    bounds["backlog_bytes"] *= len(made().spec)
    async with Publication(events, **bounds) as publication:
        publication.offer(drafts(5))
        await settle()
        publication.offer(drafts(2))
    assert sum(map(len, events.published)) == 5
    assert left("full") == before + 2


@pytest.mark.parametrize(("failure", "why"), [(Unavailable(), "unavailable"), (RuntimeError("a bug"), "failed")])
async def test_a_failure_is_counted_and_the_next_is_tried(failure: Exception, why: str) -> None:
    events, before = Events(), left(why)
    events.failure = failure
    async with Publication(events, backlog_items=3, backlog_bytes=10**6) as publication:
        for _ in range(4):
            publication.offer(drafts(3))
            await settle()
        events.failure = None
        publication.offer(drafts(1))
    assert left(why) == before + 12
    assert [len(each) for each in events.published] == [1]


async def test_the_end_does_not_wait_for_ever() -> None:
    events, before = Events(), left("ended")
    events.gate.clear()
    async with Publication(events, backlog_items=9, backlog_bytes=10**6, end_seconds=0.01) as publication:
        publication.offer(drafts(4))
    assert left("ended") == before + 4
    assert events.published == []
