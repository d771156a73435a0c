"""What a worker has in hand: chunks of notifications, who is to be told, and how that ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum, StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

USER_UNKNOWN: Final = "USER_UNKNOWN"
NO_ADDRESS: Final = "NO_ADDRESS"
NO_CONTENT: Final = "NO_CONTENT"
EXPIRED: Final = "EXPIRED"


class Lane(StrEnum):
    """The way that a notification comes, by its priority."""

    CRITICAL = "critical"
    NORMAL = "normal"
    BULK = "bulk"


class Channel(IntEnum):
    """A way to reach a person, in the order that is used where none is asked for. The numbers are the contract's."""

    PUSH = 1
    SMS = 2
    EMAIL = 3


class Routing(Enum):
    """Which of the allowed channels are used."""

    FIRST = 1
    ALL = 2


class Outcome(StrEnum):
    """Where one delivery stands, or a recipient who had none."""

    QUEUED = "queued"
    """Another worker is at it, so what becomes of it is not known yet."""
    SENT = "sent"
    RETRYING = "retrying"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"


UNREACHED: Final = frozenset({Outcome.FAILED, Outcome.SUPPRESSED})
"""These did not reach the person, and never will."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One device, phone or mailbox. `platform` (the contract's number) and `app` belong to a device."""

    channel: Channel
    value: str = field(repr=False)
    platform: int = 0
    app: str = ""


Wave = tuple[Address, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Someone to be told: a user, or (with an empty `user_id`) whoever has the one address.

    `addresses` is all that is known of them; `waves` is how they are tried: one wave at once, the next one only if
    nothing in the one before reached them.
    """

    user_id: str = ""
    addresses: tuple[Address, ...] = ()
    waves: tuple[Wave, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some recipients of one notification, with all that they share. `contents` are serialized, one a channel."""

    tenant: str
    notification_id: str
    number: int
    lane: Lane
    contents: Mapping[Channel, bytes] = field(repr=False)
    channels: tuple[Channel, ...]
    routing: Routing
    priority: int
    category: str
    collapse_key: str
    template_id: str
    accept_time: datetime
    expire_time: datetime

    @property
    def key(self) -> tuple[str, str, int]:
        """What tells it from every other chunk."""
        return self.tenant, self.notification_id, self.number

    def waves(self, addresses: Sequence[Address]) -> tuple[Wave, ...]:
        """Order addresses by the allowed channels that have content: one wave a channel, or with ALL one for all."""
        by_channel = [
            tuple(address for address in addresses if address.channel is channel)
            for channel in self.channels
            if channel in self.contents
        ]
        if self.routing is Routing.ALL:
            by_channel = [tuple(address for wave in by_channel for address in wave)]
        return tuple(wave for wave in by_channel if wave)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How one delivery ended, or a recipient without any."""

    outcome: Outcome
    reason: str = ""
    delivery_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A chunk on its way: the recipients who are still to be told, and how it ended for the others."""

    chunk: Chunk
    recipients: tuple[Recipient, ...]
    ends: tuple[End, ...] = ()

    def going_on(self, recipients: Sequence[Recipient], ends: Sequence[End] = ()) -> Job:
        """Give this job with these recipients left, and these ends added."""
        return replace(self, recipients=tuple(recipients), ends=(*self.ends, *ends))

    def expired(self, now: datetime) -> bool:
        """Say whether its time is over."""
        return now >= self.chunk.expire_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of a chunk. The reason is there only where nothing was sent or will be: the most frequent one."""

    chunk: Chunk
    counts: Mapping[Outcome, int]
    retrying: tuple[str, ...]
    reason: str

    @classmethod
    def of(cls, job: Job) -> Report:
        """Sum up a job that is done."""
        counts = Counter(end.outcome for end in job.ends)
        reasons = Counter(end.reason for end in job.ends if end.reason)
        reached = counts[Outcome.SENT] or counts[Outcome.RETRYING]
        return cls(
            chunk=job.chunk,
            counts=counts,
            retrying=tuple(end.delivery_id for end in job.ends if end.outcome is Outcome.RETRYING),
            reason=reasons.most_common(1)[0][0] if reasons and not reached else "",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One delivery to be made."""

    chunk: Chunk
    user_id: str
    address: Address


@dataclass(frozen=True, slots=True)
class User:
    """A tenant's user."""

    tenant: str
    user_id: str


class Standing(StrEnum):
    """Whether a chunk is to be processed."""

    OPEN = "open"
    FINAL = "final"
    """The notification was cancelled, or is otherwise over."""
    DONE = "done"
    """This chunk was processed before."""
    UNKNOWN = "unknown"
    """There is no such notification (any more)."""
