"""How the providers did lately, as this process saw it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from services.delivery.domain import Verdict
from services.delivery.message import ProviderName

if TYPE_CHECKING:
    from datetime import datetime

    from services.runtime.clock import Clock

WINDOW_MINUTES: Final = 5
MAX_WINDOWS: Final = 10_000
_SUCCEEDED, _PERMANENTLY, _TRANSIENTLY = range(3)
_COUNTED_AS: Final = {
    Verdict.ACCEPTED: _SUCCEEDED,
    Verdict.GONE: _PERMANENTLY,
    Verdict.REJECTED: _PERMANENTLY,
    Verdict.UNCONFIRMED: _TRANSIENTLY,
    Verdict.TRANSIENT: _TRANSIENTLY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderHealth:
    """Calls of the last WINDOW_MINUTES by what they came to."""

    provider: ProviderName
    succeeded: int
    failed_permanently: int
    failed_transiently: int
    last_success_at: datetime | None


class _Window:
    __slots__ = ("last_success_at", "minutes")

    def __init__(self) -> None:
        self.minutes: dict[int, list[int]] = {}
        self.last_success_at: datetime | None = None


class HealthWindows:
    """Counts outcomes by minute for each tenant and provider; the tenants longest silent are forgotten first."""

    def __init__(self, clock: Clock) -> None:
        """Nothing is known yet."""
        self._clock = clock
        self._windows: OrderedDict[tuple[str, ProviderName], _Window] = OrderedDict()

    def note(self, tenant: str, provider: ProviderName, verdict: Verdict) -> None:
        """Count one call; one that was not made does not count."""
        kind = _COUNTED_AS.get(verdict)
        if kind is None:
            return
        now = self._clock()
        window = self._windows.setdefault((tenant, provider), _Window())
        self._windows.move_to_end((tenant, provider))
        if len(self._windows) > MAX_WINDOWS:
            self._windows.popitem(last=False)
        minute = _minute(now)
        if minute not in window.minutes:
            window.minutes = {each: counts for each, counts in window.minutes.items() if each > minute - WINDOW_MINUTES}
        window.minutes.setdefault(minute, [0, 0, 0])[kind] += 1
        if kind == _SUCCEEDED:
            window.last_success_at = now

    def of(self, tenant: str) -> list[ProviderHealth]:
        """Every provider's, those that were not called included."""
        earliest = _minute(self._clock() - timedelta(minutes=WINDOW_MINUTES))
        return [self._health(tenant, provider, earliest) for provider in ProviderName]

    def _health(self, tenant: str, provider: ProviderName, earliest: int) -> ProviderHealth:
        window = self._windows.get((tenant, provider)) or _Window()
        recent = [counts for minute, counts in window.minutes.items() if minute > earliest]
        succeeded, permanently, transiently = (sum(counts[kind] for counts in recent) for kind in range(3))
        return ProviderHealth(
            provider=provider,
            succeeded=succeeded,
            failed_permanently=permanently,
            failed_transiently=transiently,
            last_success_at=window.last_success_at,
        )


def _minute(moment: datetime) -> int:
    return int(moment.timestamp()) // 60
