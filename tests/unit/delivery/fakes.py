"""In-memory ports; those with a real counterpart pass its contract suite."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from services.delivery.domain import OPEN, Outcome, Verdict
from services.runtime.errors import AlreadyExists, LimitReached, NotFound, Unavailable
from tests.unit.delivery.builders import NOW

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from services.delivery.credentials import Account
    from services.delivery.domain import Delivery
    from services.delivery.message import Message
    from services.delivery.ports import Step


class FakeClock:
    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return (self.now - NOW).total_seconds()

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class MemoryRecords:
    """`failures` counts down: so many calls find no store."""

    def __init__(self) -> None:
        self.kept: dict[str, Delivery] = {}
        self.find_failures = self.save_failures = 0
        self.saves = 0

    async def find(self, messages: Sequence[Message]) -> Mapping[str, Delivery]:
        if self.find_failures:
            self.find_failures -= 1
            raise Unavailable
        found = (self.kept.get(each.delivery_id) for each in messages)
        return {each.delivery_id: each for each in found if each is not None}

    async def save(self, deliveries: Sequence[Delivery]) -> None:
        self.saves += 1
        if self.save_failures:
            self.save_failures -= 1
            raise Unavailable
        for delivery in deliveries:
            standing = self.kept.get(delivery.delivery_id)
            if standing is None or standing.state in OPEN:
                self.kept[delivery.delivery_id] = delivery

    async def page(self, tenant: str, notification_id: str, *, after: str, limit: int) -> list[Delivery]:
        mine = [
            each
            for _, each in sorted(self.kept.items())
            if each.tenant == tenant and each.notification_id == notification_id and each.delivery_id > after
        ]
        return mine[:limit]


class MemoryClaims:
    def __init__(self, *, seconds: int = 60, now: Callable[[], float] = lambda: 0.0) -> None:
        self._seconds, self._now = seconds, now
        self.held: dict[str, tuple[str, float]] = {}
        self.down = False

    async def take(self, delivery_ids: Sequence[str], owner: str) -> set[str]:
        self._check()
        taken = {each for each in delivery_ids if each not in self.held or self.held[each][1] <= self._now()}
        self.held |= {each: (owner, self._now() + self._seconds) for each in taken}
        return taken

    async def release(self, delivery_ids: Collection[str], owner: str) -> None:
        self._check()
        for each in delivery_ids:
            if each in self.held and self.held[each][0] == owner:
                del self.held[each]

    def _check(self) -> None:
        if self.down:
            raise Unavailable


class MemoryAccounts:
    def __init__(self, *accounts: Account) -> None:
        self.kept = {(each.tenant, each.account_id): each for each in accounts}
        self.reads = 0

    async def add(self, account: Account, *, most: int) -> None:
        if sum(tenant == account.tenant for tenant, _ in self.kept) >= most:
            raise LimitReached
        if (account.tenant, account.account_id) in self.kept:
            raise AlreadyExists
        self.kept[account.tenant, account.account_id] = account

    async def remove(self, tenant: str, account_id: str) -> None:
        if self.kept.pop((tenant, account_id), None) is None:
            raise NotFound

    async def page(self, tenant: str, *, after: str, limit: int) -> list[Account]:
        found = [each for (owner, _), each in sorted(self.kept.items()) if owner == tenant and each.account_id > after]
        return found[:limit]

    async def of_tenant(self, tenant: str) -> list[Account]:
        self.reads += 1
        return [replace(each) for (owner, _), each in self.kept.items() if owner == tenant]


class FakeProvider:
    """Answers each message as it is told, in order and then for good; `gate`, if set, holds calls until it opens."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.sent: list[Message] = []
        self.accounts: list[Account] = []
        self.timeouts: list[float] = []
        self.gate: asyncio.Event | None = None
        self.error: Exception | None = None
        self.at_once = self.most_at_once = 0
        self._entered = asyncio.Condition()

    async def until_at_once(self, calls: int) -> None:
        """Return once so many calls are under way."""
        async with self._entered:
            await self._entered.wait_for(lambda: self.at_once >= calls)

    async def send(self, account: Account, message: Message, timeout: float) -> Outcome:
        self.sent.append(message)
        self.accounts.append(account)
        self.timeouts.append(timeout)
        async with self._entered:
            self.at_once += 1
            self._entered.notify_all()
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.at_once -= 1
        if self.error is not None:
            raise self.error
        if not self.outcomes:
            return Outcome(verdict=Verdict.ACCEPTED, provider_message_id=f"id-{len(self.sent)}")
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]


class FakeEvents:
    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.down = False

    async def publish(self, steps: Sequence[Step]) -> None:
        if self.down:
            raise Unavailable
        self.steps += steps
