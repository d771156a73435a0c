"""What Kafka is told of an accepted notification."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from clarion.events.v1 import AnalyticsEvent, NotificationEvent
from clarion.type.v1 import Priority

from services import topics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.notification.domain import Draft

LANES: Final = {
    Priority.PRIORITY_CRITICAL: topics.NOTIFICATIONS_CRITICAL,
    Priority.PRIORITY_NORMAL: topics.NOTIFICATIONS_NORMAL,
    Priority.PRIORITY_BULK: topics.NOTIFICATIONS_BULK,
}
ACCEPTED_REASON: Final = "ACCEPTED"
_KEY_BYTES: Final = 16


def chunk_events(draft: Draft) -> Iterator[NotificationEvent]:
    """One event for each chunk of recipients."""
    for number, recipients in enumerate(draft.chunks):
        event = NotificationEvent(
            tenant=draft.tenant,
            notification_id=draft.notification_id,
            chunk=number,
            recipients=draft.request.recipients[recipients.start : recipients.stop],
            content=draft.request.content,
            options=draft.request.options,
        )
        event.accept_time.FromDatetime(draft.created_at)
        event.expire_time.FromDatetime(draft.expire_at)
        yield event


def key(draft: Draft, chunk: int) -> bytes:
    """What keeps order: one recipient's notifications stay in one partition. An address is never there in clear."""
    if len(draft.request.recipients) > 1:
        return f"{draft.notification_id}:{chunk}".encode()
    recipient = draft.request.recipients[0].SerializeToString(deterministic=True)
    return hashlib.blake2b(recipient, key=draft.tenant.encode()[:64], digest_size=_KEY_BYTES).digest()


def accepted_event(draft: Draft) -> AnalyticsEvent:
    """The first step in a notification's life."""
    event = AnalyticsEvent(
        event_id=f"{draft.notification_id}:accepted",
        tenant=draft.tenant,
        notification_id=draft.notification_id,
        reason=ACCEPTED_REASON,
        category=draft.request.options.category,
    )
    event.time.FromDatetime(draft.created_at)
    return event
