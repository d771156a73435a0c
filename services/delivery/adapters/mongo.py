"""Deliveries in MongoDB. Sharded by notification_id (hashed), which every query carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pymongo import IndexModel, ReplaceOne
from pymongo.errors import BulkWriteError

from services.delivery.domain import OPEN, Attempt, Delivery, State
from services.delivery.message import Channel, ProviderName
from services.runtime.errors import Unavailable
from services.runtime.mongo import Document, translated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from motor.motor_asyncio import AsyncIOMotorDatabase

    from services.delivery.message import Message

COLLECTION: Final = "deliveries"
INDEXES: Final = (
    IndexModel([("notification_id", 1), ("_id", 1)], name="by_notification"),
    IndexModel([("purge_at", 1)], name="purge", expireAfterSeconds=0),
)
_DUPLICATE_KEY: Final = 11000
_OPEN_STATES: Final = sorted(OPEN)


class MongoRecords:
    """The deliveries' store."""

    def __init__(self, database: AsyncIOMotorDatabase[Document]) -> None:
        """Reads and writes are as the database is set up: by majority."""
        self._collection = database[COLLECTION]

    async def create_indexes(self) -> None:
        """Make sure that there are the indexes."""
        with translated():
            await self._collection.create_indexes(list(INDEXES))

    async def find(self, messages: Sequence[Message]) -> Mapping[str, Delivery]:
        """What is known of these, by delivery id."""
        if not messages:
            return {}
        query = {
            "_id": {"$in": [message.delivery_id for message in messages]},
            "notification_id": {"$in": sorted({message.notification_id for message in messages})},
            "tenant": {"$in": sorted({message.tenant for message in messages})},
        }
        with translated():
            found = await self._collection.find(query).to_list(len(messages))
        return {document["_id"]: _delivery(document) for document in found}

    async def save(self, deliveries: Sequence[Delivery]) -> None:
        """Keep these, each whole; what stands settled is left as it is."""
        if not deliveries:
            return
        # Where a settled record stands the filter misses it and the upsert meets its _id: a duplicate key, on purpose.
        writes = [
            ReplaceOne(
                {
                    "_id": delivery.delivery_id,
                    "notification_id": delivery.notification_id,
                    "tenant": delivery.tenant,
                    "state": {"$in": _OPEN_STATES},
                },
                _document(delivery),
                upsert=True,
            )
            for delivery in deliveries
        ]
        try:
            with translated():
                await self._collection.bulk_write(writes, ordered=False)
        except BulkWriteError as exc:
            failed = [error for error in exc.details["writeErrors"] if error["code"] != _DUPLICATE_KEY]
            if failed or exc.details.get("writeConcernErrors"):
                raise Unavailable("the store did not take every delivery") from exc

    async def page(self, tenant: str, notification_id: str, *, after: str, limit: int) -> list[Delivery]:
        """Deliveries of one notification of this tenant by id, from the first one after `after`."""
        query = {"notification_id": notification_id, "tenant": tenant, "_id": {"$gt": after}}
        with translated():
            found = await self._collection.find(query).sort("_id", 1).limit(limit).to_list(limit)
        return [_delivery(document) for document in found]


def _document(delivery: Delivery) -> Document:
    # Field by field: dataclasses.asdict copies deeply, which was a third of this process's time.
    return {
        "_id": delivery.delivery_id,
        "tenant": delivery.tenant,
        "notification_id": delivery.notification_id,
        "chunk": delivery.chunk,
        "user_id": delivery.user_id,
        "channel": delivery.channel,
        "provider": delivery.provider,
        "state": delivery.state,
        "reason": delivery.reason,
        "provider_message_id": delivery.provider_message_id,
        "attempts": [{"time": each.time, "code": each.code, "state": each.state} for each in delivery.attempts],
        "attempt_count": delivery.attempt_count,
        "due_at": delivery.due_at,
        "created_at": delivery.created_at,
        "updated_at": delivery.updated_at,
        "purge_at": delivery.purge_at,
    }


def _delivery(document: Document) -> Delivery:
    values = dict(document)
    values["delivery_id"] = values.pop("_id")
    values["channel"] = Channel(values["channel"]) if values["channel"] else None
    values["provider"] = ProviderName(values["provider"]) if values["provider"] else None
    values["state"] = State(values["state"])
    values["attempts"] = tuple(
        Attempt(time=each["time"], code=each["code"], state=State(each["state"])) for each in values["attempts"]
    )
    return Delivery(**values)
