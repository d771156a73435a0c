"""What one of a provider's codes means to us; each provider has a table of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.delivery.domain import Outcome, Verdict

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Meaning:
    """A verdict and our reason. `wait` is how many seconds to leave alone who said nothing of Retry-After."""

    verdict: Verdict
    reason: str
    wait: float | None = None

    def outcome(self, code: str, *, retry_after: float | None = None, gone_at: datetime | None = None) -> Outcome:
        """The outcome of an attempt that was answered so."""
        return Outcome(
            verdict=self.verdict,
            reason=self.reason,
            code=code,
            retry_after=self.wait if retry_after is None else retry_after,
            gone_at=gone_at,
        )


def gone(reason: str = "TOKEN_GONE") -> Meaning:
    """The token is dead."""
    return Meaning(Verdict.GONE, reason)


def rejected(reason: str) -> Meaning:
    """The message's or the address's fault."""
    return Meaning(Verdict.REJECTED, reason)


def transient(reason: str, *, wait: float | None = None) -> Meaning:
    """Ours or theirs: later."""
    return Meaning(Verdict.TRANSIENT, reason, wait)


CREDENTIALS_WAIT_SECONDS = 60.0
"""Wrong credentials are put right by people: there is no hurry, and nothing is lost meanwhile."""
WRONG_CREDENTIALS = transient("PROVIDER_CREDENTIALS", wait=CREDENTIALS_WAIT_SECONDS)
THROTTLED = transient("THROTTLED")
PROVIDER_ERROR = transient("PROVIDER_ERROR")
UNREACHABLE = transient("PROVIDER_UNREACHABLE")
NO_ANSWER = transient("PROVIDER_TIMEOUT")
UNCONFIRMED = Meaning(Verdict.UNCONFIRMED, "UNCONFIRMED")
"""It may have been sent, and a second one would reach the person again."""
