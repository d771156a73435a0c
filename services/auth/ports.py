"""What the use cases need from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from services.auth.domain import AuditEntry, Client, Role, SigningKey


class Clients(Protocol):
    """The registered clients. A change and its audit entry are stored together or not at all.

    Changes touch only a client of `tenant` that has none of the roles in `barred`, and answer whether there was one.
    """

    async def find(self, client_id: str) -> Client | None:
        """The client, whatever its tenant: for authentication, and for who administers every tenant."""

    async def get(self, client_id: str, *, tenant: str) -> Client | None:
        """The tenant's client."""

    async def page(self, *, tenant: str, after: str, limit: int) -> list[Client]:
        """The tenant's clients in the order of their ids, from the one after `after`."""

    async def add(self, client: Client, entry: AuditEntry) -> None:
        """Register a client.

        Raises AlreadyExists if the id is taken.
        """

    async def set_roles(
        self, client_id: str, roles: frozenset[Role], entry: AuditEntry, *, tenant: str, barred: frozenset[Role]
    ) -> Client | None:
        """Replace the roles; answers the client as it is then."""

    async def set_secret_hash(
        self, client_id: str, secret_hash: str, entry: AuditEntry, *, tenant: str, barred: frozenset[Role]
    ) -> bool:
        """Replace the secret's hash."""

    async def remove(self, client_id: str, entry: AuditEntry, *, tenant: str, barred: frozenset[Role]) -> bool:
        """End the client."""

    async def replace(self, client: Client, entry: AuditEntry) -> None:
        """Put the client in the place of the one that has its id."""


class AuditLog(Protocol):
    """The audit log, as it is read."""

    async def page(self, *, tenant: str, before: tuple[datetime, str] | None, limit: int) -> list[AuditEntry]:
        """What the tenant may read, newest first, from the one before (time, entry id)."""


class SigningKeys(Protocol):
    """The signing keys; private halves are encrypted where they are stored."""

    async def all(self) -> list[SigningKey]:
        """Every key there is.

        Raises PreconditionFailed if one was encrypted with another key than this process has.
        """

    async def add(self, key: SigningKey, entry: AuditEntry) -> None:
        """Store a key with its audit entry.

        Raises AlreadyExists if there is a key of this generation.
        """

    async def remove(self, key_ids: Sequence[str]) -> None:
        """Forget keys."""


class KeyPairs(Protocol):
    """The signature algorithm."""

    def make(self) -> tuple[str, bytes]:
        """A new key pair: its id, which derives from the public half, and the private half."""

    def sign(self, key: SigningKey, claims: Mapping[str, object]) -> str:
        """An access token with these claims."""

    def public(self, key: SigningKey) -> dict[str, str]:
        """The public half as a JSON Web Key."""


class SecretHashing(Protocol):
    """A slow, memory-hard hash of secrets."""

    async def hash(self, secret: str) -> str:
        """The salted hash."""

    async def matches(self, secret_hash: str, secret: str) -> bool:
        """Whether the hash is this secret's."""
