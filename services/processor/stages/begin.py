"""The first stage: say what is begun, and leave what is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.processor.domain import Standing
from services.processor.metrics import DROPPED, STAGE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.processor.domain import Job
    from services.processor.ports import Progress, Stage


class Begin:
    """Reports the batch as started, and hands on only what is neither cancelled nor final nor done before.

    A chunk that came twice in one batch is handed on once.
    """

    def __init__(self, progress: Progress, then: Stage) -> None:
        """`then` is the next stage."""
        self._progress, self._then = progress, then

    async def __call__(self, jobs: Sequence[Job]) -> None:
        """Hand on what is open."""
        with STAGE_SECONDS.labels("begin").time():
            once = list({job.chunk.key: job for job in jobs}.values())
            standings = await self._progress.started([job.chunk for job in once])
            going_on: list[Job] = []
            for job, standing in zip(once, standings, strict=True):
                if standing is Standing.OPEN:
                    going_on.append(job)
                else:
                    DROPPED.labels(job.chunk.lane, standing).inc()
        if going_on:
            await self._then(going_on)
