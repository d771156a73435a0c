"""Recipients, in MongoDB; sharded by `user_id`, which every query carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.device.adapters.mongo import ONE_REPLY, RECIPIENTS, of_users
from services.device.domain import ContactKind, ContactPoint, Recipient, UserKey
from services.runtime.errors import AlreadyExists
from services.runtime.mongo import Document, translated

if TYPE_CHECKING:
    from collections.abc import Collection

    from motor.motor_asyncio import AsyncIOMotorDatabase


class MongoRecipientRepository:
    """A RecipientRepository."""

    def __init__(self, database: AsyncIOMotorDatabase[Document]) -> None:
        """The database that holds them."""
        self._recipients = database[RECIPIENTS]

    async def put(self, tenant: str, recipient: Recipient) -> None:
        """Store, in place of what was there."""
        key = _recipient_key(tenant, recipient.user_id)
        document = {**key, **_from_recipient(recipient)}
        try:
            with translated():
                await self._recipients.replace_one(key, document, upsert=True)
        except AlreadyExists:
            # Another made it at the same moment; now there is something to replace.
            with translated():
                await self._recipients.replace_one(key, document, upsert=True)

    async def get(self, tenant: str, user_id: str) -> Recipient | None:
        """The recipient."""
        with translated():
            document = await self._recipients.find_one(_recipient_key(tenant, user_id))
        return _to_recipient(document) if document else None

    async def delete(self, tenant: str, user_id: str) -> bool:
        """Forget the recipient; whether there was one."""
        with translated():
            result = await self._recipients.delete_one(_recipient_key(tenant, user_id))
        return result.deleted_count > 0

    async def of_users(self, users: Collection[UserKey]) -> dict[UserKey, Recipient]:
        """Those users who have a profile, in one query."""
        keys = [_recipient_key(user.tenant, user.user_id)["_id"] for user in users]
        with translated():
            cursor = self._recipients.find({"_id": {"$in": keys}, **of_users(users)}, batch_size=ONE_REPLY)
            documents = await cursor.to_list(None)
        return {UserKey(each["tenant"], each["user_id"]): _to_recipient(each) for each in documents}


def _recipient_key(tenant: str, user_id: str) -> Document:
    # '/' is in no user id, so no other pair has this key.
    return {"_id": f"{tenant}/{user_id}", "tenant": tenant, "user_id": user_id}


def _from_recipient(recipient: Recipient) -> dict[str, Any]:
    return {
        "contact_points": [
            {"kind": point.kind.value, "value": point.value, "verified": point.verified}
            for point in recipient.contact_points
        ],
        "locale": recipient.locale,
        "time_zone": recipient.time_zone,
        "update_time": recipient.update_time,
    }


def _to_recipient(document: Document) -> Recipient:
    return Recipient(
        user_id=document["user_id"],
        contact_points=tuple(
            ContactPoint(kind=ContactKind(point["kind"]), value=point["value"], verified=point["verified"])
            for point in document["contact_points"]
        ),
        locale=document["locale"],
        time_zone=document["time_zone"],
        update_time=document["update_time"],
    )
