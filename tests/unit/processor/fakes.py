"""The processor's peers in memory, and jobs to try things with."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from services.processor.domain import (
    Address,
    Channel,
    Chunk,
    End,
    Job,
    Lane,
    Message,
    Outcome,
    Recipient,
    Report,
    Routing,
    Standing,
    User,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
Key = tuple[str, str, int]


@dataclass
class ManualClock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def device(token: str, app: str = "shop") -> Address:
    return Address(channel=Channel.PUSH, value=token, platform=1, app=app)


def phone(number: str) -> Address:
    return Address(channel=Channel.SMS, value=number)


def mailbox(address: str) -> Address:
    return Address(channel=Channel.EMAIL, value=address)


def chunk(
    notification_id: str = "n1",
    *,
    number: int = 0,
    lane: Lane = Lane.NORMAL,
    channels: Sequence[Channel] = tuple(Channel),
    contents: Mapping[Channel, bytes] | None = None,
    routing: Routing = Routing.FIRST,
    expire_time: datetime = NOW + timedelta(hours=1),
) -> Chunk:
    return Chunk(
        tenant="acme",
        notification_id=notification_id,
        number=number,
        lane=lane,
        contents=dict.fromkeys(Channel, b"") if contents is None else contents,
        channels=tuple(channels),
        routing=routing,
        priority=2,
        category="orders",
        collapse_key="",
        template_id="",
        accept_time=NOW,
        expire_time=expire_time,
    )


def job(of: Chunk, *recipients: Recipient | str) -> Job:
    """Give a job; a string stands for a user."""
    return Job(
        chunk=of,
        recipients=tuple(Recipient(user_id=each) if isinstance(each, str) else each for each in recipients),
    )


@dataclass
class Recorder:
    """The stage after the one under test."""

    batches: list[list[Job]] = field(default_factory=list)

    async def __call__(self, jobs: Sequence[Job]) -> None:
        self.batches.append(list(jobs))

    @property
    def jobs(self) -> list[Job]:
        return [each for batch in self.batches for each in batch]


@dataclass
class FakeProgress:
    """Keeps the first report of each chunk; every notification is open unless it is said to be otherwise."""

    standings: dict[str, Standing] = field(default_factory=dict)
    begun: list[Key] = field(default_factory=list)
    reports: dict[Key, Report] = field(default_factory=dict)
    failures: list[Exception] = field(default_factory=list)
    """Raised by the next calls of `processed`, one each."""

    async def started(self, chunks: Sequence[Chunk]) -> Sequence[Standing]:
        self.begun += [each.key for each in chunks]
        return [
            Standing.DONE if each.key in self.reports else self.standings.get(each.notification_id, Standing.OPEN)
            for each in chunks
        ]

    async def processed(self, reports: Sequence[Report]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        for report in reports:
            self.reports.setdefault(report.chunk.key, report)

    def counts(self, notification_id: str = "n1", number: int = 0) -> dict[str, int]:
        report = self.reports["acme", notification_id, number]
        return {str(outcome): count for outcome, count in report.counts.items() if count}


@dataclass
class FakeDirectory:
    """Knows the users whom it is given, of the tenant `acme`."""

    known: dict[str, tuple[Address, ...]] = field(default_factory=dict)
    asked: list[list[User]] = field(default_factory=list)

    async def resolve(self, users: Sequence[User]) -> Sequence[tuple[Address, ...] | None]:
        self.asked.append(list(users))
        return [self.known.get(user.user_id) if user.tenant == "acme" else None for user in users]


@dataclass
class FakeDeliveries:
    """Sends everything, except where an answer is laid down for an address; never sends the same thing twice."""

    answers: dict[str, tuple[Outcome, str]] = field(default_factory=dict)
    """Address → outcome and reason."""
    calls: list[list[Message]] = field(default_factory=list)
    handed_over: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """How often the provider was asked, by notification, user and address."""
    failures: list[Exception] = field(default_factory=list)
    """Raised by the next calls, one each, after the messages were sent."""
    _known: dict[tuple[str, str, str], End] = field(default_factory=dict)

    async def deliver(self, messages: Sequence[Message]) -> Sequence[End]:
        self.calls.append(list(messages))
        ends = [self._one(message) for message in messages]
        if self.failures:
            raise self.failures.pop(0)
        return ends

    def _one(self, message: Message) -> End:
        key = (message.chunk.notification_id, message.user_id, message.address.value)
        if key not in self._known:
            outcome, reason = self.answers.get(message.address.value, (Outcome.SENT, ""))
            end = End(outcome=outcome, reason=reason, delivery_id="/".join(key))
            if outcome is Outcome.QUEUED:
                return end
            self.handed_over[key] += 1
            self._known[key] = end
        return self._known[key]

    @property
    def addressed(self) -> list[list[str]]:
        return [[message.address.value for message in call] for call in self.calls]
