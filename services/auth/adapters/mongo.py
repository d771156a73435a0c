"""Clients, signing keys and the audit log in MongoDB."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from pymongo import ReturnDocument

from services.auth.domain import AuditEntry, Client, Role, SigningKey
from services.runtime.errors import Conflict
from services.runtime.mongo import Document, translated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from motor.motor_asyncio import AsyncIOMotorClientSession, AsyncIOMotorDatabase

    from services.runtime.sealing import Sealer

    Session: TypeAlias = AsyncIOMotorClientSession

_CLIENTS, _KEYS, _AUDIT = "clients", "keys", "audit"
TRIES, PAUSE_SECONDS = 6, 0.01
"""Transactions that write the same document at the same time: one goes on, the others are told to come again."""
Changed = TypeVar("Changed")


async def create_indexes(database: AsyncIOMotorDatabase[Document]) -> None:
    """Create what queries need; does nothing where it is there."""
    with translated():
        await database[_CLIENTS].create_index([("tenant", 1), ("_id", 1)])
        await database[_KEYS].create_index("generation", unique=True)
        await database[_AUDIT].create_index([("tenants", 1), ("time", -1), ("_id", -1)])


class _Audited:
    """Writes in one transaction with their audit entry."""

    def __init__(self, database: AsyncIOMotorDatabase[Document]) -> None:
        self._database = database

    async def _commit(self, entry: AuditEntry, change: Callable[[Session], Awaitable[Changed]]) -> Changed:
        """Do the change; what it raises undoes it and the entry. One that collides with another is tried again."""
        for attempt in range(TRIES - 1):
            try:
                return await self._try(entry, change)
            except Conflict:
                await asyncio.sleep(PAUSE_SECONDS * 2**attempt)
        return await self._try(entry, change)

    async def _try(self, entry: AuditEntry, change: Callable[[Session], Awaitable[Changed]]) -> Changed:
        database = self._database
        with translated():
            async with (
                await database.client.start_session() as session,
                session.start_transaction(database.read_concern, database.write_concern),
            ):
                await database[_AUDIT].insert_one(_entry_document(entry), session=session)
                return await change(session)


class _Untouched(Exception):
    """Nothing was there to change, so the audit entry is undone."""


class MongoClients(_Audited):
    """Clients in the collection `clients`; the id is the primary key."""

    async def find(self, client_id: str) -> Client | None:
        """The client, whatever its tenant."""
        return await self._one({"_id": client_id})

    async def get(self, client_id: str, *, tenant: str) -> Client | None:
        """The tenant's client."""
        return await self._one({"_id": client_id, "tenant": tenant})

    async def page(self, *, tenant: str, after: str, limit: int) -> list[Client]:
        """The tenant's clients in the order of their ids, from the one after `after`."""
        with translated():
            cursor = self._database[_CLIENTS].find({"tenant": tenant, "_id": {"$gt": after}}).sort("_id").limit(limit)
            return [_client(document) for document in await cursor.to_list(limit)]

    async def add(self, client: Client, entry: AuditEntry) -> None:
        """Register a client.

        Raises AlreadyExists if the id is taken.
        """
        insert = partial(self._database[_CLIENTS].insert_one, _client_document(client))
        await self._commit(entry, lambda session: insert(session=session))

    async def set_roles(
        self, client_id: str, roles: frozenset[Role], entry: AuditEntry, *, tenant: str, barred: frozenset[Role]
    ) -> Client | None:
        """Replace the roles; answers the client as it is then."""
        return await self._update(_touchable(client_id, tenant, barred), {"roles": sorted(roles)}, entry)

    async def set_secret_hash(
        self, client_id: str, secret_hash: str, entry: AuditEntry, *, tenant: str, barred: frozenset[Role]
    ) -> bool:
        """Replace the secret's hash."""
        changed = {"secret_hash": secret_hash}
        return await self._update(_touchable(client_id, tenant, barred), changed, entry) is not None

    async def remove(self, client_id: str, entry: AuditEntry, *, tenant: str, barred: frozenset[Role]) -> bool:
        """End the client."""
        query = _touchable(client_id, tenant, barred)

        async def delete(session: Session) -> None:
            if not (await self._database[_CLIENTS].delete_one(query, session=session)).deleted_count:
                raise _Untouched

        try:
            await self._commit(entry, delete)
        except _Untouched:
            return False
        return True

    async def replace(self, client: Client, entry: AuditEntry) -> None:
        """Put the client in the place of the one that has its id."""
        replace = partial(
            self._database[_CLIENTS].replace_one, {"_id": client.client_id}, _client_document(client), upsert=True
        )
        await self._commit(entry, lambda session: replace(session=session))

    async def _one(self, query: Document) -> Client | None:
        with translated():
            document = await self._database[_CLIENTS].find_one(query)
        return _client(document) if document else None

    async def _update(self, query: Document, changed: Document, entry: AuditEntry) -> Client | None:
        async def update(session: Session) -> Document:
            document = await self._database[_CLIENTS].find_one_and_update(
                query, {"$set": changed}, return_document=ReturnDocument.AFTER, session=session
            )
            if document is None:
                raise _Untouched
            return document

        try:
            return _client(await self._commit(entry, update))
        except _Untouched:
            return None


class MongoSigningKeys(_Audited):
    """Signing keys in the collection `keys`, their private halves sealed."""

    def __init__(self, database: AsyncIOMotorDatabase[Document], sealer: Sealer) -> None:
        """The sealer's key is the same in every replica."""
        super().__init__(database)
        self._sealer = sealer

    async def all(self) -> list[SigningKey]:
        """Every key there is."""
        with translated():
            documents = await self._database[_KEYS].find().sort("generation").to_list(None)
        return [
            SigningKey(
                key_id=document["_id"],
                generation=document["generation"],
                private=self._sealer.open(document["sealed"], _context(document["_id"])),
                created_at=document["created_at"],
                signs_from=document["signs_from"],
            )
            for document in documents
        ]

    async def add(self, key: SigningKey, entry: AuditEntry) -> None:
        """Store a key.

        Raises AlreadyExists if there is a key of this generation.
        """
        document = {
            "_id": key.key_id,
            "generation": key.generation,
            "sealed": self._sealer.seal(key.private, _context(key.key_id)),
            "created_at": key.created_at,
            "signs_from": key.signs_from,
        }
        insert = partial(self._database[_KEYS].insert_one, document)
        await self._commit(entry, lambda session: insert(session=session))

    async def remove(self, key_ids: Sequence[str]) -> None:
        """Forget keys."""
        if key_ids:
            with translated():
                await self._database[_KEYS].delete_many({"_id": {"$in": list(key_ids)}})


class MongoAuditLog:
    """The collection `audit`."""

    def __init__(self, database: AsyncIOMotorDatabase[Document]) -> None:
        """Entries are written with the changes that they tell of."""
        self._audit = database[_AUDIT]

    async def page(self, *, tenant: str, before: tuple[datetime, str] | None, limit: int) -> list[AuditEntry]:
        """What the tenant may read, newest first."""
        query: Document = {"tenants": tenant}
        if before is not None:
            time, entry_id = before
            query["$or"] = [{"time": {"$lt": time}}, {"time": time, "_id": {"$lt": entry_id}}]
        with translated():
            documents = await self._audit.find(query).sort([("time", -1), ("_id", -1)]).limit(limit).to_list(limit)
        return [
            AuditEntry(
                entry_id=document["_id"],
                time=document["time"],
                tenants=tuple(document["tenants"]),
                actor=document["actor"],
                action=document["action"],
                subject=document["subject"],
                details=document["details"],
            )
            for document in documents
        ]


def _touchable(client_id: str, tenant: str, barred: frozenset[Role]) -> Document:
    # The roles are part of the query: a check before the write could be overtaken by another administrator.
    return {"_id": client_id, "tenant": tenant, "roles": {"$nin": sorted(barred)}}


def _context(key_id: str) -> bytes:
    return f"{_KEYS}/{key_id}".encode()


def _client(document: Document) -> Client:
    return Client(
        client_id=document["_id"],
        tenant=document["tenant"],
        display_name=document["display_name"],
        roles=frozenset(Role(role) for role in document["roles"]),
        created_at=document["created_at"],
        secret_hash=document["secret_hash"],
    )


def _client_document(client: Client) -> dict[str, Any]:
    return {
        "_id": client.client_id,
        "tenant": client.tenant,
        "display_name": client.display_name,
        "roles": sorted(client.roles),
        "created_at": client.created_at,
        "secret_hash": client.secret_hash,
    }


def _entry_document(entry: AuditEntry) -> dict[str, Any]:
    return {
        "_id": entry.entry_id,
        "time": entry.time,
        "tenants": list(entry.tenants),
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "details": dict(entry.details),
    }
