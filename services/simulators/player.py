"""Plays a script: decides, request by request, what goes wrong."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.simulators.ledger import ACCEPTED
from services.simulators.script import Action, Fault, Limit, Scope, Script, Stage

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from services.simulators.ledger import Clock

_MAX_WINDOWS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a request meets: a delay, then a fault, or an exhausted limit, or nothing."""

    latency_seconds: float = 0.0
    fault: Fault | None = None
    limit: Limit | None = None
    retry_after_seconds: int | None = None

    @property
    def strikes(self) -> bool:
        """Whether the request does not get its usual answer."""
        return self.fault is not None or self.limit is not None

    def error(self, limited: str, dropped: str) -> str:
        """The error to answer with: the fault's, `dropped` if it names none, `limited` for a limit."""
        return limited if self.fault is None else self.fault.error or dropped

    def outcome(self, limited: str) -> str:
        """What the ledger calls a request that was struck."""
        if self.fault is not None and self.fault.deliver:
            return ACCEPTED
        return self.error(limited, "" if self.fault is None else str(self.fault.action))


_UNHARMED = Verdict()


class _Cast:
    """One fault and how often it was met."""

    __slots__ = ("_met", "_struck", "fault")

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._met = 0
        self._struck = 0

    def strikes(self, age: float, rng: random.Random) -> bool:
        fault = self.fault
        self._met += 1
        if self._met <= fault.skip or age < fault.after_seconds:
            return False
        if fault.times is not None and self._struck >= fault.times:
            return False
        if fault.probability < 1.0 and rng.random() >= fault.probability:
            return False
        self._struck += 1
        return True


class _Windows:
    """The open windows of one limit, the longest unused forgotten first."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._open: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, key: str, now: float) -> int | None:
        """Count one request; when it is over the limit, answer the seconds until the window closes."""
        opened, used = self._open.get(key, (now, 0))
        if now - opened >= self.limit.window_seconds:
            opened, used = now, 0
        if used >= self.limit.requests:
            return max(1, math.ceil(opened + self.limit.window_seconds - now))
        self._open[key] = (opened, used + 1)
        self._open.move_to_end(key)
        if len(self._open) > _MAX_WINDOWS:
            self._open.popitem(last=False)
        return None


class Player:
    """Plays one script at a time; setting another forgets every count of the one before.

    Faults of an exact address are found in constant time, so a script may name thousands of them.
    """

    def __init__(self, *, clock: Clock, rng: random.Random, defaults: tuple[Limit, ...] = ()) -> None:
        self._clock = clock
        self._rng = rng
        self._defaults = defaults
        self._changed = asyncio.Event()
        self.play(Script())

    def play(self, script: Script) -> None:
        """Replace the script; requests that hang are let go."""
        self._changed.set()
        self._changed = asyncio.Event()
        self._script = script
        self._since = self._clock()
        self._exact: dict[tuple[Stage, str], list[_Cast]] = {}
        self._loose: list[_Cast] = []
        for fault in script.faults:
            if fault.match is None or fault.match.endswith("*"):
                self._loose.append(_Cast(fault))
            else:
                self._exact.setdefault((fault.stage, fault.match), []).append(_Cast(fault))
        self._windows = [_Windows(limit) for limit in script.limits or self._defaults]

    @property
    def script(self) -> Script:
        """The script that is playing."""
        return self._script

    def decide(self, address: str, *, account: str = "", stage: Stage = Stage.RCPT) -> Verdict:
        """What a request to `address` by `account` meets; counts it against faults and limits."""
        if not (self._exact or self._loose or self._windows):
            return _UNHARMED
        now = self._clock()
        latency = 0.0
        for cast in self._matching(address, stage):
            if not cast.strikes(now - self._since, self._rng):
                continue
            latency += cast.fault.latency_seconds
            if cast.fault.error is not None or cast.fault.action is not Action.ANSWER:
                return Verdict(
                    latency_seconds=latency,
                    fault=cast.fault,
                    retry_after_seconds=cast.fault.retry_after_seconds,
                )
        return (
            self._limited(address, account, now, latency) if stage is Stage.RCPT else Verdict(latency_seconds=latency)
        )

    def decide_named(self, address: str) -> Verdict:
        """What a request meets that only a fault of its exact address concerns; it counts against nothing else."""
        age = self._clock() - self._since
        for cast in self._exact.get((Stage.RCPT, address), ()):
            if cast.strikes(age, self._rng):
                return Verdict(
                    latency_seconds=cast.fault.latency_seconds,
                    fault=cast.fault,
                    retry_after_seconds=cast.fault.retry_after_seconds,
                )
        return _UNHARMED

    async def until_changed(self) -> None:
        """Wait for another script: how long a hanging request hangs."""
        await self._changed.wait()

    def _matching(self, address: str, stage: Stage) -> Iterator[_Cast]:
        yield from self._exact.get((stage, address), ())
        for cast in self._loose:
            fault = cast.fault
            if fault.stage is stage and (fault.match is None or address.startswith(fault.match[:-1])):
                yield cast

    def _limited(self, address: str, account: str, now: float, latency: float) -> Verdict:
        for windows in self._windows:
            scope = windows.limit.scope
            key = address if scope is Scope.ADDRESS else account if scope is Scope.ACCOUNT else ""
            wait = windows.take(key, now)
            if wait is not None:
                return Verdict(latency_seconds=latency, limit=windows.limit, retry_after_seconds=wait)
        return Verdict(latency_seconds=latency) if latency else _UNHARMED
