from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from services.runtime import consumption
from services.runtime.consumption import DEAD_LETTERS, MAX_BACKOFF_SECONDS, UNPARSABLE, Consumption
from services.runtime.errors import Unavailable
from services.runtime.kafka import Received

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.runtime.kafka import Record


def message(offset: int, value: bytes = b"7", partition: int = 0) -> Received:
    headers = {"tenant": "acme"}
    return Received(topic="orders", partition=partition, offset=offset, key=b"k", value=value, headers=headers)


@dataclass
class World:
    """A source, a publisher and a handler that write down what happens, in order."""

    batches: list[list[Received]] = field(default_factory=list)
    happened: list[str] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    failures: int = 0

    async def read(self, limit: int, wait: float) -> list[Received]:
        return self.batches.pop(0) if self.batches else []

    async def commit(self, messages: Sequence[Received]) -> None:
        if messages:
            self.happened.append(f"commit {[each.offset for each in messages]}")

    async def rewind(self, messages: Sequence[Received]) -> None:
        self.happened.append(f"rewind {[each.offset for each in messages]}")
        self.batches.insert(0, list(messages))

    async def publish(self, records: Sequence[Record]) -> None:
        self.records += records
        self.happened += [f"dead letter {each.value!r}" for each in records]

    async def handle(self, items: Sequence[int]) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable
        self.happened.append(f"handle {list(items)}")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def loop(world: World) -> Consumption[int]:
    return Consumption(
        name="worker",
        source=world,
        publisher=world,
        parse=lambda received: int(received.value),
        handle=world.handle,
        jitter=lambda: 1.0,
    )


@pytest.fixture
def backoffs(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []

    async def wait_for(stopping: object, seconds: float) -> None:
        stopping.close()  # type: ignore[attr-defined]
        waited.append(seconds)
        raise TimeoutError

    monkeypatch.setattr("services.runtime.consumption.asyncio.wait_for", wait_for)
    return waited


async def test_offsets_are_committed_last(loop: Consumption[int], world: World) -> None:
    world.batches = [[message(1), message(2, b"8")]]
    await loop.step()
    assert world.happened == ["handle [7, 8]", "commit [1, 2]"]


async def test_where_nothing_came_nothing_is_done(loop: Consumption[int], world: World) -> None:
    await loop.step()
    assert world.happened == []


async def test_what_does_not_parse_is_set_aside_and_the_partition_moves_on(
    loop: Consumption[int], world: World
) -> None:
    world.batches = [[message(1, b"not a number"), message(2)]]
    await loop.step()
    assert world.happened == ["handle [7]", "dead letter b'not a number'", "commit [1, 2]"]
    (record,) = world.records
    assert (record.topic, record.key) == (DEAD_LETTERS, b"k")
    assert record.headers == {
        "tenant": "acme",
        "source-topic": "orders",
        "source-partition": "0",
        "source-offset": "1",
        "reason": UNPARSABLE,
        "error": "ValueError",
    }


async def test_a_batch_of_nothing_but_rubbish_does_not_reach_the_handler(loop: Consumption[int], world: World) -> None:
    world.batches = [[message(1, b""), message(2, b"?")]]
    await loop.step()
    assert world.happened == ["dead letter b''", "dead letter b'?'", "commit [1, 2]"]


async def test_a_failed_batch_comes_again_and_is_not_committed(
    loop: Consumption[int], world: World, backoffs: list[float]
) -> None:
    world.batches, world.failures = [[message(1), message(2)]], 1
    await loop.step()
    assert world.happened == ["rewind [1, 2]"]
    await loop.step()
    assert world.happened[1:] == ["handle [7, 7]", "commit [1, 2]"]


async def test_waits_grow_to_a_bound_and_begin_anew_after_a_success(
    loop: Consumption[int], world: World, backoffs: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumption, "MAX_RETRY_AFTER_SECONDS", 0.0)
    world.batches, world.failures = [[message(1)]], 10
    for _ in range(11):
        await loop.step()
    assert backoffs[:3] == pytest.approx([0.1, 0.2, 0.4])
    assert backoffs == sorted(backoffs)
    assert backoffs[-1] == MAX_BACKOFF_SECONDS
    world.batches, world.failures = [[message(2)]], 1
    await loop.step()
    assert backoffs[-1] == pytest.approx(0.1)


async def test_it_stops_after_the_batch_in_hand(world: World) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def handle(items: Sequence[int]) -> None:
        entered.set()
        await release.wait()
        world.happened.append("handled")

    loop = Consumption(
        name="worker", source=world, publisher=world, parse=lambda received: int(received.value), handle=handle
    )
    world.batches = [[message(1)], [message(2)]]
    running = asyncio.create_task(loop.run())
    await entered.wait()
    loop.stop()
    release.set()
    await running
    assert world.happened == ["handled", "commit [1]"]
    assert world.batches == [[message(2)]]


async def test_stopping_ends_a_wait(loop: Consumption[int], world: World) -> None:
    world.batches, world.failures = [[message(1)]], 1_000_000
    running = asyncio.create_task(loop.run())
    await asyncio.sleep(0)
    loop.stop()
    async with asyncio.timeout(10):
        await running
