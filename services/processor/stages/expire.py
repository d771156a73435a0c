"""The stage that lets go of what comes too late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.processor.domain import EXPIRED, End, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.processor.domain import Job
    from services.processor.ports import Stage
    from services.runtime.clock import Clock


class Expire:
    """Ends each recipient of a notification past its TTL as expired."""

    def __init__(self, clock: Clock, then: Stage) -> None:
        """`then` is the next stage."""
        self._clock, self._then = clock, then

    async def __call__(self, jobs: Sequence[Job]) -> None:
        """Hand all on; what has expired has no recipients left."""
        now = self._clock()
        await self._then([_ended(job) if job.expired(now) else job for job in jobs])


def _ended(job: Job) -> Job:
    return job.going_on((), [End(outcome=Outcome.EXPIRED, reason=EXPIRED) for _ in job.recipients])
