"""Wrong secrets are counted, so that guessing is slow."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from services.runtime.errors import RateLimited

if TYPE_CHECKING:
    from collections.abc import Callable

BURST = 10
"""Wrong secrets that a client id may have in a row."""
REFILL_SECONDS = 6.0
"""After those, one every so many seconds."""
MAX_CLIENTS = 10_000


class Attempts:
    """A token bucket of wrong secrets for each client id, known or not, in this process."""

    def __init__(self, *, now: Callable[[], float]) -> None:
        """`now` answers seconds that only go forward."""
        self._now = now
        # When the bucket will be full again; an id that is not here has a full one.
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def check(self, client_id: str) -> None:
        """Raise RateLimited if the client id has had too many wrong secrets."""
        missing = self._full_at.get(client_id, 0.0) - self._now()
        wait = missing - (BURST - 1) * REFILL_SECONDS
        if wait > 0:
            raise RateLimited("too many wrong secrets for this client", reason="TOO_MANY_ATTEMPTS", retry_after=wait)

    def failed(self, client_id: str) -> None:
        """Note a wrong secret."""
        now = self._now()
        self._full_at[client_id] = max(self._full_at.pop(client_id, now), now) + REFILL_SECONDS
        if len(self._full_at) > MAX_CLIENTS:
            self._full_at.popitem(last=False)

    def succeeded(self, client_id: str) -> None:
        """Forget the client id's wrong secrets."""
        self._full_at.pop(client_id, None)
