"""Clients, keys and entries as tests need them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from services.auth.domain import Actor, AuditEntry, Client, Role, SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ADMIN = Actor(client_id="ada", tenant="acme", roles=frozenset({"admin"}))
PLATFORM = Actor(client_id="root", tenant="clarion", roles=frozenset({"admin", "platform_admin"}))


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **units: float) -> None:
        self.now += timedelta(**units)


def numbered(prefix: str) -> Callable[[], str]:
    """Ids that sort in the order in which they are given: `id-001`, `id-002`."""
    numbers = itertools.count(1)
    return lambda: f"{prefix}-{next(numbers):03}"


SECRET = "secret"
SECRET_HASH = f"hash 0 of {SECRET}"


def client(client_id: str = "shop", *roles: Role, tenant: str = "acme", secret_hash: str = SECRET_HASH) -> Client:
    return Client(
        client_id=client_id,
        tenant=tenant,
        display_name=f"the {client_id}",
        roles=frozenset(roles or {Role.SENDER}),
        created_at=NOON,
        secret_hash=secret_hash,
    )


def entry(entry_id: str = "entry-1", *tenants: str, time: datetime = NOON) -> AuditEntry:
    return AuditEntry(
        entry_id=entry_id,
        time=time,
        tenants=tenants or ("acme",),
        actor="ada",
        action="client.create",
        subject="shop",
        details={"roles": "sender"},
    )


def key(generation: int, *, signs_from: datetime = NOON) -> SigningKey:
    return SigningKey(
        key_id=f"key-{generation}",
        generation=generation,
        private=f"private half {generation}".encode(),
        created_at=NOON,
        signs_from=signs_from,
    )
