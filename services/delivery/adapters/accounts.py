"""Provider accounts in MongoDB, their secrets sealed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import structlog
from pymongo import IndexModel

from services.delivery.credentials import KINDS, SECRETS, Account
from services.delivery.message import ProviderName
from services.runtime.errors import LimitReached, NotFound, PreconditionFailed
from services.runtime.mongo import Document, translated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from motor.motor_asyncio import AsyncIOMotorDatabase

    from services.runtime.sealing import Sealer

log = structlog.get_logger()
COLLECTION: Final = "provider_accounts"
INDEXES: Final = (IndexModel([("tenant", 1), ("account_id", 1)], name="by_tenant", unique=True),)
_ALL: Final = 1_000


class MongoAccounts:
    """The accounts' store. A secret is sealed for its tenant, account and provider: copied elsewhere it cannot be
    opened."""

    def __init__(self, database: AsyncIOMotorDatabase[Document], sealer: Sealer) -> None:
        """The sealer's key is the same in all replicas."""
        self._collection, self._sealer = database[COLLECTION], sealer

    async def create_indexes(self) -> None:
        """Make sure that there are the indexes."""
        with translated():
            await self._collection.create_indexes(list(INDEXES))

    async def add(self, account: Account, *, most: int) -> None:
        """Store a new account."""
        with translated():
            # Counted before, not locked: a few that come at once may go over, which does no harm.
            if await self._collection.count_documents({"tenant": account.tenant}, limit=most) >= most:
                raise LimitReached(f"there are {most} provider accounts already", reason="TOO_MANY_PROVIDER_ACCOUNTS")
            await self._collection.insert_one(self._document(account))

    async def remove(self, tenant: str, account_id: str) -> None:
        """Forget an account."""
        with translated():
            removed = await self._collection.delete_one({"tenant": tenant, "account_id": account_id})
        if not removed.deleted_count:
            raise NotFound("there is no such provider account")

    async def page(self, tenant: str, *, after: str, limit: int) -> list[Account]:
        """A tenant's accounts by id, from the first one after `after`."""
        query = {"tenant": tenant, "account_id": {"$gt": after}}
        with translated():
            found = await self._collection.find(query).sort("account_id", 1).limit(limit).to_list(limit)
        return [self._account(document, "") for document in found]

    async def of_tenant(self, tenant: str) -> list[Account]:
        """All of a tenant's accounts but those that cannot be opened, which are logged."""
        with translated():
            found = await self._collection.find({"tenant": tenant}).limit(_ALL).to_list(_ALL)
        return list(self._opened(found))

    def _opened(self, documents: Iterable[Document]) -> Iterable[Account]:
        for document in documents:
            try:
                secret = self._sealer.open(document["sealed"], _context(document)).decode()
            except PreconditionFailed:
                log.warning("provider_account_unreadable", account=document["account_id"])
            else:
                yield self._account(document, secret)

    def _document(self, account: Account) -> Document:
        public = asdict(account.credentials)
        secret = public.pop(SECRETS[type(account.credentials)])
        document = {
            "tenant": account.tenant,
            "account_id": account.account_id,
            "version": account.version,
            "app": account.app,
            "provider": account.provider.value,
            "credentials": public,
            "created_at": account.created_at,
        }
        return document | {"sealed": self._sealer.seal(secret.encode(), _context(document))}

    @staticmethod
    def _account(document: Document, secret: str) -> Account:
        kind = KINDS[ProviderName(document["provider"])]
        return Account(
            tenant=document["tenant"],
            account_id=document["account_id"],
            version=document["version"],
            app=document["app"],
            credentials=kind(**(document["credentials"] | {SECRETS[kind]: secret})),
            created_at=document["created_at"],
        )


def _context(document: Document) -> bytes:
    return "\0".join(("provider-account", document["tenant"], document["account_id"], document["provider"])).encode()
