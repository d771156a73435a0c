"""How long to wait before a crashed process is started again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Doubling waits, in seconds; a process that stayed up for `forgiven_after` begins anew."""

    first: float = 0.5
    most: float = 30.0
    forgiven_after: float = 30.0

    def delay(self, crashes: int) -> float:
        """Give the wait after this many crashes in a row (1 or more)."""
        doublings = min(crashes - 1, 32)
        return min(self.first * 2.0**doublings, self.most)

    def crashes_in_a_row(self, before: int, *, up_for: float) -> int:
        """Count one more crash, unless the process had stayed up long enough to forget the ones before."""
        return 1 if up_for >= self.forgiven_after else before + 1
