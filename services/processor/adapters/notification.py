"""Progress is kept by the notification service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clarion.notification.v1 import (
    NOTIFICATION_STATE_ACCEPTED,
    NOTIFICATION_STATE_PROCESSING,
    NOTIFICATION_STATE_UNSPECIFIED,
    NotificationServiceStub,
    ProgressReport,
    ProgressResult,
    ReportProgressRequest,
)
from clarion.type.v1 import Progress

from services.processor.adapters.calls import each_of, portions
from services.processor.domain import Outcome, Standing
from services.runtime.channels import answered

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc

    from services.processor.domain import Chunk, Report

MOST_REPORTS, MOST_BYTES = 1000, 4 * 1024 * 1024
_STATES_OPEN = (NOTIFICATION_STATE_ACCEPTED, NOTIFICATION_STATE_PROCESSING)


class NotificationProgress:
    """Reports over ReportProgress."""

    def __init__(self, channel: grpc.aio.Channel, *, concurrent: int) -> None:
        """At most `concurrent` calls at once for one batch."""
        self._stub = NotificationServiceStub(channel)
        self._concurrent = concurrent

    async def started(self, chunks: Sequence[Chunk]) -> Sequence[Standing]:
        """See the port."""
        return [_standing(result) for result in await self._report([_started(chunk) for chunk in chunks])]

    async def processed(self, reports: Sequence[Report]) -> None:
        """See the port."""
        await self._report([_processed(report) for report in reports])

    async def _report(self, reports: Sequence[ProgressReport]) -> list[ProgressResult]:
        requests = portions(reports, most_items=MOST_REPORTS, most_bytes=MOST_BYTES, size=ProgressReport.ByteSize)
        answers = await each_of(requests, self._call, concurrent=self._concurrent)
        return [result for answer in answers for result in answer]

    async def _call(self, reports: Sequence[ProgressReport]) -> Sequence[ProgressResult]:
        answer = await answered(self._stub.ReportProgress(ReportProgressRequest(reports=reports)))
        return answer.results


def _started(chunk: Chunk) -> ProgressReport:
    return ProgressReport(
        tenant=chunk.tenant,
        notification_id=chunk.notification_id,
        chunk=chunk.number,
        started=ProgressReport.Started(),
    )


def _processed(report: Report) -> ProgressReport:
    counts = report.counts
    return ProgressReport(
        tenant=report.chunk.tenant,
        notification_id=report.chunk.notification_id,
        chunk=report.chunk.number,
        processed=ProgressReport.Processed(
            progress=Progress(
                sent=counts.get(Outcome.SENT, 0),
                retrying=counts.get(Outcome.RETRYING, 0),
                failed=counts.get(Outcome.FAILED, 0),
                suppressed=counts.get(Outcome.SUPPRESSED, 0),
                expired=counts.get(Outcome.EXPIRED, 0),
            ),
            retrying_delivery_ids=report.retrying,
            reason=report.reason,
        ),
    )


def _standing(result: ProgressResult) -> Standing:
    if result.state == NOTIFICATION_STATE_UNSPECIFIED:
        return Standing.UNKNOWN
    if result.chunk_done:
        return Standing.DONE
    return Standing.OPEN if result.state in _STATES_OPEN else Standing.FINAL
