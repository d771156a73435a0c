from __future__ import annotations

import asyncio
import random

import pytest
from pydantic import ValidationError

from services.simulators.player import Player
from services.simulators.script import Action, Fault, Limit, Scope, Script, Stage


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def player(clock: Clock) -> Player:
    return Player(clock=clock, rng=random.Random(1))  # noqa: S311 - chance, not secrets


def errors(player: Player, times: int, address: str = "a") -> list[str | None]:
    verdicts = [player.decide(address) for _ in range(times)]
    return [None if each.fault is None else each.fault.error for each in verdicts]


def test_without_a_script_nothing_happens(player: Player) -> None:
    assert not player.decide("a").strikes


def test_a_fault_spares_the_first_and_strikes_a_number_of_times(player: Player) -> None:
    player.play(Script(faults=(Fault(error="E", skip=2, times=2),)))
    assert errors(player, 6) == [None, None, "E", "E", None, None]


def test_a_fault_begins_after_a_time(player: Player, clock: Clock) -> None:
    player.play(Script(faults=(Fault(error="E", after_seconds=10),)))
    assert errors(player, 1) == [None]
    clock.now += 10
    assert errors(player, 1) == ["E"]


def test_a_fault_strikes_with_its_probability(player: Player) -> None:
    player.play(Script(faults=(Fault(error="E", probability=0.3),)))
    struck = errors(player, 10_000).count("E")
    assert 2_800 < struck < 3_200


def test_an_exact_match_goes_before_a_prefix_and_other_addresses_are_spared(player: Player) -> None:
    faults = (Fault(match="dead-*", error="PREFIX"), Fault(match="dead-1", error="EXACT"))
    player.play(Script(faults=faults))
    assert [*errors(player, 1, "dead-1"), *errors(player, 1, "dead-2"), *errors(player, 1, "live")] == [
        "EXACT", "PREFIX", None,
    ]  # fmt: skip


def test_latencies_add_up_and_do_not_end_the_search(player: Player) -> None:
    faults = (Fault(latency_seconds=1), Fault(latency_seconds=2), Fault(error="E", latency_seconds=4))
    player.play(Script(faults=faults))
    verdict = player.decide("a")
    assert (verdict.latency_seconds, verdict.error("L", "D")) == (7, "E")


def test_a_fault_belongs_to_its_stage(player: Player) -> None:
    player.play(Script(faults=(Fault(error="E", stage=Stage.DATA),)))
    assert not player.decide("a").strikes
    assert player.decide("a", stage=Stage.DATA).strikes


@pytest.mark.parametrize(
    ("scope", "same", "other"),
    [(Scope.PEER, True, True), (Scope.ACCOUNT, True, False), (Scope.ADDRESS, False, False)],
)
def test_a_limit_counts_by_its_scope(player: Player, scope: Scope, same: bool, other: bool) -> None:
    player.play(Script(limits=(Limit(requests=1, window_seconds=60, scope=scope),)))
    assert not player.decide("a", account="x").strikes
    assert player.decide("a", account="x").strikes
    assert player.decide("b", account="x").strikes is same
    assert player.decide("c", account="y").strikes is other


def test_a_window_opens_with_its_first_request(player: Player, clock: Clock) -> None:
    player.play(Script(limits=(Limit(requests=1, window_seconds=60),)))
    clock.now += 59.5
    assert not player.decide("a").strikes
    clock.now += 59
    assert player.decide("a").retry_after_seconds == 1
    clock.now += 1
    assert not player.decide("a").strikes


def test_a_script_with_limits_replaces_the_usual_ones(clock: Clock) -> None:
    usual = (Limit(requests=0, window_seconds=60),)
    player = Player(clock=clock, rng=random.Random(1), defaults=usual)  # noqa: S311 - chance, not secrets
    assert player.decide("a").strikes
    player.play(Script(limits=(Limit(requests=9, window_seconds=60),)))
    assert not player.decide("a").strikes
    player.play(Script())
    assert player.decide("a").strikes


async def test_another_script_lets_hanging_requests_go(player: Player) -> None:
    hanging = asyncio.create_task(player.until_changed())
    await asyncio.sleep(0)
    assert not hanging.done()
    player.play(Script())
    await asyncio.wait_for(hanging, 1)


def test_what_became_of_a_struck_request_is_named(player: Player) -> None:
    kept = Fault(error="E", deliver=True, times=1)
    player.play(Script(faults=(kept, Fault(action=Action.DROP, times=1), Fault(error="E"))))
    assert [player.decide("a").outcome("LIMITED") for _ in range(3)] == ["accepted", "drop", "E"]


def test_a_fault_that_does_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs an error, an action or a latency"):
        Script(faults=(Fault(match="a"),))
