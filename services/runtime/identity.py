"""Who calls: access tokens are verified here, and each method asks for a role."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
import jwt
import structlog

from services.runtime.errors import Denied, Unauthenticated, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.runtime.settings import VerifierSettings

log = structlog.get_logger()
_principal: ContextVar[Principal] = ContextVar("principal")
FETCH_SECONDS = 3.0
KEYS_LIVE_SECONDS = 300.0
REFETCH_SECONDS = 2.0
"""An unknown key id leads to a fetch, but not more often than this."""
CACHED_TOKENS = 4096
MAX_TOKEN_CHARS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The verified caller."""

    subject: str
    tenant: str
    roles: frozenset[str]


def current() -> Principal:
    """The caller of the method being served.

    Raises Unauthenticated outside of one.
    """
    try:
        return _principal.get()
    except LookupError:
        raise Unauthenticated from None


def tenant() -> str:
    """The tenant of the caller of the method being served.

    Raises Denied if its token names none.
    """
    named = current().tenant
    if not named:
        raise Denied("the access token names no tenant", reason="TENANT_MISSING")
    return named


def act_as(principal: Principal) -> None:
    """Make this the caller for the rest of the current context."""
    _principal.set(principal)


class Keys(Protocol):
    """Where a verifier finds public keys."""

    async def key(self, key_id: str) -> jwt.PyJWK:
        """The key with this id.

        Raises Unauthenticated if there is none.
        """


class KeySet:
    """The issuer's public keys (RFC 7517), fetched when needed and kept; a failed fetch leaves the old ones in use."""

    def __init__(self, issuer: str, *, now: Callable[[], float] = time.monotonic) -> None:
        """Nothing is fetched before it is needed."""
        self._url = issuer.rstrip("/") + "/.well-known/jwks.json"
        self._now = now
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._answered = False
        self._lock = asyncio.Lock()

    async def key(self, key_id: str) -> jwt.PyJWK:
        """The key with this id.

        Raises Unauthenticated if the issuer has none, Unavailable if it cannot be asked.
        """
        stale = self._now() - self._fetched_at > KEYS_LIVE_SECONDS
        # One caller renews stale keys; the others go on with what there is.
        if key_id not in self._keys or (stale and not self._lock.locked()):
            async with self._lock:
                await self._refresh(key_id)
        if key_id in self._keys:
            return self._keys[key_id]
        if not self._answered:
            raise Unavailable("the issuer's keys cannot be fetched")
        raise Unauthenticated("the access token was signed with an unknown key")

    async def _refresh(self, key_id: str) -> None:
        now = self._now()
        fresh = now - self._fetched_at <= KEYS_LIVE_SECONDS
        # Without any key there is nothing to spare the issuer for.
        tried_just_now = bool(self._keys) and now - self._tried_at < REFETCH_SECONDS
        if (fresh and key_id in self._keys) or tried_just_now:
            return
        self._tried_at, self._answered = now, False
        try:
            timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(self._url) as response:
                response.raise_for_status()
                keys = jwt.PyJWKSet.from_dict(await response.json())
        except (aiohttp.ClientError, TimeoutError, jwt.PyJWTError, ValueError) as exc:
            log.warning("jwks_fetch_failed", error=type(exc).__name__)
            return
        self._keys = {key.key_id: key for key in keys.keys if key.key_id}
        self._fetched_at, self._answered = now, True


class Verifier:
    """Turns access tokens (RFC 9068, ES256) into principals; a token that was verified is remembered until it ends."""

    def __init__(self, settings: VerifierSettings, keys: Keys, *, now: Callable[[], float] = time.time) -> None:
        """`now` answers seconds since the epoch."""
        self._issuer, self._audience = settings.issuer.rstrip("/"), settings.audience
        self._keys, self._now = keys, now
        self._known: OrderedDict[str, tuple[float, Principal]] = OrderedDict()

    async def verify(self, token: str) -> Principal:
        """The principal that a token names.

        Raises Unauthenticated, saying what is wrong with it.
        """
        known = self._known.get(token)
        if known and known[0] > self._now():
            return known[1]
        if not token or len(token) > MAX_TOKEN_CHARS:
            raise Unauthenticated
        claims = await self._claims(token)
        if claims["exp"] <= self._now():
            self._known.pop(token, None)
            raise Unauthenticated("the access token has expired")
        principal = Principal(
            subject=str(claims["sub"]),
            tenant=str(claims.get("tenant", "")),
            roles=frozenset(str(role) for role in claims.get("roles", ())),
        )
        self._known[token] = (float(claims["exp"]), principal)
        if len(self._known) > CACHED_TOKENS:
            self._known.popitem(last=False)
        return principal

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            # RFC 9068 4: a JWT of another type is no access token, whoever signed it.
            if str(header.get("typ", "")).lower().removeprefix("application/") != "at+jwt":
                raise Unauthenticated("the token is not an access token")
            key = await self._keys.key(str(header.get("kid", "")))
            return jwt.decode(
                token,
                key,
                algorithms=["ES256"],
                audience=self._audience,
                issuer=self._issuer,
                options={"require": ["exp", "iat", "iss", "aud", "sub"], "verify_exp": False, "verify_iat": False},
            )
        except jwt.PyJWTError as exc:
            raise Unauthenticated(f"the access token is not valid: {type(exc).__name__}") from exc


def authorize(principal: Principal, method: str, access: Mapping[str, frozenset[str]]) -> None:
    """Let the principal call the method (`/package.Service/Method`) if it holds one of its roles.

    Raises Denied; also for a method that the table does not know.
    """
    allowed = access.get(method)
    if allowed is None or not allowed & principal.roles:
        wanted = " or ".join(sorted(allowed)) if allowed else "none"
        raise Denied(f"{method} needs the role {wanted}", reason="ROLE_MISSING")
