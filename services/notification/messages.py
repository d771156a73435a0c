"""The domain in the contract's form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clarion.notification.v1 import BatchSendResult, Notification, ProgressResult, SendNotificationResponse
from clarion.type.v1 import Progress

from services.notification.domain import ACCEPTED
from services.runtime.errors import ClarionError
from services.runtime.status import to_status

if TYPE_CHECKING:
    from services.notification.domain import Accepted, Outcome, Report, Standing, Stored, Totals


def send_response(accepted: Accepted) -> SendNotificationResponse:
    """The answer to one notification; to a repeated one the first answer again, however far it has come since."""
    response = SendNotificationResponse(
        notification_id=accepted.notification_id, state=ACCEPTED, duplicate=accepted.duplicate
    )
    response.create_time.FromDatetime(accepted.created_at)
    return response


def batch_result(outcome: Outcome) -> BatchSendResult:
    """The answer to one item of a batch."""
    if isinstance(outcome, ClarionError):
        return BatchSendResult(error=to_status(outcome))
    return BatchSendResult(accepted=send_response(outcome))


def notification(stored: Stored) -> Notification:
    """A notification; with recipients and content if they were read."""
    message = Notification(
        notification_id=stored.notification_id,
        state=stored.state,
        reason=stored.reason,
        options=stored.options,
        recipient_count=stored.recipient_count,
        progress=_progress(stored.totals),
        idempotency_key=stored.idempotency_key,
    )
    message.create_time.FromDatetime(stored.created_at)
    message.update_time.FromDatetime(stored.updated_at)
    message.expire_time.FromDatetime(stored.expire_at)
    if stored.request is not None:
        message.recipients.MergeFrom(stored.request.recipients)
        message.content.CopyFrom(stored.request.content)
    return message


def progress_result(report: Report, standing: Standing) -> ProgressResult:
    """Where a reported notification stands."""
    return ProgressResult(notification_id=report.notification_id, state=standing.state, chunk_done=standing.chunk_done)


def _progress(totals: Totals) -> Progress:
    return Progress(
        queued=totals.queued,
        sent=totals.sent,
        retrying=totals.retrying,
        failed=totals.failed,
        suppressed=totals.suppressed,
        expired=totals.expired,
    )
