"""Secrets hashed with Argon2id (RFC 9106), off the event loop."""

from __future__ import annotations

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

CONCURRENT = 2
"""Hashes at a time; with RFC 9106's second profile each takes 64 MiB."""


class Argon2:
    """SecretHashing with Argon2id."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        """By default the second recommended profile of RFC 9106."""
        self._hasher = hasher or PasswordHasher()
        self._gate = asyncio.Semaphore(CONCURRENT)

    async def hash(self, secret: str) -> str:
        """The salted hash, which names its parameters."""
        async with self._gate:
            return await asyncio.to_thread(self._hasher.hash, secret)

    async def matches(self, secret_hash: str, secret: str) -> bool:
        """Whether the hash is this secret's."""
        async with self._gate:
            return await asyncio.to_thread(self._verify, secret_hash, secret)

    def _verify(self, secret_hash: str, secret: str) -> bool:
        try:
            return self._hasher.verify(secret_hash, secret)
        except (VerificationError, InvalidHashError):
            return False
