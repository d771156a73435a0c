"""APNs' provider tokens: one JWT for each signing key, shared by all processes.

Apple counts a team's tokens: a process that mints its own earns TooManyProviderTokenUpdates, and a token older than an
hour is refused (developer.apple.com: Establishing a token-based connection to APNs: renew no more often than every 20
minutes and at least every 60). So whoever needs a token first writes it to Redis if there is none, and everybody uses
what stands there. Without Redis a process goes on with what it has, or with one of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import jwt
import structlog

from services.delivery.metrics import APNS_TOKENS_MINTED
from services.runtime.errors import PreconditionFailed, Unavailable
from services.runtime.redis import translated

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis

    from services.delivery.credentials import ApnsCredentials
    from services.runtime.sealing import Sealer

log = structlog.get_logger()
RENEW_SECONDS: Final = 45 * 60
LEAST_AGE_SECONDS: Final = 20 * 60
CHECK_SECONDS: Final = 30.0
"""How often a process looks whether its token still is the shared one."""
CACHED: Final = 1_000


@dataclass(frozen=True, slots=True)
class ProviderToken:
    """A signed token, and when, in seconds since the epoch."""

    value: str
    issued_at: float


class SharedTokens:
    """The tokens that all processes agree on, sealed in Redis."""

    def __init__(self, redis: Redis, sealer: Sealer) -> None:
        """Nothing is contacted before it is needed."""
        self._redis, self._sealer = redis, sealer

    async def agree(self, name: str, offered: ProviderToken, seconds: float) -> ProviderToken:
        """The token of this name: the one that stands there, else the offered one, which then stands for `seconds`.

        Raises Unavailable.
        """
        key = _key(name)
        sealed = self._sealer.seal(json.dumps([offered.value, offered.issued_at]).encode(), key.encode())
        with translated():
            standing = await self._redis.get(key)
            if standing is None:
                if await self._redis.set(key, sealed, nx=True, ex=max(1, int(seconds))):
                    return offered
                standing = await self._redis.get(key)
        try:
            value, issued_at = json.loads(
                self._sealer.open(standing if isinstance(standing, bytes) else b"", key.encode())
            )
            return ProviderToken(value, issued_at)
        except PreconditionFailed:
            log.warning("apns_token_unreadable")
            with translated():
                await self._redis.set(key, sealed, ex=max(1, int(seconds)))
            return offered

    async def forget(self, name: str) -> None:
        """Let the next offer stand.

        Raises Unavailable.
        """
        with translated():
            await self._redis.delete(_key(name))


@dataclass(frozen=True, slots=True)
class _Entry:
    token: ProviderToken
    check_at: float


class ApnsTokens:
    """Gives the shared token of a signing key; however many ask, it is settled once at a time."""

    def __init__(self, shared: SharedTokens, *, now: Callable[[], float]) -> None:
        """`now` is in seconds since the epoch."""
        self._shared, self._now = shared, now
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._settling: dict[str, asyncio.Task[ProviderToken]] = {}

    async def get(self, credentials: ApnsCredentials) -> str:
        """A token that APNs takes, between 0 and 45 minutes old."""
        name = signing_key_name(credentials)
        entry = self._entries.get(name)
        if entry is not None and self._now() < entry.check_at and self._age(entry.token) < RENEW_SECONDS:
            return entry.token.value
        settling = self._settling.get(name)
        if settling is None:
            settling = asyncio.create_task(self._settle(name, credentials))
            self._settling[name] = settling
            settling.add_done_callback(lambda _: self._settling.pop(name, None))
        return (await asyncio.shield(settling)).value

    async def instead_of(self, token: str, credentials: ApnsCredentials) -> str:
        """The token to use where APNs did not take this one; the same where there is no better."""
        name = signing_key_name(credentials)
        entry = self._entries.get(name)
        if entry is not None and entry.token.value == token:
            del self._entries[name]
            if self._age(entry.token) > LEAST_AGE_SECONDS:
                try:
                    await self._shared.forget(name)
                except Unavailable:
                    log.warning("apns_tokens_not_shared")
            else:
                # Too young to be replaced by us; but another process may have put the right one into Redis.
                self._entries[name] = _Entry(entry.token, check_at=0.0)
        return await self.get(credentials)

    def _age(self, token: ProviderToken) -> float:
        return self._now() - token.issued_at

    async def _settle(self, name: str, credentials: ApnsCredentials) -> ProviderToken:
        entry = self._entries.get(name)
        if entry is not None and self._age(entry.token) < RENEW_SECONDS:
            offered = entry.token
        else:
            offered = self._mint(credentials)
        try:
            token = await self._shared.agree(name, offered, RENEW_SECONDS - self._age(offered))
            if self._age(token) >= RENEW_SECONDS:
                await self._shared.forget(name)
                token = await self._shared.agree(name, offered, RENEW_SECONDS - self._age(offered))
        except Unavailable:
            log.warning("apns_tokens_not_shared")
            token = offered
        if token is offered and (entry is None or token is not entry.token):
            APNS_TOKENS_MINTED.inc()
        self._entries[name] = _Entry(token, check_at=self._now() + CHECK_SECONDS)
        if len(self._entries) > CACHED:
            self._entries.popitem(last=False)
        return token

    def _mint(self, credentials: ApnsCredentials) -> ProviderToken:
        issued_at = int(self._now())
        value = jwt.encode(
            {"iss": credentials.team_id, "iat": issued_at},
            credentials.signing_key_pem,
            algorithm="ES256",
            headers={"kid": credentials.key_id},
        )
        return ProviderToken(value, issued_at)


def signing_key_name(credentials: ApnsCredentials) -> str:
    """Who holds the same key shares its token; knowing a team's id is not enough."""
    parts = (credentials.team_id, credentials.key_id, credentials.signing_key_pem.strip())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _key(name: str) -> str:
    return f"delivery:apns-token:{name}"
