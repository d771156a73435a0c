"""What both repositories share: their collections, and how many users are asked for at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pymongo.errors import OperationFailure

from services.runtime.mongo import Document, translated

if TYPE_CHECKING:
    from collections.abc import Collection

    from motor.motor_asyncio import AsyncIOMotorDatabase

    from services.device.domain import UserKey

DEVICES: Final = "devices"
OWNERS: Final = "token_owners"
RECIPIENTS: Final = "recipients"
ONE_REPLY: Final = 100_000
"""A cursor's batch size that leaves only MongoDB's own bound of 16 MiB."""
_NAMESPACE_EXISTS: Final = 48


async def prepare(database: AsyncIOMotorDatabase[Document]) -> None:
    """Make the collections and indexes that are missing. Raises Unavailable."""
    with translated():
        existing = await database.list_collection_names()
        # A transaction across shards cannot make a collection.
        for name in {DEVICES, OWNERS, RECIPIENTS}.difference(existing):
            try:
                await database.command("create", name)
            except OperationFailure as exc:
                if exc.code != _NAMESPACE_EXISTS:
                    raise
        await database[DEVICES].create_index(
            [("user_id", 1), ("tenant", 1), ("last_seen_time", -1), ("device_id", 1)], name="of_user"
        )


def of_users(users: Collection[UserKey]) -> Document:
    """Ask for these, by the shard key; also finds a user of one tenant who was asked for in another."""
    return {
        "user_id": {"$in": sorted({user.user_id for user in users})},
        "tenant": {"$in": sorted({user.tenant for user in users})},
    }
