"""What a notification is, from its acceptance to its end. Pure: no clock, no driver."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from clarion.notification.v1 import DeliveryOptions, NotificationState, SendNotificationRequest
from clarion.type.v1 import DeliveryState

from services.runtime.errors import AlreadyExists, ClarionError

ACCEPTED: Final = NotificationState.NOTIFICATION_STATE_ACCEPTED
PROCESSING: Final = NotificationState.NOTIFICATION_STATE_PROCESSING
COMPLETED: Final = NotificationState.NOTIFICATION_STATE_COMPLETED
PARTIAL: Final = NotificationState.NOTIFICATION_STATE_PARTIAL
FAILED: Final = NotificationState.NOTIFICATION_STATE_FAILED
CANCELLED: Final = NotificationState.NOTIFICATION_STATE_CANCELLED
EXPIRED: Final = NotificationState.NOTIFICATION_STATE_EXPIRED
SUPPRESSED: Final = NotificationState.NOTIFICATION_STATE_SUPPRESSED
UNKNOWN: Final = NotificationState.NOTIFICATION_STATE_UNSPECIFIED
OPEN_STATES: Final = frozenset({ACCEPTED, PROCESSING})

MAX_BATCH: Final = 1000
MAX_REPORTS: Final = 1000
DEFAULT_TTL: Final = timedelta(hours=24)
ID_BYTES: Final = 20
"""160 bits: as base32 32 characters, without padding."""

Ids = Callable[[datetime], str]
"""Answers a new notification id for something created at this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """For whom a call is made, and the trace context that it came with."""

    tenant: str
    trace: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A notification that is valid and complete, and not yet accepted."""

    notification_id: str
    tenant: str
    idempotency_key: str
    request: SendNotificationRequest
    """Canonical: see `drafting.canonical`."""
    spec: bytes
    """The same, serialized deterministically."""
    content_hash: bytes
    chunks: Sequence[range]
    created_at: datetime
    expire_at: datetime
    purge_at: datetime
    trace: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """What is kept under an id that was taken before."""

    content_hash: bytes
    created_at: datetime
    expire_at: datetime
    untouched: bool
    """No worker has begun it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The answer to a notification that is stored."""

    notification_id: str
    created_at: datetime
    duplicate: bool


Outcome = Accepted | ClarionError
"""What became of one draft."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Deliveries by where they stand, plus recipients that had none."""

    queued: int = 0
    sent: int = 0
    retrying: int = 0
    failed: int = 0
    suppressed: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A notification as it is kept."""

    notification_id: str
    tenant: str
    state: NotificationState.ValueType
    reason: str
    revision: int
    """Grows with each change."""
    totals: Totals
    options: DeliveryOptions
    request: SendNotificationRequest | None
    """Recipients and content, where they were asked for."""
    idempotency_key: str
    recipient_count: int
    created_at: datetime
    updated_at: datetime
    expire_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which of a tenant's notifications; None and empty mean all."""

    states: frozenset[NotificationState.ValueType] = frozenset()
    category: str = ""
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A place in the list of notifications, newest first."""

    created_at: datetime
    notification_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A worker begins a chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processed:
    """A worker is through with a chunk."""

    totals: Totals
    """Of the chunk; `retrying` is read from the ids."""
    retrying: Sequence[str]
    """Ids of deliveries that are tried again."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Deliveries that were tried again came to an end: delivery id → where it counts in Totals."""

    endings: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a worker says of one chunk."""

    tenant: str
    notification_id: str
    chunk: int
    phase: Started | Processed | Settled


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a reported notification and its chunk stand now."""

    state: NotificationState.ValueType
    chunk_done: bool


COUNTED_AS: Final[Mapping[int, str]] = {
    DeliveryState.DELIVERY_STATE_SENT: "sent",
    DeliveryState.DELIVERY_STATE_DELIVERED: "sent",
    DeliveryState.DELIVERY_STATE_OPENED: "sent",
    DeliveryState.DELIVERY_STATE_FAILED: "failed",
    DeliveryState.DELIVERY_STATE_DEAD: "failed",
    DeliveryState.DELIVERY_STATE_SUPPRESSED: "suppressed",
}
"""How a delivery that is no longer RETRYING counts in Totals."""


def final_state(totals: Totals) -> NotificationState.ValueType:
    """Where a notification ends whose chunks are all processed and of which nothing is tried again."""
    unsent = totals.queued + totals.failed + totals.suppressed + totals.expired
    if totals.sent:
        return PARTIAL if unsent else COMPLETED
    if totals.failed or totals.queued:
        return FAILED
    return EXPIRED if totals.expired else SUPPRESSED


def outcome(draft: Draft, found: First | ClarionError | None) -> Outcome:
    """Read what the primary key said: nothing was there (None), the same, or something else under the same key."""
    if isinstance(found, ClarionError):
        return found
    if found is None:
        return Accepted(notification_id=draft.notification_id, created_at=draft.created_at, duplicate=False)
    if found.content_hash == draft.content_hash:
        return Accepted(notification_id=draft.notification_id, created_at=found.created_at, duplicate=True)
    return AlreadyExists(
        "the idempotency key came before with other content; use a new key for a new notification",
        reason="IDEMPOTENCY_KEY_REUSED",
    )


def keyed_id(tenant: str, idempotency_key: str) -> str:
    """The id that a tenant's idempotency key stands for, always the same."""
    digest = hashlib.sha256(f"{len(tenant)}:{tenant}{idempotency_key}".encode()).digest()
    return _encoded(digest[:ID_BYTES])


def random_id(created_at: datetime, entropy: bytes) -> str:
    """An id that sorts by time: 48 bits of milliseconds, then 14 random bytes."""
    milliseconds = int(created_at.timestamp() * 1000)
    return _encoded(milliseconds.to_bytes(6, "big") + entropy)


def _encoded(raw: bytes) -> str:
    # The alphabet of base32hex keeps the order of the bytes (RFC 4648 section 7).
    return base64.b32hexencode(raw).decode().lower()
