"""Devices, in MongoDB.

`devices` is sharded by `user_id`, so every query carries it. Under such a key the cluster cannot
keep a device id unique across users; `token_owners` can, for its `_id` is the device id and its shard key. It says
which user has the device, and registering, deleting and dropping change both collections in one transaction:
where a device of a user is stored, its owner is that user. So the last to register has the token, however many
do at once, and neither a registration nor a provider's "gone" has to ask every shard who had it.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final, TypeVar

from pymongo import ReadPreference, ReturnDocument
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from services.device.adapters.mongo import DEVICES, ONE_REPLY, OWNERS, of_users
from services.device.domain import Device, DeviceAddress, Platform, UserKey, latest_by_device
from services.device.ports import Registration
from services.runtime.errors import LimitReached
from services.runtime.mongo import Document, translated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from motor.motor_asyncio import AsyncIOMotorClientSession, AsyncIOMotorDatabase

    from services.device.domain import GoneToken, Position

Result = TypeVar("Result")
_ATTEMPTS: Final = 8
_FIRST_BACKOFF_SECONDS: Final = 0.005


class MongoDeviceRepository:
    """A DeviceRepository."""

    def __init__(
        self, database: AsyncIOMotorDatabase[Document], *, jitter: Callable[[], float] = random.random
    ) -> None:
        """`jitter` answers in [0, 1)."""
        self._client = database.client
        self._devices, self._owners = database[DEVICES], database[OWNERS]
        self._jitter = jitter

    async def register(self, tenant: str, device: Device, *, limit: int) -> Registration:
        """Store the device or refresh it, taking it from whoever had it."""
        # The everyday case, an app that starts, needs no transaction: whoever has the device keeps it.
        with translated():
            refreshed = await self._devices.find_one_and_update(
                _device_key(tenant, device.user_id, device.device_id),
                _refresh(device),
                return_document=ReturnDocument.AFTER,
            )
        if refreshed is not None:
            return Registration(device=_to_device(refreshed))

        async def take(session: AsyncIOMotorClientSession) -> Registration:
            return await self._take(tenant, device, limit, session)

        return await self._in_transaction(take)

    async def get(self, tenant: str, user_id: str, device_id: str) -> Device | None:
        """The user's device."""
        with translated():
            document = await self._devices.find_one(_device_key(tenant, user_id, device_id))
        return _to_device(document) if document else None

    async def listed(self, tenant: str, user_id: str, *, after: Position | None, limit: int) -> list[Device]:
        """Up to `limit` of the user's devices, last seen first and then by id, from after a position."""
        query: Document = {"tenant": tenant, "user_id": user_id}
        if after:
            query["$or"] = [
                {"last_seen_time": {"$lt": after.last_seen_time}},
                {"last_seen_time": after.last_seen_time, "device_id": {"$gt": after.device_id}},
            ]
        with translated():
            cursor = self._devices.find(query, sort=[("last_seen_time", -1), ("device_id", 1)], limit=limit)
            return [_to_device(document) for document in await cursor.to_list(None)]

    async def delete(self, tenant: str, user_id: str, device_id: str) -> bool:
        """Forget the user's device; whether there was one."""
        return bool(await self._forget(_device_key(tenant, user_id, device_id)))

    async def delete_all(self, tenant: str, user_id: str) -> int:
        """Forget all of the user's devices; how many there were."""
        return await self._forget({"tenant": tenant, "user_id": user_id})

    async def drop(self, gone: Sequence[GoneToken]) -> list[UserKey]:
        """Forget each of these that was not registered after its `gone_time`; whose they were, once for each."""
        latest = latest_by_device(gone)

        async def drop(session: AsyncIOMotorClientSession) -> list[UserKey]:
            owners = await self._owners.find({"_id": {"$in": list(latest)}}, session=session).to_list(None)
            if not owners:
                return []
            candidates = await self._devices.find(
                _all_of([(each["user_id"], each["_id"]) for each in owners]),
                projection=["device_id", "tenant", "user_id", "register_time"],
                session=session,
            ).to_list(None)
            doomed = [each for each in candidates if each["register_time"] <= latest[each["device_id"]].gone_time]
            await self._remove(doomed, session)
            return [UserKey(each["tenant"], each["user_id"]) for each in doomed]

        return await self._in_transaction(drop)

    async def of_users(self, users: Collection[UserKey]) -> dict[UserKey, list[Device]]:
        """The devices of those users who have any, in one query."""
        with translated():
            documents = await self._devices.find(of_users(users), batch_size=ONE_REPLY).to_list(None)
        devices: dict[UserKey, list[Device]] = {}
        wanted = set(users)
        for document in documents:
            user = UserKey(document["tenant"], document["user_id"])
            if user in wanted:
                devices.setdefault(user, []).append(_to_device(document))
        return devices

    async def _take(self, tenant: str, device: Device, limit: int, session: AsyncIOMotorClientSession) -> Registration:
        former = await self._owners.find_one_and_update(
            {"_id": device.device_id},
            {"$set": {"tenant": tenant, "user_id": device.user_id}},
            upsert=True,
            session=session,
        )
        former_user = former["user_id"] if former and former["user_id"] != device.user_id else None
        if former_user is not None:
            await self._devices.delete_one(_device_key(tenant, former_user, device.device_id), session=session)
        others = await self._devices.count_documents(
            {"tenant": tenant, "user_id": device.user_id, "device_id": {"$ne": device.device_id}},
            limit=limit,
            session=session,
        )
        if others >= limit:
            raise LimitReached(f"the user has {limit} devices; delete one first", reason="TOO_MANY_DEVICES")
        stored = await self._devices.find_one_and_update(
            _device_key(tenant, device.user_id, device.device_id),
            {**_refresh(device), "$setOnInsert": _identity(device)},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        return Registration(device=_to_device(stored), former_user=former_user)

    async def _forget(self, query: Document) -> int:
        async def forget(session: AsyncIOMotorClientSession) -> int:
            found = await self._devices.find(query, projection=["device_id", "user_id"], session=session).to_list(None)
            await self._remove(found, session)
            return len(found)

        return await self._in_transaction(forget)

    async def _remove(self, documents: Sequence[Document], session: AsyncIOMotorClientSession) -> None:
        if not documents:
            return
        keys = [(each["user_id"], each["device_id"]) for each in documents]
        await self._devices.delete_many(_all_of(keys), session=session)
        await self._owners.delete_many({"_id": {"$in": [device_id for _, device_id in keys]}}, session=session)

    async def _in_transaction(self, work: Callable[[AsyncIOMotorClientSession], Awaitable[Result]]) -> Result:
        with translated():
            async with await self._client.start_session() as session:
                for attempt in range(1, _ATTEMPTS):
                    try:
                        return await _once(session, work)
                    except OperationFailure as exc:
                        if not exc.has_error_label("TransientTransactionError"):
                            raise
                    await asyncio.sleep(_FIRST_BACKOFF_SECONDS * 2**attempt * self._jitter())
                return await _once(session, work)


async def _once(
    session: AsyncIOMotorClientSession, work: Callable[[AsyncIOMotorClientSession], Awaitable[Result]]
) -> Result:
    async with session.start_transaction(
        read_concern=ReadConcern("snapshot"),
        write_concern=WriteConcern("majority"),
        read_preference=ReadPreference.PRIMARY,
    ):
        return await work(session)


def _device_key(tenant: str, user_id: str, device_id: str) -> Document:
    return {"_id": f"{device_id}/{user_id}", "tenant": tenant, "user_id": user_id}


def _all_of(keys: Sequence[tuple[str, str]]) -> Document:
    return {
        "_id": {"$in": [f"{device_id}/{user_id}" for user_id, device_id in keys]},
        "user_id": {"$in": sorted({user_id for user_id, _ in keys})},
    }


def _refresh(device: Device) -> Document:
    return {
        "$set": {"locale": device.locale},
        "$max": {"register_time": device.register_time, "last_seen_time": device.last_seen_time},
    }


def _identity(device: Device) -> Document:
    return {
        "device_id": device.device_id,
        "platform": device.address.platform.name,
        "app": device.address.app,
        "token": device.address.token,
    }


def _to_device(document: Document) -> Device:
    return Device(
        device_id=document["device_id"],
        user_id=document["user_id"],
        address=DeviceAddress(platform=Platform[document["platform"]], app=document["app"], token=document["token"]),
        locale=document["locale"],
        register_time=document["register_time"],
        last_seen_time=document["last_seen_time"],
    )
