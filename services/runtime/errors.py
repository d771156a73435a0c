"""The one taxonomy of errors. `status.py` maps it to gRPC; workers read `retryable` and `retry_after`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that is wrong: its path as the caller wrote it (`recipients[3].user_id`), and what to do."""

    field: str
    description: str


class ClarionError(Exception):
    """Something went wrong that the caller can understand.

    `reason` is constant and in UPPER_SNAKE_CASE, for programs; the message is for people and holds no personal data.
    """

    default_reason: ClassVar[str] = "ERROR"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "", *, reason: str = "", retry_after: float | None = None) -> None:
        """`retry_after` is in seconds."""
        super().__init__(message or (self.__doc__ or "").partition("\n")[0])
        self.reason = reason or self.default_reason
        self.retry_after = retry_after


class InvalidInput(ClarionError):
    """The request is not valid."""

    default_reason = "INVALID_INPUT"

    def __init__(self, violations: Sequence[Violation]) -> None:
        """Name every offending field at once."""
        super().__init__("; ".join(f"{each.field}: {each.description}" for each in violations[:10]))
        self.violations = tuple(violations)


class NotFound(ClarionError):
    """There is no such thing."""

    default_reason = "NOT_FOUND"


class AlreadyExists(ClarionError):
    """This exists already."""

    default_reason = "ALREADY_EXISTS"


class PreconditionFailed(ClarionError):
    """The state of things does not allow this."""

    default_reason = "PRECONDITION_FAILED"


class Denied(ClarionError):
    """The caller may not do this."""

    default_reason = "DENIED"


class Unauthenticated(ClarionError):
    """The call carries no valid access token."""

    default_reason = "UNAUTHENTICATED"


class Unimplemented(ClarionError):
    """This part of the contract is not served yet."""

    default_reason = "UNIMPLEMENTED"


class Conflict(ClarionError):
    """Someone else changed this at the same time."""

    default_reason = "CONFLICT"
    retryable = True


class RateLimited(ClarionError):
    """Too much at once."""

    default_reason = "RATE_LIMITED"
    retryable = True

    def __init__(self, message: str = "", *, reason: str = "", retry_after: float = 1.0) -> None:
        """`retry_after` is in seconds."""
        super().__init__(message, reason=reason, retry_after=retry_after)


class LimitReached(ClarionError):
    """There are as many of these as there may be; something has to go first."""

    default_reason = "LIMIT_REACHED"


class Unavailable(ClarionError):
    """A part that this needs cannot be reached."""

    default_reason = "UNAVAILABLE"
    retryable = True

    def __init__(self, message: str = "", *, reason: str = "", retry_after: float = 1.0) -> None:
        """`retry_after` is in seconds."""
        super().__init__(message, reason=reason, retry_after=retry_after)


class DeadlineExceeded(ClarionError):
    """The caller's time was over before this was done."""

    default_reason = "DEADLINE_EXCEEDED"
    retryable = True


class PeerFailed(ClarionError):
    """Another part failed and does not say why."""

    default_reason = "PEER_FAILED"


class StartupError(ClarionError):
    """The process cannot start; the message says why and what to do, in one line."""

    default_reason = "STARTUP"
