from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from services.runtime import consumption
from services.runtime.consumption import ATTEMPTS, MOST_FAILED_IN_A_ROW, PROCESSING_FAILED, UNPARSABLE, Consumption
from services.runtime.errors import (
    AlreadyExists,
    Denied,
    InvalidInput,
    NotFound,
    PreconditionFailed,
    RateLimited,
    Unavailable,
    Violation,
)
from services.runtime.kafka import Received

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.runtime.kafka import Record


@dataclass
class Partition:
    """One partition in memory: reads from where it stands, moved by rewinding."""

    values: list[str]
    at: int = 0
    committed: int = 0

    async def read(self, limit: int, wait: float) -> list[Received]:
        messages = [
            Received(
                topic="orders", partition=0, offset=offset, key=b"k", value=value.encode(), headers={"tenant": "t"}
            )
            for offset, value in enumerate(self.values)
            if offset >= self.at
        ][:limit]
        self.at += len(messages)
        return messages

    async def commit(self, messages: Sequence[Received]) -> None:
        self.committed = max([self.committed, *(each.offset + 1 for each in messages)])

    async def rewind(self, messages: Sequence[Received]) -> None:
        self.at = min([self.at, *(each.offset for each in messages)])


@dataclass
class DeadLetters:
    records: list[Record] = field(default_factory=list)

    async def publish(self, records: Sequence[Record]) -> None:
        self.records += records

    def __iter__(self):  # type: ignore[no-untyped-def]  # pairs of value and reason
        return iter([(each.value.decode(), each.headers["reason"]) for each in self.records])


@dataclass
class Worker:
    """Handles what it is given, except what is laid down to fail."""

    failures: dict[str, Exception] = field(default_factory=dict)
    handled: list[list[str]] = field(default_factory=list)

    async def __call__(self, items: Sequence[str]) -> None:
        for item in items:
            if item in self.failures:
                raise self.failures[item]
        self.handled.append(list(items))


@pytest.fixture
def backoffs(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was waited for after failures; nothing is."""
    waited: list[float] = []

    async def wait_for(awaitable: object, seconds: float) -> None:
        awaitable.close()  # type: ignore[attr-defined]  # a coroutine
        waited.append(seconds)
        raise TimeoutError

    monkeypatch.setattr(asyncio, "wait_for", wait_for)
    return waited


def parse(message: Received) -> str:
    if message.value == b"garbage":
        raise ValueError
    return message.value.decode()


def consuming(source: Partition, worker: Callable[[Sequence[str]], object], letters: DeadLetters) -> Consumption[str]:
    return Consumption(
        name="test",
        source=source,
        publisher=letters,
        parse=parse,
        handle=worker,  # type: ignore[arg-type]  # a worker's call is a coroutine
        jitter=lambda: 1.0,
    )


@pytest.mark.parametrize(
    "verdict", [InvalidInput([Violation("items[0]", "is bad")]), NotFound(), PreconditionFailed(), Denied()]
)
async def test_a_verdict_sets_its_message_aside_at_once_and_no_other(verdict: Exception, backoffs: list[float]) -> None:
    source, worker, letters = Partition(["a", "garbage", "poison", "b"]), Worker({"poison": verdict}), DeadLetters()
    await consuming(source, worker, letters).step()
    assert worker.handled == [["a"], ["b"]]
    assert list(letters) == [("garbage", UNPARSABLE), ("poison", PROCESSING_FAILED)]
    assert letters.records[1].headers == {
        "tenant": "t",
        "source-topic": "orders",
        "source-partition": "0",
        "source-offset": "2",
        "reason": PROCESSING_FAILED,
        "error": type(verdict).__name__,
    }
    assert source.committed == 4
    assert backoffs == []


async def test_a_failure_that_may_pass_is_waited_out_however_long_and_nothing_is_set_aside(
    backoffs: list[float],
) -> None:
    source, worker, letters = Partition(["a", "garbage"]), Worker({"a": Unavailable(retry_after=0.0)}), DeadLetters()
    consumption_ = consuming(source, worker, letters)
    for _ in range(20):
        await consumption_.step()
    assert (source.committed, list(letters)) == (0, [])
    assert backoffs[:4] == [0.1, 0.2, 0.4, 0.8]
    assert backoffs[-1] == consumption.MAX_BACKOFF_SECONDS
    worker.failures.clear()
    await consumption_.step()
    assert source.committed == 2
    assert list(letters) == [("garbage", UNPARSABLE)]


async def test_a_peer_that_says_when_is_not_asked_before(backoffs: list[float]) -> None:
    source, worker = Partition(["a"]), Worker({"a": RateLimited(retry_after=12.0)})
    consumption_ = consuming(source, worker, DeadLetters())
    await consumption_.step()
    worker.failures["a"] = RateLimited(retry_after=86_400.0)
    await consumption_.step()
    assert backoffs == [12.0, consumption.MAX_RETRY_AFTER_SECONDS]


async def test_a_failure_without_known_cause_is_tried_a_few_times_and_then_set_aside(backoffs: list[float]) -> None:
    source, worker, letters = Partition(["a", "poison", "b"]), Worker({"poison": RuntimeError()}), DeadLetters()
    consumption_ = consuming(source, worker, letters)
    for _ in range(ATTEMPTS - 1):
        await consumption_.step()
        assert list(letters) == []
    await consumption_.step()
    assert list(letters) == [("poison", PROCESSING_FAILED)]
    assert worker.handled == [["a"], ["b"]]
    assert source.committed == 3
    assert len(backoffs) == ATTEMPTS - 1


async def test_a_repetition_is_done(backoffs: list[float]) -> None:
    source, worker, letters = Partition(["a", "again", "b"]), Worker({"again": AlreadyExists()}), DeadLetters()
    await consuming(source, worker, letters).step()
    assert (source.committed, list(letters), worker.handled) == (3, [], [["a"], ["b"]])


async def test_an_outage_while_a_batch_is_taken_apart_keeps_what_was_done_and_repeats_only_the_rest(
    backoffs: list[float],
) -> None:
    source, letters = Partition(["poison", "a", "b", "c"]), DeadLetters()
    worker = Worker({"poison": NotFound(), "b": Unavailable()})
    consumption_ = consuming(source, worker, letters)
    await consumption_.step()
    assert (source.committed, worker.handled) == (2, [["a"]])
    worker.failures.clear()
    await consumption_.step()
    assert (source.committed, worker.handled) == (4, [["a"], ["b", "c"]])
    assert list(letters) == [("poison", PROCESSING_FAILED)]


async def test_a_bad_release_does_not_set_everything_aside(backoffs: list[float]) -> None:
    values = [f"m{number}" for number in range(MOST_FAILED_IN_A_ROW + 10)]
    source, letters = Partition(values), DeadLetters()
    worker = Worker({value: Denied() for value in values})
    consumption_ = consuming(source, worker, letters)
    for _ in range(5):
        await consumption_.step()
    assert len(letters.records) == MOST_FAILED_IN_A_ROW
    assert source.committed == MOST_FAILED_IN_A_ROW
    worker.failures.clear()
    await consumption_.step()
    assert source.committed == len(values)
    assert len(letters.records) == MOST_FAILED_IN_A_ROW
