"""The auth service's ports in memory. The contract suite holds them to what the real adapters do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from services.runtime.errors import AlreadyExists, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from services.auth.domain import AuditEntry, Client, Role, SigningKey


class MemoryStore:
    """What the repositories share; `down` makes all of them unavailable."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self.keys: dict[str, SigningKey] = {}
        self.audit: list[AuditEntry] = []
        self.down = False

    def check(self) -> None:
        if self.down:
            raise Unavailable("the store cannot be reached")


class MemoryClients:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def find(self, client_id: str) -> Client | None:
        self._store.check()
        return self._store.clients.get(client_id)

    async def get(self, client_id: str, *, tenant: str) -> Client | None:
        client = await self.find(client_id)
        return client if client and client.tenant == tenant else None

    async def page(self, *, tenant: str, after: str, limit: int) -> list[Client]:
        self._store.check()
        found = [each for each in self._store.clients.values() if each.tenant == tenant and each.client_id > after]
        return sorted(found, key=lambda each: each.client_id)[:limit]

    async def add(self, client: Client, entry: AuditEntry) -> None:
        if await self.find(client.client_id):
            raise AlreadyExists
        self._put(client, entry)

    async def set_roles(
        self, client_id: str, roles: frozenset[Role], entry: AuditEntry, *, tenant: str, barred: frozenset[Role]
    ) -> Client | None:
        client = await self._touchable(client_id, tenant, barred)
        return self._put(replace(client, roles=roles), entry) if client else None

    async def set_secret_hash(
        self, client_id: str, secret_hash: str, entry: AuditEntry, *, tenant: str, barred: frozenset[Role]
    ) -> bool:
        client = await self._touchable(client_id, tenant, barred)
        return bool(client and self._put(replace(client, secret_hash=secret_hash), entry))

    async def remove(self, client_id: str, entry: AuditEntry, *, tenant: str, barred: frozenset[Role]) -> bool:
        if await self._touchable(client_id, tenant, barred) is None:
            return False
        del self._store.clients[client_id]
        self._store.audit.append(entry)
        return True

    async def replace(self, client: Client, entry: AuditEntry) -> None:
        self._store.check()
        self._put(client, entry)

    async def _touchable(self, client_id: str, tenant: str, barred: frozenset[Role]) -> Client | None:
        client = await self.get(client_id, tenant=tenant)
        return client if client and not client.roles & barred else None

    def _put(self, client: Client, entry: AuditEntry) -> Client:
        self._store.clients[client.client_id] = client
        self._store.audit.append(entry)
        return client


class MemoryAuditLog:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def page(self, *, tenant: str, before: tuple[datetime, str] | None, limit: int) -> list[AuditEntry]:
        self._store.check()
        found = [entry for entry in self._store.audit if tenant in entry.tenants]
        found.sort(key=lambda entry: (entry.time, entry.entry_id), reverse=True)
        return [entry for entry in found if before is None or (entry.time, entry.entry_id) < before][:limit]


class MemorySigningKeys:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def all(self) -> list[SigningKey]:
        self._store.check()
        return sorted(self._store.keys.values(), key=lambda key: key.generation)

    async def add(self, key: SigningKey, entry: AuditEntry) -> None:
        if any(each.generation == key.generation for each in await self.all()):
            raise AlreadyExists
        self._store.keys[key.key_id] = key
        self._store.audit.append(entry)

    async def remove(self, key_ids: Sequence[str]) -> None:
        self._store.check()
        for key_id in key_ids:
            self._store.keys.pop(key_id, None)


class QuickHashing:
    """Hashes that cost nothing, and a count of what was asked."""

    def __init__(self) -> None:
        self.hashed: list[str] = []
        self.checked: list[str] = []

    async def hash(self, secret: str) -> str:
        self.hashed.append(secret)
        return f"hash {len(self.hashed)} of {secret}"

    async def matches(self, secret_hash: str, secret: str) -> bool:
        self.checked.append(secret_hash)
        return secret_hash.startswith("hash ") and secret_hash.partition(" of ")[2] == secret
