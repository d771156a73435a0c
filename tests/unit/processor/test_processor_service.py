from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from services.processor.domain import Job, Lane
from services.processor.scheduling import FairTurns
from services.processor.service import Processing
from services.runtime import deadline
from services.runtime.errors import Unavailable
from tests.unit.processor.fakes import Recorder, chunk, job
from tests.unit.processor.test_processor_scheduling import WEIGHTS, settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.processor.ports import Stage


def processing(stages: Stage, *, recipients: int = 10, seconds: float = 30.0) -> Processing:
    turns = FairTurns(WEIGHTS, shared=2, reserved=1)
    return Processing(stages, turns, batch_recipients=recipients, batch_seconds=seconds)


def of(name: str, count: int) -> Job:
    return job(chunk(name), *(f"{name}-{number}" for number in range(count)))


async def test_what_was_read_is_split_by_recipients_and_nothing_is_left_out() -> None:
    stages = Recorder()
    await processing(stages).process(
        Lane.BULK, [of("a", 6), of("b", 4), of("c", 1), of("d", 25), of("e", 0), of("f", 2)]
    )
    assert [[each.chunk.notification_id for each in batch] for batch in stages.batches] == [
        ["a", "b"],
        ["c"],
        ["d"],
        ["e", "f"],
    ]


async def test_each_batch_has_its_deadline() -> None:
    left: list[float | None] = []

    async def stages(jobs: Sequence[Job]) -> None:
        left.append(deadline.remaining())

    await processing(stages, seconds=7.0).process(Lane.NORMAL, [of("a", 1)])
    assert left[0] is not None
    assert 6.0 < left[0] <= 7.0
    assert deadline.remaining() is None


async def test_a_failed_batch_lets_the_others_finish_and_is_then_told() -> None:
    done: list[str] = []

    async def stages(jobs: Sequence[Job]) -> None:
        await asyncio.sleep(0)
        if jobs[0].chunk.notification_id == "a":
            raise Unavailable
        await settle()
        done.extend(each.chunk.notification_id for each in jobs)

    with pytest.raises(Unavailable):
        await processing(stages).process(Lane.NORMAL, [of("a", 10), of("b", 10), of("c", 10)])
    assert done == ["b", "c"]


async def test_critical_is_done_while_bulk_hangs() -> None:
    gate = asyncio.Event()

    async def stages(jobs: Sequence[Job]) -> None:
        if jobs[0].chunk.notification_id.startswith("bulk"):
            await gate.wait()

    both = processing(stages)
    bulk = asyncio.create_task(both.process(Lane.BULK, [of(f"bulk{number}", 10) for number in range(8)]))
    await settle()
    await both.process(Lane.CRITICAL, [of("urgent", 10), of("urgent2", 10)])
    assert not bulk.done()
    gate.set()
    await bulk


async def test_a_drain_finishes_what_is_under_way_and_begins_nothing_more() -> None:
    gate = asyncio.Event()
    begun: list[str] = []
    done: list[str] = []

    async def stages(jobs: Sequence[Job]) -> None:
        begun.append(jobs[0].chunk.notification_id)
        await gate.wait()
        done.append(jobs[0].chunk.notification_id)

    service = processing(stages)
    working = asyncio.create_task(service.process(Lane.BULK, [of(name, 10) for name in "abcd"]))
    await settle()
    service.drain()
    gate.set()
    with pytest.raises(Unavailable):
        await working
    assert begun == done == ["a", "b"]
