"""One call to a provider: in its turn, within its time, measured."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import structlog

from services.delivery import metrics
from services.delivery.domain import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.delivery.credentials import Account
    from services.delivery.health import HealthWindows
    from services.delivery.message import Message, ProviderName
    from services.delivery.ports import Provider
    from services.delivery.slots import Slots
    from services.runtime.clock import Clock

log = structlog.get_logger()
SHORTEST_CALL_SECONDS: Final = 0.05
NO_TIME: Final = Outcome(verdict=Verdict.DEFERRED, reason="NO_CAPACITY")


class ProviderCalls:
    """Makes calls, as many at a time as each account has slots."""

    def __init__(
        self,
        providers: Mapping[ProviderName, Provider],
        *,
        slots: Slots,
        health: HealthWindows,
        call_seconds: float,
        clock: Clock,
    ) -> None:
        """A call ends within `call_seconds`."""
        self._providers, self._slots, self._health = providers, slots, health
        self._call_seconds, self._clock = call_seconds, clock

    async def make(self, account: Account, message: Message, until: float) -> Outcome:
        """Send a message once: before `until` (of the loop's time), before it expires, and never longer than set.

        Where there is neither time nor room for that the outcome is DEFERRED and no call was made.
        """
        slots = self._slots.of(account)
        try:
            async with asyncio.timeout(self._left(message, until)):
                await slots.acquire()
        except TimeoutError:
            return NO_TIME
        try:
            seconds = self._left(message, until)
            if seconds < SHORTEST_CALL_SECONDS:
                return NO_TIME
            return await self._measured(account, message, min(seconds, self._call_seconds))
        finally:
            slots.release()

    def _left(self, message: Message, until: float) -> float:
        lifetime = (message.expire_at - self._clock()).total_seconds()
        return max(0.0, min(until - asyncio.get_running_loop().time(), lifetime))

    async def _measured(self, account: Account, message: Message, seconds: float) -> Outcome:
        name = account.provider
        started = time.perf_counter()
        try:
            outcome = await self._providers[name].send(account, message, seconds)
        except Exception as exc:  # one message's trouble must not end its batch; the text could hold an address
            log.warning("provider_adapter_failed", provider=name, error=type(exc).__name__)
            outcome = Outcome(verdict=Verdict.TRANSIENT, reason="INTERNAL", code=type(exc).__name__)
        metrics.PROVIDER_SECONDS.labels(name).observe(time.perf_counter() - started)
        metrics.PROVIDER_CALLS.labels(name, outcome.verdict).inc()
        self._health.note(message.tenant, name, outcome.verdict)
        if outcome.verdict is Verdict.ACCEPTED:
            waited = (self._clock() - message.accepted_at).total_seconds()
            metrics.ACCEPT_TO_PROVIDER_SECONDS.labels(message.channel).observe(max(0.0, waited))
        return outcome
