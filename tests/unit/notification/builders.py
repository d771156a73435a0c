"""Requests and drafts to test with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

from clarion.notification.v1 import DeliveryOptions, Recipient, SendNotificationRequest
from clarion.type.v1 import Content, PushContent

from services.notification.domain import Caller, Draft, Totals, random_id
from services.notification.drafting import draft

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RETENTION = timedelta(days=30)
_numbers = count()


def ids(created_at: datetime) -> str:
    """Ids that differ, and sort by time."""
    return random_id(created_at, next(_numbers).to_bytes(14, "big"))


def caller(tenant: str = "acme", trace: Mapping[str, str] | None = None) -> Caller:
    return Caller(tenant=tenant, trace=trace or {})


def send_request(*users: str, title: str = "Hello", key: str = "", **options: Any) -> SendNotificationRequest:
    """A push notification to some users."""
    return SendNotificationRequest(
        recipients=[Recipient(user_id=user) for user in users or ("ada",)],
        content=Content(push=PushContent(title=title)),
        options=DeliveryOptions(**options),
        idempotency_key=key,
    )


def made(
    request: SendNotificationRequest | None = None,
    *,
    tenant: str = "acme",
    now: datetime = NOW,
    trace: Mapping[str, str] | None = None,
) -> Draft:
    """A draft of the request."""
    return draft(request or send_request(), caller=caller(tenant, trace), now=now, ids=ids, retention=RETENTION)


def in_chunks(number: int, *, tenant: str = "acme") -> Draft:
    """A draft that travels in this many chunks."""
    return made(send_request(*(f"user-{index}" for index in range((number - 1) * 500 + 1))), tenant=tenant)


def totals(**counts: int) -> Totals:
    return Totals(**counts)
