"""The use case: take what a lane read through the stages, in batches of a bounded size, when it is the lane's turn."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from services.processor.metrics import BATCHES, TURN_SECONDS
from services.runtime import deadline
from services.runtime.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from services.processor.domain import Job, Lane
    from services.processor.ports import Stage
    from services.processor.scheduling import FairTurns


class Processing:
    """Processes jobs. A large read is split, so that a turn is short whatever the lane, and the others need not wait."""

    def __init__(self, stages: Stage, turns: FairTurns, *, batch_recipients: int, batch_seconds: float) -> None:
        """`stages` is the first of the chain; each batch has `batch_seconds` from the beginning of its turn."""
        self._stages, self._turns = stages, turns
        self._recipients, self._seconds = batch_recipients, batch_seconds
        self._draining = False

    def drain(self) -> None:
        """Begin no batch any more; those under way are finished."""
        self._draining = True

    async def process(self, lane: Lane, jobs: Sequence[Job]) -> None:
        """Return when all are done. If a batch fails, the others are finished first, and then its error is raised.

        Raises Unavailable if the process ends before all were begun: what is left comes again, to the next one.
        """
        ends = await asyncio.gather(*(self._batch(lane, batch) for batch in self._split(jobs)), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def _batch(self, lane: Lane, jobs: Sequence[Job]) -> None:
        result, asked = "failed", time.monotonic()
        async with self._turns.turn(lane, sum(len(job.recipients) for job in jobs)):
            if self._draining:
                raise Unavailable("this process is about to end")
            TURN_SECONDS.labels(lane).observe(time.monotonic() - asked)
            try:
                with deadline.within(self._seconds):
                    await self._stages(jobs)
                result = "done"
            finally:
                BATCHES.labels(lane, result).inc()

    def _split(self, jobs: Sequence[Job]) -> Iterator[Sequence[Job]]:
        batch: list[Job] = []
        size = 0
        for job in jobs:
            if batch and size + len(job.recipients) > self._recipients:
                yield batch
                batch, size = [], 0
            batch.append(job)
            size += len(job.recipients)
        if batch:
            yield batch
