"""Provider tokens of APNs: who signed them, how old they are, and how often they change.

developer.apple.com, "Establishing a token-based connection to APNs": ES256 with `kid` in the header, `iss` and
`iat` as claims; a token is good for an hour and may be renewed every 20 minutes at most.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jwt

if TYPE_CHECKING:
    from services.simulators.credentials import ApnsTeam
    from services.simulators.ledger import Clock

MAX_AGE_SECONDS = 3600
_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class _Verified:
    team_id: str
    issued_at: float


@dataclass(slots=True)
class _Current:
    token: str
    since: float


class ProviderTokens:
    """Verifies the tokens of registered teams; each signature is checked once and then remembered."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._teams: dict[str, ApnsTeam] = {}
        self._verified: OrderedDict[str, _Verified] = OrderedDict()
        self._current: dict[str, _Current] = {}

    def register(self, team: ApnsTeam) -> None:
        """Know a team; a second registration replaces the first, its keys included."""
        self._teams[team.team_id] = team
        self._verified.clear()
        self._current.pop(team.team_id, None)

    def forget_updates(self) -> None:
        """Take the next token of every team as its first."""
        self._current.clear()

    def allows(self, team_id: str, topic: str) -> bool:
        """Whether the team may push to this topic."""
        topics = self._teams[team_id].topics
        return not topics or topic in topics

    def authenticate(self, authorization: str | None, owner: str | None) -> tuple[str, str | None]:
        """The team that an authorization header proves, and no reason; or the reason against it.

        `owner` is the team that the connection belongs to: a second one is refused there.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return "", "MissingProviderToken"
        verified = self._verified.get(token) or self._verify(token)
        if verified is None or (owner is not None and owner != verified.team_id):
            return "", "InvalidProviderToken"
        now = self._clock()
        if now - verified.issued_at > MAX_AGE_SECONDS:
            return "", "ExpiredProviderToken"
        if self._changes_too_often(token, verified.team_id, now):
            return "", "TooManyProviderTokenUpdates"
        return verified.team_id, None

    def _verify(self, token: str) -> _Verified | None:
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(token, options={"verify_signature": False})
            team = self._teams.get(str(claims.get("iss")))
            key = team.keys.get(str(header.get("kid"))) if team is not None else None
            if team is None or key is None:
                return None
            # Age is ours to judge, by the injected clock.
            jwt.decode(token, key, algorithms=["ES256"], options={"verify_iat": False, "verify_exp": False})
        except jwt.PyJWTError:
            return None
        issued = claims.get("iat")
        if not isinstance(issued, int | float) or isinstance(issued, bool):
            return None
        verified = self._verified[token] = _Verified(team.team_id, float(issued))
        if len(self._verified) > _REMEMBERED:
            self._verified.popitem(last=False)
        return verified

    def _changes_too_often(self, token: str, team_id: str, now: float) -> bool:
        current = self._current.get(team_id)
        if current is not None and current.token == token:
            return False
        if current is not None and now - current.since < self._teams[team_id].token_update_seconds:
            return True
        self._current[team_id] = _Current(token, now)
        return False
