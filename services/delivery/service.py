"""Deliver: each message to its provider once, as far as a crash allows, and what it came to on record."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from services.delivery import metrics
from services.delivery.domain import (
    IN_PROGRESS,
    NO_PROVIDER_ACCOUNT,
    Delivery,
    Outcome,
    Result,
    State,
    Verdict,
    begun,
    concluded,
    expired,
    refused,
)
from services.delivery.ports import Step
from services.runtime import deadline
from services.runtime.errors import RateLimited, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import timedelta

    from services.delivery.accounts import Accounts
    from services.delivery.calls import ProviderCalls
    from services.delivery.credentials import Account
    from services.delivery.message import Message
    from services.delivery.policy import RetryPolicy
    from services.delivery.ports import Claims, Events, Records
    from services.runtime.clock import Clock

log = structlog.get_logger()
SAVE_PAUSES: Final = (0.1, 0.5, 1.5, 3.0)
"""Seconds between tries to record what providers have answered: long enough for an election."""
SAVE_SECONDS: Final = 15.0
PUBLISH_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of the service; times in seconds."""

    batches: int
    """Deliver calls at a time; more are turned away."""
    batch_seconds: float
    """What a batch's provider calls may take together: less than a claim lasts."""
    record_seconds: float
    """What is left of the caller's time for recording and publishing."""
    retention: timedelta
    """How long a delivery is remembered after it ended or expired."""


class DeliveryService:
    """Sends batches.

    The order is what keeps a repeated item from a second call: claim, look up, call, record, give the claim back.
    The look-up follows the claim, so that what another worker recorded before it let go is seen; and it is made
    for every item, since a Redis that lost its memory must not make us forget what MongoDB knows.
    """

    def __init__(
        self,
        *,
        records: Records,
        claims: Claims,
        accounts: Accounts,
        calls: ProviderCalls,
        events: Events,
        policy: RetryPolicy,
        limits: Limits,
        clock: Clock,
        new_owner: Callable[[], str],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`new_owner` answers a name that no other batch of any process has."""
        self._records, self._claims, self._accounts = records, claims, accounts
        self._calls, self._events = calls, events
        self._policy, self._limits = policy, limits
        self._clock, self._new_owner, self._pause = clock, new_owner, pause
        self._under_way: set[asyncio.Task[list[Result]]] = set()

    async def deliver(self, messages: Sequence[Message]) -> list[Result]:
        """One result for each message, in their order.

        A batch that has begun is finished and recorded even if its caller goes away. Raises RateLimited if too many
        batches are under way, Unavailable if nothing could be looked up or recorded.
        """
        if len(self._under_way) >= self._limits.batches:
            raise RateLimited("too many batches are under way", reason="OVERLOADED", retry_after=1.0)
        batch = asyncio.create_task(self._deliver(messages))
        self._under_way.add(batch)
        metrics.BATCHES_IN_FLIGHT.set(len(self._under_way))
        batch.add_done_callback(self._ended)
        return await asyncio.shield(batch)

    async def page(self, tenant: str, notification_id: str, *, after: str, limit: int) -> list[Delivery]:
        """Deliveries of one notification of this tenant by id, from the first one after `after`."""
        return await self._records.page(tenant, notification_id, after=after, limit=limit)

    async def settle(self) -> None:
        """Wait for batches whose callers have gone, as long as recording may take."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=SAVE_SECONDS)

    def _ended(self, batch: asyncio.Task[list[Result]]) -> None:
        self._under_way.discard(batch)
        metrics.BATCHES_IN_FLIGHT.set(len(self._under_way))

    async def _deliver(self, messages: Sequence[Message]) -> list[Result]:
        metrics.BATCH_ITEMS.observe(len(messages))
        batch = {message.delivery_id: message for message in messages}
        until = self._calls_until()
        owner = self._new_owner()
        held = await self._claim(list(batch), owner)
        unrecorded: set[str] = set()
        try:
            known = await self._records.find(list(batch.values()))
            results, due = self._sort(batch, known, held)
            accounts = await self._accounts.for_messages([message for message, _ in due])
            steps = await self._attempt(due, accounts, until)
            unrecorded = {step.delivery.delivery_id for step in steps if step.outcome is not None}
            await self._record(steps)
            unrecorded = set()
        finally:
            # What was sent but not recorded stays claimed: nobody repeats it before the claim runs out.
            await self._release(held - unrecorded, owner)
        await self._tell(steps)
        results |= {step.delivery.delivery_id: Result.of(step.delivery) for step in steps}
        return [results[message.delivery_id] for message in messages]

    def _calls_until(self) -> float:
        left = deadline.remaining()
        seconds = self._limits.batch_seconds
        if left is not None:
            seconds = min(seconds, left - min(self._limits.record_seconds, left / 2))
        return asyncio.get_running_loop().time() + seconds

    async def _claim(self, delivery_ids: list[str], owner: str) -> set[str]:
        try:
            return await self._claims.take(delivery_ids, owner)
        except Unavailable:
            # Without claims two workers may both send; without sending, messages would be lost.
            metrics.WITHOUT_CLAIMS.inc()
            log.warning("claims_unavailable", items=len(delivery_ids))
            return set(delivery_ids)

    async def _release(self, delivery_ids: set[str], owner: str) -> None:
        try:
            await self._claims.release(delivery_ids, owner)
        except Unavailable:
            log.warning("claims_not_released", items=len(delivery_ids))

    def _sort(
        self, batch: Mapping[str, Message], known: Mapping[str, Delivery], held: set[str]
    ) -> tuple[dict[str, Result], list[tuple[Message, Delivery]]]:
        """What can be answered at once, and what is due for an attempt."""
        now = self._clock()
        results: dict[str, Result] = {}
        due: list[tuple[Message, Delivery]] = []
        for delivery_id, message in batch.items():
            record = known.get(delivery_id)
            if record is not None and (record.settled or record.waits(now)):
                results[delivery_id] = Result.of(record)
            elif delivery_id not in held:
                results[delivery_id] = Result(delivery_id=delivery_id, state=State.QUEUED, reason=IN_PROGRESS)
            else:
                due.append((message, record or begun(message, now, self._limits.retention)))
        metrics.KNOWN.inc(len(results))
        return results, due

    async def _attempt(
        self, due: Sequence[tuple[Message, Delivery]], accounts: Mapping[str, Account], until: float
    ) -> list[Step]:
        async with asyncio.TaskGroup() as group:
            attempts = [
                group.create_task(self._step(message, delivery, accounts.get(message.delivery_id), until))
                for message, delivery in due
            ]
        return [attempt.result() for attempt in attempts]

    async def _step(self, message: Message, delivery: Delivery, account: Account | None, until: float) -> Step:
        outcome: Outcome | None = None
        now = self._clock()
        if message.expire_at <= now:
            delivery = expired(delivery, now)
        elif message.fault:
            delivery = refused(delivery, message.fault, now)
        elif account is None:
            delivery = refused(delivery, NO_PROVIDER_ACCOUNT, now)
        else:
            outcome = await self._calls.make(account, message, until)
            delivery = concluded(delivery, outcome, now=self._clock(), expire_at=message.expire_at, policy=self._policy)
        metrics.DELIVERIES.labels(delivery.channel or "NONE", delivery.state, delivery.reason).inc()
        return Step(message=message, delivery=delivery, outcome=outcome)

    async def _record(self, steps: Sequence[Step]) -> None:
        deliveries = [step.delivery for step in steps]
        with deadline.extended(SAVE_SECONDS):
            for pause in SAVE_PAUSES:
                try:
                    return await self._records.save(deliveries)
                except Unavailable:
                    log.warning("save_repeated", items=len(deliveries))
                    await self._pause(pause)
            return await self._records.save(deliveries)

    async def _tell(self, steps: Sequence[Step]) -> None:
        # A call put off is no step in a delivery's life, unless that was its end.
        told = [step for step in steps if step.delivery.settled or not _deferred(step)]
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self._events.publish(told)
        except (Unavailable, TimeoutError):
            # The records stand. A dead token answers the same next time; statistics lack these steps.
            metrics.UNTOLD.inc(len(told))
            log.warning("events_not_published", steps=len(told))


def _deferred(step: Step) -> bool:
    return step.outcome is not None and step.outcome.verdict is Verdict.DEFERRED
