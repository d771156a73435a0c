"""Notifications in MongoDB, the commit point: what a majority has here is accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from clarion.notification.v1 import NotificationState
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.errors import BulkWriteError

from services.notification.adapters.documents import COLLECTION, WITHOUT_SPEC, document, stored
from services.notification.adapters.progress import update
from services.notification.domain import ACCEPTED, CANCELLED, UNKNOWN, First, Standing
from services.runtime.errors import ClarionError, NotFound, Unavailable
from services.runtime.mongo import translated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from motor.motor_asyncio import AsyncIOMotorDatabase

    from services.notification.domain import Draft, Filter, Position, Report, Stored
    from services.runtime.mongo import Document

_DUPLICATE_KEY: Final = 11000
_FIRST_FIELDS: Final = ("tenant", "content_hash", "created_at", "expire_at", "state")
INDEXES: Final = (
    IndexModel([("tenant", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)], name="tenant_newest_first"),
    IndexModel([("purge_at", ASCENDING)], name="purge", expireAfterSeconds=0),
    IndexModel(
        [("created_at", ASCENDING)], name="unprocessed", partialFilterExpression={"processed_at": {"$type": "null"}}
    ),
)


class MongoNotifications:
    """One document for each notification; `_id` guards against the same idempotency key twice."""

    def __init__(self, database: AsyncIOMotorDatabase[Document]) -> None:
        """The database writes by a majority."""
        self._collection = database.get_collection(COLLECTION)

    async def create_indexes(self) -> None:
        """Make what is missing."""
        with translated():
            await self._collection.create_indexes(list(INDEXES))

    async def insert(self, drafts: Sequence[Draft]) -> Sequence[First | ClarionError | None]:
        """Store drafts in one round trip; those whose id is taken cost a second one for all of them."""
        try:
            with translated():
                await self._collection.insert_many([document(draft) for draft in drafts], ordered=False)
        except BulkWriteError as exc:
            return await self._refused(drafts, exc.details)
        return [None] * len(drafts)

    async def _refused(
        self, drafts: Sequence[Draft], details: Mapping[str, Any]
    ) -> Sequence[First | ClarionError | None]:
        if details.get("writeConcernErrors"):
            raise Unavailable("the store did not confirm the write")
        codes: dict[int, int] = {error["index"]: error["code"] for error in details["writeErrors"]}
        taken = [drafts[index].notification_id for index, code in codes.items() if code == _DUPLICATE_KEY]
        # A majority has them: a refused insert, too, waits until everything before it is confirmed.
        with translated():
            found = await self._collection.find({"_id": {"$in": taken}}, dict.fromkeys(_FIRST_FIELDS, True)).to_list(
                None
            )
        kept = {(each["tenant"], each["_id"]): each for each in found}
        return [_first(draft, kept) if index in codes else None for index, draft in enumerate(drafts)]

    async def get(self, tenant: str, notification_id: str) -> Stored:
        """One notification, whole."""
        with translated():
            kept = await self._collection.find_one(
                {"_id": notification_id, "tenant": tenant}, {"done": False, "retrying": False, "early": False}
            )
        if kept is None:
            raise NotFound("there is no such notification")
        return stored(kept)

    async def find(self, tenant: str, wanted: Filter, *, after: Position | None, limit: int) -> Sequence[Stored]:
        """The newest first, read from one index."""
        query = _query(tenant, wanted, after)
        order = [("created_at", DESCENDING), ("_id", DESCENDING)]
        with translated():
            found = await self._collection.find(query, WITHOUT_SPEC, sort=order, limit=limit).to_list(limit)
        return [stored(kept) for kept in found]

    async def cancel(self, tenant: str, notification_id: str, now: datetime) -> Stored:
        """Cancel what is ACCEPTED: of this and a worker's start the first one counts."""
        change = {"state": int(CANCELLED), "updated_at": now, "processed_at": now}
        with translated():
            kept = await self._collection.find_one_and_update(
                {"_id": notification_id, "tenant": tenant, "state": ACCEPTED},
                {"$set": change, "$inc": {"revision": 1}},
                return_document=ReturnDocument.AFTER,
                projection=WITHOUT_SPEC,
            )
            if kept is None:
                kept = await self._collection.find_one({"_id": notification_id, "tenant": tenant}, WITHOUT_SPEC)
        if kept is None:
            raise NotFound("there is no such notification")
        return stored(kept)

    async def report(self, reports: Sequence[Report], now: datetime) -> Sequence[Standing]:
        """One round trip for all updates, one to read where everything stands."""
        ids = list({report.notification_id for report in reports})
        with translated():
            await self._collection.bulk_write([update(report, now) for report in reports], ordered=False)
            found = await self._collection.find(
                {"_id": {"$in": ids}}, {"tenant": True, "state": True, "done": True}
            ).to_list(None)
        kept = {(each["tenant"], each["_id"]): each for each in found}
        return [_standing(report, kept.get((report.tenant, report.notification_id))) for report in reports]


def _first(draft: Draft, kept: Mapping[tuple[str, str], Document]) -> First | ClarionError:
    found = kept.get((draft.tenant, draft.notification_id))
    if found is None:
        return Unavailable("the notification could not be stored; try again")
    return First(
        content_hash=bytes(found["content_hash"]),
        created_at=found["created_at"],
        expire_at=found["expire_at"],
        untouched=found["state"] == ACCEPTED,
    )


def _standing(report: Report, kept: Document | None) -> Standing:
    if kept is None:
        return Standing(state=UNKNOWN, chunk_done=False)
    return Standing(state=NotificationState.ValueType(kept["state"]), chunk_done=report.chunk in kept["done"])


def _query(tenant: str, wanted: Filter, after: Position | None) -> Document:
    query: Document = {"tenant": tenant}
    if wanted.states:
        query["state"] = {"$in": sorted(wanted.states)}
    if wanted.category:
        query["category"] = wanted.category
    created: Document = {}
    if wanted.created_after is not None:
        created["$gte"] = wanted.created_after
    if wanted.created_before is not None:
        created["$lt"] = wanted.created_before
    if after is not None:
        # The range on created_at bounds the scan of the index; the alternatives only break ties.
        created["$lte"] = after.created_at
        query["$or"] = [{"created_at": {"$lt": after.created_at}}, {"_id": {"$lt": after.notification_id}}]
    if created:
        query["created_at"] = created
    return query
