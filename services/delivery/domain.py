"""What is known of a delivery, and what becomes of it after a provider's answer. Pure rules.

A delivery's record holds no address and no content: whoever asks again brings the item, and notification, chunk and
user say where to find it. So there is nothing personal to protect, expire or leak here but the user's id.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from services.delivery.message import Channel, Message, ProviderName
    from services.delivery.policy import RetryPolicy

MAX_ATTEMPTS_KEPT: Final = 20
"""A record keeps its latest attempts; `attempt_count` counts all."""


class State(StrEnum):
    """Where a delivery stands."""

    QUEUED = "QUEUED"
    SENT = "SENT"
    DELIVERED = "DELIVERED"
    OPENED = "OPENED"
    RETRYING = "RETRYING"
    FAILED = "FAILED"
    DEAD = "DEAD"
    SUPPRESSED = "SUPPRESSED"


OPEN: Final = frozenset({State.QUEUED, State.RETRYING})
"""States that a provider call may still follow; every other one stands for ever."""


class Verdict(StrEnum):
    """What a provider's answer means."""

    ACCEPTED = "accepted"
    GONE = "gone"
    """The token is dead: fail, and drop it if it was registered before `gone_at`."""
    REJECTED = "rejected"
    """The message's or the address's fault: fail, never retry."""
    UNCONFIRMED = "unconfirmed"
    """It may have been sent, and sending it again could reach the person twice: fail."""
    TRANSIENT = "transient"
    """Ours or theirs: try again later."""
    DEFERRED = "deferred"
    """No call was made for want of time or room: try again later, without counting an attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A verdict with its reason (ours, constant), the provider's own code and its id of the message."""

    verdict: Verdict
    reason: str = ""
    code: str = ""
    provider_message_id: str = ""
    retry_after: float | None = None
    """Seconds before which a further attempt is pointless."""
    gone_at: datetime | None = None
    """When the provider learnt that the token was gone, where it says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call to a provider."""

    time: datetime
    code: str
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What is known of one message to one address."""

    delivery_id: str
    tenant: str
    notification_id: str
    chunk: int
    user_id: str
    channel: Channel | None
    provider: ProviderName | None
    state: State
    reason: str = ""
    provider_message_id: str = ""
    attempts: tuple[Attempt, ...] = ()
    attempt_count: int = 0
    due_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
    purge_at: datetime

    @property
    def settled(self) -> bool:
        """Whether no provider call may follow."""
        return self.state not in OPEN

    def waits(self, now: datetime) -> bool:
        """Whether its next attempt is not due yet."""
        return self.due_at is not None and now < self.due_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the caller is told of one item."""

    delivery_id: str
    state: State
    reason: str = ""
    due_at: datetime | None = None

    @classmethod
    def of(cls, delivery: Delivery) -> Result:
        """What a record says."""
        return cls(
            delivery_id=delivery.delivery_id, state=delivery.state, reason=delivery.reason, due_at=delivery.due_at
        )


EXPIRED: Final = "EXPIRED"
IN_PROGRESS: Final = "IN_PROGRESS"
NO_PROVIDER_ACCOUNT: Final = "NO_PROVIDER_ACCOUNT"
_SETTLED_BY: Final = {
    Verdict.ACCEPTED: State.SENT,
    Verdict.GONE: State.FAILED,
    Verdict.REJECTED: State.FAILED,
    Verdict.UNCONFIRMED: State.FAILED,
}


def begun(message: Message, now: datetime, retention: timedelta) -> Delivery:
    """The record of a message that nothing is known of."""
    return Delivery(
        delivery_id=message.delivery_id,
        tenant=message.tenant,
        notification_id=message.notification_id,
        chunk=message.chunk,
        user_id=message.user_id,
        channel=message.channel,
        provider=message.provider,
        state=State.QUEUED,
        created_at=now,
        updated_at=now,
        # Never forgotten while it could still be sent: the record is what keeps a repeated item from a second call.
        purge_at=max(now, message.expire_at) + retention,
    )


def expired(delivery: Delivery, now: datetime) -> Delivery:
    """Its time is over: suppressed if it was never tried, else failed."""
    state = State.FAILED if delivery.attempt_count else State.SUPPRESSED
    return replace(delivery, state=state, reason=EXPIRED, due_at=None, updated_at=now)


def refused(delivery: Delivery, reason: str, now: datetime) -> Delivery:
    """No provider can be asked to take it."""
    return replace(delivery, state=State.FAILED, reason=reason, due_at=None, updated_at=now)


def concluded(
    delivery: Delivery, outcome: Outcome, *, now: datetime, expire_at: datetime, policy: RetryPolicy
) -> Delivery:
    """What becomes of it after one provider call, or after none where that was deferred."""
    tried = outcome.verdict is not Verdict.DEFERRED
    count = delivery.attempt_count + tried
    due_at: datetime | None = None
    reason, state = outcome.reason, _SETTLED_BY.get(outcome.verdict, State.RETRYING)
    if state is State.RETRYING:
        due_at = policy.due(attempts=count, retry_after=outcome.retry_after, now=now, expire_at=expire_at)
        if due_at is None:
            reason = EXPIRED
            state = State.FAILED if count else State.SUPPRESSED
    attempts = delivery.attempts
    if tried:
        attempts = (*attempts, Attempt(time=now, code=outcome.code, state=state))[-MAX_ATTEMPTS_KEPT:]
    return replace(
        delivery,
        state=state,
        reason=reason,
        provider_message_id=outcome.provider_message_id or delivery.provider_message_id,
        attempts=attempts,
        attempt_count=count,
        due_at=due_at,
        updated_at=now,
    )
