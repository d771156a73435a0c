"""Group commit: who shares an insert, who is turned away, and what a failure means to whom."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from services.notification.acceptance import Acceptor
from services.notification.domain import Accepted, First
from services.runtime import deadline
from services.runtime.errors import AlreadyExists, ClarionError, RateLimited, Unavailable
from tests.unit.notification.builders import NOW, made, send_request
from tests.unit.notification.fakes import Announced, InMemoryNotifications

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from services.notification.domain import Draft, Outcome


LATER = NOW + timedelta(minutes=1)


class World:
    def __init__(self, *, items: int = 100, size: int = 1_000_000, flushes: int = 1) -> None:
        self.store, self.announced = InMemoryNotifications(), Announced()
        self.acceptor = Acceptor(
            self.store, self.announced, pending_items=items, pending_bytes=size, concurrent_flushes=flushes
        )

    def send(self, *drafts: Draft) -> asyncio.Task[Sequence[Outcome]]:
        return asyncio.create_task(self.acceptor.accept(drafts or [made()]))


@asynccontextmanager
async def slow(world: World) -> AsyncIterator[asyncio.Task[Sequence[Outcome]]]:
    """The first insert is under way and does not come back before the end of the context."""
    world.store.gate.clear()
    first = world.send()
    await settle()
    assert world.store.inserts == [1]
    try:
        yield first
    finally:
        world.store.gate.set()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_those_who_come_together_share_an_insert() -> None:
    world = World()
    answers = await asyncio.gather(*(world.send(made(), made()) for _ in range(20)))
    assert world.store.inserts == [40]
    assert all(isinstance(each, Accepted) for answer in answers for each in answer)
    assert len(world.announced.drafts) == 40


async def test_those_who_come_while_an_insert_is_under_way_share_the_next() -> None:
    world = World()
    async with slow(world) as first:
        others = [world.send() for _ in range(30)]
        await settle()
        assert world.store.inserts == [1]
    await asyncio.gather(first, *others)
    assert world.store.inserts == [1, 30]


async def test_inserts_overlap_up_to_the_limit() -> None:
    world = World(flushes=2)
    async with slow(world) as first:
        second = world.send()
        await settle()
        third = [world.send() for _ in range(3)]
        await settle()
        assert world.store.inserts == [1, 1]
    await asyncio.gather(first, second, *third)
    assert world.store.inserts == [1, 1, 3]


async def test_one_key_is_one_notification_however_many_send_it() -> None:
    world = World(flushes=2)
    drafts = [made(send_request(key="k")) for _ in range(25)]
    answers = await asyncio.gather(*(world.send(draft) for draft in drafts))
    outcomes = [each for (each,) in answers if isinstance(each, Accepted)]
    assert sorted(each.duplicate for each in outcomes) == [False, *[True] * 24]
    assert len({each.notification_id for each in outcomes}) == 1
    assert {draft.notification_id for draft in world.announced.drafts} == {outcomes[0].notification_id}
    assert len(world.announced.drafts) <= len(world.store.inserts)


async def test_a_repeated_call_announces_again_what_no_worker_has_begun() -> None:
    world = World()
    first = made(send_request(key="k"))
    await world.store.insert([first])  # stored, but neither confirmed nor announced: the process died there
    await world.send(made(send_request(key="k"), now=LATER))
    (announced,) = world.announced.drafts
    assert (announced.created_at, announced.expire_at) == (first.created_at, first.expire_at)
    await world.store.cancel("acme", first.notification_id, LATER)
    await world.send(made(send_request(key="k"), now=LATER))
    assert len(world.announced.drafts) == 1


async def test_the_same_key_with_other_content_is_refused_alone() -> None:
    world = World()
    first, again, other = (made(send_request(key="k", title=title)) for title in ("a", "a", "b"))
    outcomes = await world.acceptor.accept([first, again, other, made()])
    assert [getattr(each, "duplicate", None) for each in outcomes] == [False, True, None, False]
    assert isinstance(outcomes[2], AlreadyExists)
    assert outcomes[2].reason == "IDEMPOTENCY_KEY_REUSED"


async def test_who_gives_up_waiting_is_accepted_all_the_same_and_nobody_else_is_touched() -> None:
    world = World()
    async with slow(world) as first:
        impatient, patient = world.send(), world.send()
        await settle()
        first.cancel()
        impatient.cancel()
        await settle()
    assert isinstance((await patient)[0], Accepted)
    assert len(world.store.kept) == 3
    assert len(world.announced.drafts) == 3
    assert first.cancelled()
    assert impatient.cancelled()


async def test_too_much_is_turned_away_before_any_work() -> None:
    world = World(items=3)
    async with slow(world) as first:
        second = world.send(made(), made())
        await settle()
        with pytest.raises(RateLimited) as refused:
            await world.acceptor.accept([made()])
        with pytest.raises(RateLimited):
            world.acceptor.admit(1, 0)
    await asyncio.gather(first, second)
    assert refused.value.retry_after
    assert world.store.inserts == [1, 2]
    world.acceptor.admit(3, 0)


async def test_what_waits_is_limited_by_size_too() -> None:
    draft = made(send_request(title="x" * 200))
    world = World(size=len(draft.spec) * 2)
    async with slow(world) as first:
        second = world.send(draft)
        await settle()
        with pytest.raises(RateLimited):
            await world.acceptor.accept([draft])
    await asyncio.gather(first, second)
    world.acceptor.admit(1, len(draft.spec) * 2)


async def test_a_store_that_is_down_answers_all_who_wait_and_then_at_once() -> None:
    world = World()
    world.store.down = True
    async with slow(world) as first:
        waiting = [world.send() for _ in range(3)]
        await settle()
    answers = await asyncio.gather(first, *waiting, return_exceptions=True)
    assert all(isinstance(each, Unavailable) and each.retry_after for each in answers)
    assert world.store.inserts == [1]
    async with slow_probe(world) as probe:
        with pytest.raises(Unavailable):
            world.acceptor.admit(1, 0)
    with pytest.raises(Unavailable):
        await probe
    world.store.down = False
    assert isinstance((await world.acceptor.accept([made()]))[0], Accepted)
    world.acceptor.admit(100, 0)
    assert len(world.announced.drafts) == 1


@asynccontextmanager
async def slow_probe(world: World) -> AsyncIterator[asyncio.Task[Sequence[Outcome]]]:
    world.store.gate.clear()
    probe = world.send()
    await settle()
    try:
        yield probe
    finally:
        world.store.gate.set()


async def test_a_deadline_is_answered_before_it_is_over() -> None:
    world = World()
    async with slow(world):
        with deadline.within(0.05), pytest.raises(Unavailable):
            await world.acceptor.accept([made()])
    async with world.acceptor:
        pass
    assert len(world.store.kept) == 2


async def test_an_insert_has_the_deadline_of_nobody() -> None:
    seen: list[float | None] = []

    class Store(InMemoryNotifications):
        async def insert(self, drafts: Sequence[Draft]) -> Sequence[First | ClarionError | None]:
            seen.append(deadline.remaining())
            return await super().insert(drafts)

    acceptor = Acceptor(Store(), Announced(), pending_items=9, pending_bytes=9_999, concurrent_flushes=1)
    with deadline.within(5):
        await acceptor.accept([made()])
    assert seen == [None]


async def test_an_unforeseen_failure_reaches_those_concerned_and_ends_nothing() -> None:
    class Broken(InMemoryNotifications):
        broken = True

        async def insert(self, drafts: Sequence[Draft]) -> Sequence[First | ClarionError | None]:
            if self.broken:
                raise RuntimeError("a bug")
            return await super().insert(drafts)

    store = Broken()
    acceptor = Acceptor(store, Announced(), pending_items=9, pending_bytes=9_999, concurrent_flushes=1)
    with pytest.raises(Unavailable):
        await acceptor.accept([made()])
    store.broken = False
    assert isinstance((await acceptor.accept([made()]))[0], Accepted)


async def test_the_end_waits_for_what_was_taken() -> None:
    world = World()
    async with world.acceptor:
        world.store.gate.clear()
        sending = [world.send() for _ in range(3)]
        await settle()
        asyncio.get_running_loop().call_soon(world.store.gate.set)
    assert len(world.store.kept) == 3
    await asyncio.gather(*sending)
