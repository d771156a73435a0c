"""The use case of the token endpoint: a client's id and secret for an access token."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from services.auth.domain import Client, Grant
from services.runtime.errors import Unauthenticated, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.auth.attempts import Attempts
    from services.auth.keyring import Keyring
    from services.auth.ports import Clients, SecretHashing
    from services.runtime.clock import Clock

CONCURRENT_CHECKS = 2
"""Each takes a core and tens of MiB while it lasts."""
MAX_WAITING = 100


class Tokens:
    """Gives access tokens (RFC 9068) for client credentials (RFC 6749 4.4)."""

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        token_seconds: int,
        clients: Clients,
        hashing: SecretHashing,
        decoy_hash: str,
        attempts: Attempts,
        keyring: Keyring,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        """`decoy_hash` is checked where there is no client, so that an unknown one takes as long as a wrong secret."""
        self._issuer, self._audience, self._token_seconds = issuer.rstrip("/"), audience, token_seconds
        self._clients, self._hashing, self._decoy_hash = clients, hashing, decoy_hash
        self._attempts, self._keyring = attempts, keyring
        self._clock, self._new_id = clock, new_id
        self._gate = asyncio.Semaphore(CONCURRENT_CHECKS)
        self._waiting = 0

    async def grant(self, client_id: str, secret: str) -> Grant:
        """An access token.

        Raises Unauthenticated alike for an unknown client and a wrong secret, RateLimited after many of them,
        Unavailable while the store is away or too many wait.
        """
        client = await self._clients.find(client_id)
        if self._waiting >= MAX_WAITING:
            raise Unavailable("too many ask for tokens now", reason="OVERLOADED")
        self._waiting += 1
        try:
            async with self._gate:
                client = await self._authenticated(client_id, secret, client)
        finally:
            self._waiting -= 1
        now = math.floor(self._clock().timestamp())
        claims = {
            "iss": self._issuer,
            "sub": client.client_id,
            "aud": self._audience,
            "iat": now,
            "exp": now + self._token_seconds,
            "jti": self._new_id(),
            "client_id": client.client_id,
            "tenant": client.tenant,
            "roles": sorted(client.roles),
        }
        return Grant(access_token=self._keyring.sign(claims), expires_in=self._token_seconds)

    async def _authenticated(self, client_id: str, secret: str, client: Client | None) -> Client:
        # Inside the gate: of many guesses at once, only the few being checked are not counted yet.
        self._attempts.check(client_id)
        matches = await self._hashing.matches(client.secret_hash if client else self._decoy_hash, secret)
        if client is None or not matches:
            self._attempts.failed(client_id)
            raise Unauthenticated("the client is unknown or its secret is wrong", reason="INVALID_CLIENT")
        self._attempts.succeeded(client_id)
        return client
