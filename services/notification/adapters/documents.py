"""The form in which a notification is kept in MongoDB."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from clarion.notification.v1 import DeliveryOptions, NotificationState, SendNotificationRequest

from services.notification.domain import ACCEPTED, Stored, Totals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.notification.domain import Draft
    from services.runtime.mongo import Document

COLLECTION: Final = "notifications"
COUNTS: Final = tuple(each.name for each in fields(Totals))
WITHOUT_SPEC: Final = {"spec": False, "content_hash": False, "done": False, "retrying": False, "early": False}


def document(draft: Draft) -> Document:
    """A new notification. `processed_at` is null until every chunk was processed: the reconciler looks for that."""
    options = draft.request.options
    return {
        "_id": draft.notification_id,
        "tenant": draft.tenant,
        "state": int(ACCEPTED),
        "reason": "",
        "revision": 0,
        "spec": draft.spec,
        "content_hash": draft.content_hash,
        "options": options.SerializeToString(),
        "idempotency_key": draft.idempotency_key,
        "category": options.category,
        "priority": int(options.priority),
        "recipient_count": len(draft.request.recipients),
        "chunks": len(draft.chunks),
        "done": [],
        "totals": dict.fromkeys(COUNTS, 0),
        "retrying": [],
        "early": [],
        "created_at": draft.created_at,
        "updated_at": draft.created_at,
        "expire_at": draft.expire_at,
        "purge_at": draft.purge_at,
        "processed_at": None,
    }


def stored(kept: Mapping[str, Any]) -> Stored:
    """Read a document; recipients and content are there if `spec` is."""
    return Stored(
        notification_id=kept["_id"],
        tenant=kept["tenant"],
        state=NotificationState.ValueType(kept["state"]),
        reason=kept["reason"],
        revision=kept["revision"],
        totals=Totals(**{name: kept["totals"][name] for name in COUNTS}),
        options=DeliveryOptions.FromString(kept["options"]),
        request=SendNotificationRequest.FromString(kept["spec"]) if "spec" in kept else None,
        idempotency_key=kept["idempotency_key"],
        recipient_count=kept["recipient_count"],
        created_at=kept["created_at"],
        updated_at=kept["updated_at"],
        expire_at=kept["expire_at"],
    )
