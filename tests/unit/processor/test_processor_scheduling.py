from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from services.processor.domain import Lane
from services.processor.scheduling import FairTurns

WEIGHTS = {Lane.CRITICAL: 8, Lane.NORMAL: 3, Lane.BULK: 1}


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


class Holder:
    """Someone who asks for a turn and keeps it until told."""

    def __init__(self, turns: FairTurns, lane: Lane, cost: float = 1) -> None:
        self.lane, self.has, self.over = lane, False, asyncio.Event()
        self.task = asyncio.create_task(self._hold(turns, cost))

    async def _hold(self, turns: FairTurns, cost: float) -> None:
        async with turns.turn(self.lane, cost):
            self.has = True
            await self.over.wait()

    async def end(self) -> None:
        self.over.set()
        await self.task


async def order(turns: FairTurns, asked: list[tuple[Lane, float]]) -> list[Lane]:
    """In which order lanes get their turns that all wait at first."""
    got: list[Lane] = []

    async def one(lane: Lane, cost: float) -> None:
        async with turns.turn(lane, cost):
            got.append(lane)
            await asyncio.sleep(0)

    await asyncio.gather(*(one(lane, cost) for lane, cost in asked))
    return got


async def test_lanes_that_all_wait_share_by_weight() -> None:
    turns = FairTurns(WEIGHTS, shared=1, reserved=0)
    asked = [(lane, 1.0) for lane in (Lane.BULK, Lane.NORMAL, Lane.CRITICAL) for _ in range(120)]
    shares = Counter((await order(turns, asked))[:120])
    assert abs(shares[Lane.CRITICAL] - 80) <= 1
    assert abs(shares[Lane.NORMAL] - 30) <= 1
    assert abs(shares[Lane.BULK] - 10) <= 1


async def test_a_share_is_of_the_work_and_not_of_the_number_of_turns() -> None:
    turns = FairTurns(WEIGHTS, shared=1, reserved=0)
    asked = [(Lane.NORMAL, 100.0)] * 100 + [(Lane.CRITICAL, 1.0)] * 2000
    got = Counter((await order(turns, asked))[:830])
    assert got[Lane.NORMAL] == pytest.approx(3, abs=1)


async def test_critical_never_waits_behind_bulk() -> None:
    turns = FairTurns(WEIGHTS, shared=2, reserved=1)
    bulk = [Holder(turns, Lane.BULK, 10_000) for _ in range(5)]
    await settle()
    assert [each.has for each in bulk] == [True, True, False, False, False]
    critical = Holder(turns, Lane.CRITICAL)
    await settle()
    assert critical.has
    for each in (critical, *bulk):
        await each.end()


async def test_bulk_advances_while_there_is_always_critical_work() -> None:
    turns = FairTurns(WEIGHTS, shared=1, reserved=1)
    critical = [Holder(turns, Lane.CRITICAL) for _ in range(3)]
    await settle()
    bulk = Holder(turns, Lane.BULK)
    ended = 0
    while not bulk.has:
        ended += 1
        assert ended <= WEIGHTS[Lane.CRITICAL] + 1, "bulk starves"
        critical.append(Holder(turns, Lane.CRITICAL))
        await settle()
        await next(each for each in critical if each.has and not each.task.done()).end()
        await settle()
    for each in (bulk, *critical):
        await each.end()


async def test_a_lane_that_was_idle_has_saved_nothing_up() -> None:
    turns = FairTurns(WEIGHTS, shared=1, reserved=0)
    await order(turns, [(Lane.NORMAL, 1.0)] * 300)
    got = await order(turns, [(lane, 1.0) for lane in (Lane.BULK, Lane.NORMAL) for _ in range(40)])
    assert Counter(got[:40])[Lane.NORMAL] == pytest.approx(30, abs=1)


async def test_one_lane_alone_gets_every_shared_turn() -> None:
    turns = FairTurns(WEIGHTS, shared=3, reserved=1)
    holders = [Holder(turns, Lane.NORMAL) for _ in range(4)]
    await settle()
    assert [each.has for each in holders] == [True, True, True, False]
    for each in holders:
        await each.end()


async def test_who_gives_up_waiting_or_fails_holds_nothing_back() -> None:
    turns = FairTurns(WEIGHTS, shared=1, reserved=0)
    first, second, third = Holder(turns, Lane.BULK), Holder(turns, Lane.BULK), Holder(turns, Lane.BULK)
    await settle()
    second.task.cancel()
    await settle()
    first.task.cancel()
    await settle()
    assert third.has
    third.task.cancel()
    await asyncio.gather(first.task, second.task, third.task, return_exceptions=True)

    async def fails() -> None:
        async with turns.turn(Lane.NORMAL, 1):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fails()
    last = Holder(turns, Lane.NORMAL)
    await settle()
    assert last.has
    await last.end()


async def test_who_gives_up_just_as_the_turn_comes_passes_it_on() -> None:
    turns = FairTurns(WEIGHTS, shared=1, reserved=0)
    first, second, third = Holder(turns, Lane.BULK), Holder(turns, Lane.BULK), Holder(turns, Lane.BULK)
    await settle()
    first.over.set()
    await first.task
    second.task.cancel()
    await settle()
    assert third.has
    await third.end()
    await asyncio.gather(second.task, return_exceptions=True)
