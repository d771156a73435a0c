"""When a transient failure is tried again: exponential backoff with full jitter, inside the message's lifetime.

Full jitter is what spreads the herd best (AWS Architecture Blog, "Exponential Backoff And Jitter").
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_DOUBLINGS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """`base`, `cap` and `retry_after_cap` are in seconds; `jitter` answers in [0, 1)."""

    base: float
    cap: float
    retry_after_cap: float
    jitter: Callable[[], float]
    last_chance: float = 1.0
    """The last attempt is made at least this long before the message expires."""

    def due(self, *, attempts: int, retry_after: float | None, now: datetime, expire_at: datetime) -> datetime | None:
        """When to try again after so many attempts; None where that would be too late.

        The provider's Retry-After is waited out first (as far as the cap), and jitter added to it, so that all who
        were told the same do not come back at once.
        """
        wait = min(max(retry_after or 0.0, 0.0), self.retry_after_cap)
        window = min(self.cap, self.base * 2.0 ** min(max(attempts - 1, 0), _MAX_DOUBLINGS))
        earliest = now + timedelta(seconds=wait)
        latest = expire_at - timedelta(seconds=self.last_chance)
        if earliest >= latest:
            return None
        due = min(earliest + timedelta(seconds=window * self.jitter()), latest)
        return due.replace(microsecond=due.microsecond // 1000 * 1000)
