"""What a peer received: the latest messages within bounds, and exact counts of all."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

Clock = Callable[[], float]
"""Seconds since the epoch."""

ACCEPTED = "accepted"
MAX_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One message that reached a peer, and what became of it.

    `outcome` is `accepted` or the error it was answered with, in the peer's words; `received_at` is in
    seconds since the epoch; `sequence` grows by one with each record of the peer and never repeats.
    """

    sequence: int
    received_at: float
    address: str
    outcome: str
    content: Mapping[str, object]


class Ledger:
    """Keeps the latest `capacity` accepted messages and as many rejected ones; counts every one.

    A flood of rejected messages does not push accepted ones out.
    """

    def __init__(self, *, capacity: int, clock: Clock) -> None:
        self._clock = clock
        self._accepted: deque[Received] = deque(maxlen=capacity)
        self._rejected: deque[Received] = deque(maxlen=capacity)
        self._outcomes: Counter[str] = Counter()
        self._sequence = 0
        self._growing: asyncio.Event | None = None

    def record(self, address: str, content: Mapping[str, object], outcome: str = ACCEPTED) -> Received:
        """Keep one message and count it."""
        self._sequence += 1
        self._outcomes[outcome] += 1
        received = Received(
            sequence=self._sequence,
            received_at=self._clock(),
            address=address,
            outcome=outcome,
            content=content,
        )
        (self._accepted if outcome == ACCEPTED else self._rejected).append(received)
        if self._growing is not None:
            self._growing.set()
            self._growing = None
        return received

    async def until(self, total: int) -> None:
        """Wait until `total` messages were recorded since the last reset, whatever became of them."""
        while self._outcomes.total() < total:
            if self._growing is None:
                self._growing = asyncio.Event()
            await self._growing.wait()

    @property
    def accepted(self) -> int:
        """How many messages were accepted since the last reset, kept or not."""
        return self._outcomes[ACCEPTED]

    def counts(self) -> dict[str, int]:
        """How many messages met each outcome since the last reset, kept or not."""
        return dict(self._outcomes)

    def messages(self, address: str | None = None) -> list[Received]:
        """Every kept accepted message, oldest first, of one address if given."""
        return [kept for kept in self._accepted if address is None or kept.address == address]

    def page(self, *, address: str | None, outcome: str | None, after: int, limit: int) -> list[Received]:
        """At most `limit` kept messages with a sequence above `after`, oldest first.

        `outcome` defaults to accepted; `any` takes all.
        """
        wanted = outcome or ACCEPTED
        kept: Iterable[Received]
        if wanted == ACCEPTED:
            kept = self._accepted
        elif wanted == "any":
            kept = sorted((*self._accepted, *self._rejected), key=lambda each: each.sequence)
        else:
            kept = (each for each in self._rejected if each.outcome == wanted)
        found = (each for each in kept if each.sequence > after and (address is None or each.address == address))
        return list(islice(found, min(limit, MAX_PAGE)))

    def clear(self) -> None:
        """Forget all messages and counts; sequences go on."""
        self._accepted.clear()
        self._rejected.clear()
        self._outcomes.clear()
