"""Whose turn it is: the lanes share a bounded number of batches by weight, and some of them only critical may have."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.processor.domain import Lane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


@dataclass(frozen=True, slots=True)
class _Ticket:
    start: float
    number: int
    granted: asyncio.Future[None]


class FairTurns:
    """Start-time fair queueing (Goyal, Vin, Cheng 1996): lanes that wait get turns in proportion to their weights.

    A lane that was idle has saved nothing up and owes nothing. Every waiting lane advances, however busy the others.
    """

    def __init__(self, weights: Mapping[Lane, int], *, shared: int, reserved: int) -> None:
        """`shared` turns at once are for all lanes; `reserved` ones come on top for the critical lane alone."""
        self._weights = weights
        self._shared, self._all = shared, shared + reserved
        self._running = dict.fromkeys(weights, 0)
        self._waiting: dict[Lane, deque[_Ticket]] = {lane: deque() for lane in weights}
        self._owed = dict.fromkeys(weights, 0.0)
        self._now = 0.0
        self._number = 0

    @asynccontextmanager
    async def turn(self, lane: Lane, cost: float) -> AsyncIterator[None]:
        """Wait for a turn, and hold it while the context lasts. `cost` is in any unit that all lanes share."""
        self._number += 1
        ticket = _Ticket(max(self._now, self._owed[lane]), self._number, asyncio.get_running_loop().create_future())
        self._owed[lane] = ticket.start + cost / self._weights[lane]
        self._waiting[lane].append(ticket)
        self._grant()
        try:
            await ticket.granted
            yield
        finally:
            self._leave(lane, ticket)
            self._grant()

    def _leave(self, lane: Lane, ticket: _Ticket) -> None:
        if ticket in self._waiting[lane]:
            self._waiting[lane].remove(ticket)
        else:
            self._running[lane] -= 1
        if not any(self._running.values()) and not any(self._waiting.values()):
            self._now = max(self._owed.values())

    def _grant(self) -> None:
        while sum(self._running.values()) < self._all:
            others = sum(count for lane, count in self._running.items() if lane is not Lane.CRITICAL)
            heads = [
                (tickets[0].start, tickets[0].number, lane)
                for lane, tickets in self._waiting.items()
                if tickets and (lane is Lane.CRITICAL or others < self._shared)
            ]
            if not heads:
                return
            self._now, _, lane = min(heads)
            ticket = self._waiting[lane].popleft()
            self._running[lane] += 1
            if not ticket.granted.done():
                ticket.granted.set_result(None)
