from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from services.delivery.accounts import Accounts
from services.delivery.calls import ProviderCalls
from services.delivery.domain import Outcome, State, Verdict
from services.delivery.health import HealthWindows
from services.delivery.message import ProviderName
from services.delivery.policy import RetryPolicy
from services.delivery.service import SAVE_PAUSES, DeliveryService, Limits
from services.delivery.slots import Slots
from services.runtime import deadline
from services.runtime.errors import RateLimited, Unavailable
from tests.unit.delivery.builders import NOW, RETENTION, account, apns, ios, phone, record, smtp, twilio
from tests.unit.delivery.builders import email as mail
from tests.unit.delivery.fakes import (
    FakeClock,
    FakeEvents,
    FakeProvider,
    MemoryAccounts,
    MemoryClaims,
    MemoryRecords,
)

TRANSIENT = Outcome(verdict=Verdict.TRANSIENT, reason="THROTTLED", code="20429", retry_after=30)


class World:
    """The service among fakes; `replica` makes another one on the same stores."""

    def __init__(self, **limits: Any) -> None:
        self.clock = FakeClock()
        self.records, self.events, self.provider = MemoryRecords(), FakeEvents(), FakeProvider()
        self.claims = MemoryClaims(now=self.clock.monotonic)
        self.store = MemoryAccounts(account())
        self.health = HealthWindows(self.clock)
        self.owners = count()
        self.pauses: list[float] = []
        self.limits = Limits(batches=4, batch_seconds=40, record_seconds=2, retention=RETENTION)
        self.limits = replace(self.limits, **limits)
        self.service = self.replica()

    def replica(self, provider: FakeProvider | None = None, slots: int = 8) -> DeliveryService:
        used = provider or self.provider
        calls = ProviderCalls(
            dict.fromkeys(ProviderName, used),
            slots=Slots(dict.fromkeys(ProviderName, slots)),
            health=self.health,
            call_seconds=10,
            clock=self.clock,
        )
        accounts = Accounts(
            self.store, live_seconds=3, clock=self.clock, new_version=lambda: "v2", now=self.clock.monotonic
        )
        return DeliveryService(
            records=self.records,
            claims=self.claims,
            accounts=accounts,
            calls=calls,
            events=self.events,
            policy=RetryPolicy(base=10, cap=100, retry_after_cap=600, jitter=lambda: 0.5),
            limits=self.limits,
            clock=self.clock,
            new_owner=lambda: f"owner-{next(self.owners)}",
            pause=self._pause,
        )

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


@pytest.fixture
def world() -> World:
    return World()


async def test_a_message_is_sent_recorded_and_told(world: World) -> None:
    (result,) = await world.service.deliver([phone()])
    kept = world.records.kept[result.delivery_id]
    assert (result.state, result.reason, result.due_at) == (State.SENT, "", None)
    assert (kept.state, kept.provider_message_id, kept.attempt_count) == (State.SENT, "id-1", 1)
    assert [step.delivery for step in world.events.steps] == [kept]
    assert world.claims.held == {}


async def test_results_come_in_the_order_of_the_items(world: World) -> None:
    messages = [phone(f"+35121123456{digit}") for digit in range(9)]
    results = await world.service.deliver(messages)
    assert [each.delivery_id for each in results] == [each.delivery_id for each in messages]


async def test_the_same_item_twice_in_a_batch_is_one_call(world: World) -> None:
    results = await world.service.deliver([phone(), phone()])
    assert [each.state for each in results] == [State.SENT, State.SENT]
    assert len(world.provider.sent) == 1


async def test_sending_again_answers_what_is_known_and_calls_nobody(world: World) -> None:
    first = await world.service.deliver([phone()])
    again = await world.service.deliver([phone(), phone("+351211234568")])
    assert again[0] == first[0]
    assert len(world.provider.sent) == 2
    assert len(world.events.steps) == 2


@pytest.mark.parametrize(
    "state", [State.SENT, State.DELIVERED, State.OPENED, State.FAILED, State.DEAD, State.SUPPRESSED]
)
async def test_a_settled_delivery_stands_even_past_its_messages_time(world: World, state: State) -> None:
    message = phone(expire_at=NOW)
    world.records.kept[message.delivery_id] = record(message, state=state, reason="WHY")
    (result,) = await world.service.deliver([message])
    assert (result.state, result.reason) == (state, "WHY")
    assert world.provider.sent == []


async def test_what_another_worker_is_at_is_queued(world: World) -> None:
    await world.claims.take([phone().delivery_id], "another")
    mine = phone("+351211234568")
    results = await world.service.deliver([phone(), mine])
    assert [each.state for each in results] == [State.QUEUED, State.SENT]
    assert world.provider.sent == [mine]
    assert world.claims.held.keys() == {phone().delivery_id}
    assert phone().delivery_id not in world.records.kept


async def test_a_dead_workers_claim_runs_out(world: World) -> None:
    await world.claims.take([phone().delivery_id], "dead")
    world.clock.advance(60)
    (result,) = await world.service.deliver([phone()])
    assert result.state is State.SENT


async def test_two_replicas_with_the_same_batch_make_each_call_once(world: World) -> None:
    messages = [phone(f"+3512112345{number:02}") for number in range(50)]
    world.provider.gate = asyncio.Event()
    batches = [asyncio.create_task(each.deliver(messages)) for each in (world.service, world.replica())]
    await asyncio.wait(batches, return_when=asyncio.FIRST_COMPLETED)  # the one that got no claim
    world.provider.gate.set()
    answers = [await batch for batch in batches]
    assert sorted(each.delivery_id for each in world.provider.sent) == sorted(each.delivery_id for each in messages)
    assert {result.state for answer in answers for result in answer} <= {State.SENT, State.QUEUED}


async def test_without_claims_messages_are_sent_and_known_ones_are_not_sent_again(world: World) -> None:
    world.claims.down = True
    first = await world.service.deliver([phone()])
    again = await world.service.deliver([phone()])
    assert first == again
    assert len(world.provider.sent) == 1


async def test_without_the_store_nothing_is_sent_and_no_claim_is_left(world: World) -> None:
    world.records.find_failures = 1
    with pytest.raises(Unavailable):
        await world.service.deliver([phone()])
    assert world.provider.sent == []
    assert world.claims.held == {}


async def test_a_store_that_comes_back_gets_the_record_of_what_was_sent(world: World) -> None:
    world.records.save_failures = 3
    (result,) = await world.service.deliver([phone()])
    assert result.state is State.SENT
    assert world.pauses == list(SAVE_PAUSES[:3])
    assert len(world.provider.sent) == 1


async def test_what_was_sent_but_not_recorded_stays_claimed(world: World) -> None:
    world.records.save_failures = len(SAVE_PAUSES) + 1
    late = phone("+351211234568", expire_at=NOW)
    with pytest.raises(Unavailable):
        await world.service.deliver([phone(), late])
    assert world.claims.held.keys() == {phone().delivery_id}
    (result,) = await world.service.deliver([phone()])
    assert result.state is State.QUEUED
    assert len(world.provider.sent) == 1


async def test_a_message_past_its_time_is_suppressed_without_a_call(world: World) -> None:
    (result,) = await world.service.deliver([phone(expire_at=NOW)])
    assert (result.state, result.reason) == (State.SUPPRESSED, "EXPIRED")
    assert world.provider.sent == []
    assert [step.delivery.state for step in world.events.steps] == [State.SUPPRESSED]


async def test_a_message_that_no_provider_can_take_fails_alone(world: World) -> None:
    results = await world.service.deliver([phone(fault="INVALID_ADDRESS"), phone("+351211234568")])
    assert [(each.state, each.reason) for each in results] == [(State.FAILED, "INVALID_ADDRESS"), (State.SENT, "")]
    assert len(world.provider.sent) == 1


async def test_without_an_account_it_fails_with_a_reason(world: World) -> None:
    results = await world.service.deliver([mail(), ios()])
    assert {(each.state, each.reason) for each in results} == {(State.FAILED, "NO_PROVIDER_ACCOUNT")}


async def test_another_tenants_account_is_not_used(world: World) -> None:
    (result,) = await world.service.deliver([phone(tenant="globex")])
    assert (result.state, result.reason) == (State.FAILED, "NO_PROVIDER_ACCOUNT")


async def test_the_account_of_the_messages_app_is_used_and_the_newest_of_several(world: World) -> None:
    world.store.kept.clear()
    for name, app, age in (("old", "shop", 3), ("new", "shop", 2), ("other", "bank", 1)):
        made = account(apns(), account_id=name, app=app, created_at=NOW - timedelta(days=age))
        world.store.kept[made.tenant, name] = made
    await world.service.deliver([ios()])
    assert [each.account_id for each in world.provider.accounts] == ["new"]


async def test_a_transient_failure_is_retrying_until_it_is_due_and_then_tried_again(world: World) -> None:
    world.provider.outcomes = [TRANSIENT, Outcome(verdict=Verdict.ACCEPTED, provider_message_id="SM1")]
    (first,) = await world.service.deliver([phone()])
    assert (first.state, first.reason, first.due_at) == (State.RETRYING, "THROTTLED", NOW + timedelta(seconds=35))
    world.clock.advance(34.9)
    assert await world.service.deliver([phone()]) == [first]
    assert len(world.provider.sent) == 1
    world.clock.advance(0.1)
    (then,) = await world.service.deliver([phone()])
    kept = world.records.kept[then.delivery_id]
    assert (then.state, then.due_at) == (State.SENT, None)
    assert [(each.code, each.state) for each in kept.attempts] == [("20429", State.RETRYING), ("", State.SENT)]
    assert kept.created_at == NOW


async def test_a_retry_that_comes_too_late_fails_as_expired_without_a_call(world: World) -> None:
    world.provider.outcomes = [TRANSIENT]
    message = phone(expire_at=NOW + timedelta(minutes=1))
    await world.service.deliver([message])
    world.clock.advance(60)
    (result,) = await world.service.deliver([message])
    assert (result.state, result.reason) == (State.FAILED, "EXPIRED")
    assert len(world.provider.sent) == 1


async def test_a_failure_that_cannot_be_retried_in_time_has_expired(world: World) -> None:
    world.provider.outcomes = [TRANSIENT]
    (result,) = await world.service.deliver([phone(expire_at=NOW + timedelta(seconds=20))])
    assert (result.state, result.reason) == (State.FAILED, "EXPIRED")


async def test_a_throttled_provider_fails_no_message(world: World) -> None:
    world.provider.outcomes = [TRANSIENT]
    results = await world.service.deliver([phone(f"+3512112345{number:02}") for number in range(40)])
    assert {each.state for each in results} == {State.RETRYING}


async def test_an_adapters_defect_is_one_messages_transient_failure(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.provider.error = RuntimeError("secret +351211234567")
    (result,) = await world.service.deliver([phone()])
    assert (result.state, result.reason) == (State.RETRYING, "INTERNAL")
    assert "+351211234567" not in capsys.readouterr().out


async def test_a_call_ends_before_its_message_does_and_before_the_callers_time_is_over(world: World) -> None:
    await world.service.deliver([phone(), phone("+351211234568", expire_at=NOW + timedelta(seconds=4))])
    with deadline.within(5.0):
        await world.service.deliver([phone("+351211234569")])
    assert world.provider.timeouts == [10, pytest.approx(4, abs=0.1), pytest.approx(3, abs=0.1)]


async def test_an_account_has_only_so_many_calls_under_way(world: World) -> None:
    service = world.replica(slots=3)
    await service.deliver([phone(f"+3512112345{number:02}") for number in range(30)])
    assert world.provider.most_at_once == 3


async def test_what_found_no_room_in_time_is_put_off_and_not_told(world: World) -> None:
    service = world.replica(slots=1)
    world.provider.gate = asyncio.Event()
    asyncio.get_running_loop().call_later(0.3, world.provider.gate.set)
    with deadline.within(0.2):
        results = await service.deliver([phone(), phone("+351211234568")])
    assert [(each.state, each.reason) for each in results] == [(State.SENT, ""), (State.RETRYING, "NO_CAPACITY")]
    assert world.records.kept[results[1].delivery_id].attempt_count == 0
    assert [step.delivery.state for step in world.events.steps] == [State.SENT]


async def test_too_many_batches_are_turned_away_at_once(world: World) -> None:
    world.provider.gate = asyncio.Event()
    batches = [asyncio.create_task(world.service.deliver([phone(f"+35121123456{n}")])) for n in range(4)]
    await world.provider.until_at_once(len(batches))
    with pytest.raises(RateLimited):
        await world.service.deliver([phone()])
    world.provider.gate.set()
    await asyncio.gather(*batches)
    await world.service.deliver([phone()])


async def test_a_batch_whose_caller_went_away_is_finished_and_recorded(world: World) -> None:
    world.provider.gate = asyncio.Event()
    batch = asyncio.create_task(world.service.deliver([phone()]))
    await world.provider.until_at_once(1)
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    world.provider.gate.set()
    await world.service.settle()
    assert world.records.kept[phone().delivery_id].state is State.SENT
    assert world.claims.held == {}


async def test_with_the_events_channel_down_the_answer_stands(world: World) -> None:
    world.events.down = True
    (result,) = await world.service.deliver([phone()])
    assert result.state is State.SENT


async def test_the_tenants_health_counts_its_recent_calls(world: World) -> None:
    gone = Outcome(verdict=Verdict.GONE)
    world.provider.outcomes = [Outcome(verdict=Verdict.ACCEPTED), gone, TRANSIENT]
    for number in range(4):
        await world.service.deliver([phone(f"+35121123456{number}")])
    found = {each.provider: each for each in world.health.of("acme")}[ProviderName.TWILIO]
    counts = (found.succeeded, found.failed_permanently, found.failed_transiently)
    assert (counts, found.last_success_at) == ((1, 1, 2), NOW)
    assert all(each.succeeded == 0 for each in world.health.of("globex"))
    world.clock.advance(6 * 60)
    later = {each.provider: each for each in world.health.of("acme")}[ProviderName.TWILIO]
    assert (later.succeeded, later.failed_transiently, later.last_success_at) == (0, 0, NOW)


async def test_accounts_are_read_once_in_a_while_and_a_change_is_seen_soon(world: World) -> None:
    await world.service.deliver([phone("+351211234561")])
    await world.service.deliver([phone("+351211234562")])
    assert world.store.reads == 1
    world.store.kept["acme", "newer"] = account(
        twilio(sender="Shop"), account_id="newer", created_at=NOW + timedelta(seconds=1)
    )
    world.clock.advance(3)
    await world.service.deliver([phone("+351211234563")])
    assert [each.account_id for each in world.provider.accounts] == ["main", "main", "newer"]


async def test_an_unchanged_account_is_the_same_object_after_a_reload(world: World) -> None:
    await world.service.deliver([phone("+351211234561")])
    world.clock.advance(3)
    await world.service.deliver([phone("+351211234562")])
    assert world.store.reads == 2
    assert world.provider.accounts[0] is world.provider.accounts[1]


async def test_an_account_that_was_made_or_deleted_here_counts_at_once(world: World) -> None:
    store = MemoryAccounts()
    accounts = Accounts(store, live_seconds=100, clock=world.clock, new_version=lambda: "v", now=lambda: 0.0)
    assert await accounts.for_messages([mail()]) == {}
    await accounts.create("acme", "mail", "", smtp())
    assert list(await accounts.for_messages([mail()])) == [mail().delivery_id]
    await accounts.delete("acme", "mail")
    assert await accounts.for_messages([mail()]) == {}
