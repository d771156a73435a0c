"""The last stage: say what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.processor.domain import Report as Summary
from services.processor.metrics import LAG_SECONDS, OUTCOMES, STAGE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.processor.domain import Job
    from services.processor.ports import Progress
    from services.runtime.clock import Clock


class Report:
    """Reports each chunk as processed, with its counts. Offsets are committed after this."""

    def __init__(self, progress: Progress, clock: Clock) -> None:
        """There is no stage after this one."""
        self._progress, self._clock = progress, clock

    async def __call__(self, jobs: Sequence[Job]) -> None:
        """Return when it is recorded."""
        with STAGE_SECONDS.labels("report").time():
            reports = [Summary.of(job) for job in jobs]
            await self._progress.processed(reports)
        now = self._clock()
        for report in reports:
            lane = report.chunk.lane
            LAG_SECONDS.labels(lane).observe(max(0.0, (now - report.chunk.accept_time).total_seconds()))
            for outcome, count in report.counts.items():
                OUTCOMES.labels(lane, outcome).inc(count)
