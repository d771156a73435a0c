"""The stage that sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.processor.domain import EXPIRED, UNREACHED, End, Message, Outcome
from services.processor.metrics import STAGE_SECONDS
from services.runtime.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.processor.domain import Job, Recipient
    from services.processor.ports import Deliveries, Stage
    from services.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class _Trip:
    """One recipient on the way, and where their ends are gathered."""

    job: Job
    recipient: Recipient
    ends: list[End]

    def messages(self, wave: int) -> list[Message]:
        user_id = self.recipient.user_id
        return [Message(chunk=self.job.chunk, user_id=user_id, address=each) for each in self.recipient.waves[wave]]


class Deliver:
    """Sends the first wave of the whole batch at once, then the second one to those whom the first did not reach, …"""

    def __init__(self, deliveries: Deliveries, clock: Clock, then: Stage) -> None:
        """`then` is the next stage."""
        self._deliveries, self._clock, self._then = deliveries, clock, then

    async def __call__(self, jobs: Sequence[Job]) -> None:
        """Hand on what is settled.

        Raises Conflict, after that, if another worker has some of it now: then the rest is to come again.
        """
        with STAGE_SECONDS.labels("deliver").time():
            done = await self._delivered(jobs)
        settled = [job for job in done if all(end.outcome is not Outcome.QUEUED for end in job.ends)]
        if settled:
            await self._then(settled)
        if len(settled) < len(jobs):
            raise Conflict("another worker is sending some of these now")

    async def _delivered(self, jobs: Sequence[Job]) -> list[Job]:
        ends: list[list[End]] = [[] for _ in jobs]
        trips = [
            _Trip(job, recipient, gathered)
            for job, gathered in zip(jobs, ends, strict=True)
            for recipient in job.recipients
        ]
        wave = 0
        while trips:
            trips = await self._wave(trips, wave)
            wave += 1
        return [job.going_on((), gathered) for job, gathered in zip(jobs, ends, strict=True)]

    async def _wave(self, trips: Sequence[_Trip], wave: int) -> list[_Trip]:
        """Send one wave; answers the trips that need the next one, and have it."""
        now = self._clock()
        out: list[_Trip] = []
        for trip in trips:
            if trip.job.expired(now):
                trip.ends.append(End(outcome=Outcome.EXPIRED, reason=EXPIRED))
            else:
                out.append(trip)
        messages = [trip.messages(wave) for trip in out]
        sent = await self._deliveries.deliver([message for each in messages for message in each]) if out else ()
        if len(sent) != sum(map(len, messages)):
            raise ValueError("not one result for each message")
        answers = iter(sent)
        unreached: list[_Trip] = []
        for trip, asked in zip(out, messages, strict=True):
            results = [next(answers) for _ in asked]
            trip.ends.extend(results)
            more = wave + 1 < len(trip.recipient.waves)
            if more and all(each.outcome in UNREACHED for each in results):
                unreached.append(trip)
        return unreached
