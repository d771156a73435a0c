"""Every query finds its shard, and an index: read from the commands that the driver sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.monitoring import CommandListener

from services.device.adapters.mongo import DEVICES, OWNERS, RECIPIENTS, prepare
from services.device.domain import UserKey
from tests.integration.device.conftest import stack_on
from tests.unit.device.builders import address, device, email, gone, recipient

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase
    from pymongo.monitoring import CommandFailedEvent, CommandStartedEvent, CommandSucceededEvent

    from services.runtime.mongo import Document

SHARD_KEYS = {DEVICES: "user_id", RECIPIENTS: "user_id", OWNERS: "_id"}


class Commands(CommandListener):
    """Keeps what is asked of each collection."""

    def __init__(self) -> None:
        self.filters: list[tuple[str, str, Document]] = []

    def started(self, event: CommandStartedEvent) -> None:
        command = dict(event.command)
        collection = command.get(event.command_name)
        for each in self._filters(event.command_name, command):
            self.filters.append((event.command_name, str(collection), each))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass

    @staticmethod
    def _filters(name: str, command: dict[str, Any]) -> list[Document]:
        match name:
            case "find":
                return [command["filter"]]
            case "findAndModify":
                return [command["query"]]
            case "aggregate":
                return [command["pipeline"][0]["$match"]]
            case "update":
                return [each["q"] for each in command["updates"]]
            case "delete":
                return [each["q"] for each in command["deletes"]]
            case _:
                return []


async def test_every_query_carries_its_shard_key_and_its_tenant(
    mongo_url: str, mongo_database: str, redis_url: str
) -> None:
    commands = Commands()
    client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(mongo_url, tz_aware=True, event_listeners=[commands])
    try:
        async with stack_on(client[mongo_database], redis_url) as stack:
            commands.filters.clear()
            for user_id in ("ada", "bob", "bob"):
                stored = await stack.devices.register("acme", user_id, address(), "")
            await stack.devices.get("acme", "bob", stored.device_id)
            _, _ = await stack.devices.listed("acme", "bob", after=None, size=1)
            await stack.recipients.put("acme", recipient("ada", email()))
            await stack.recipients.get("acme", "ada")
            await stack.reachability.resolve([UserKey("acme", "ada"), UserKey("other", "bob")])
            await stack.devices.drop_gone([gone(when=1e9)])
            await stack.devices.register("acme", "ada", address("other"), "")
            await stack.recipients.delete("acme", "ada")
    finally:
        client.close()
    asked = {(name, collection) for name, collection, _ in commands.filters}
    assert asked >= {
        ("find", DEVICES),
        ("findAndModify", DEVICES),
        ("aggregate", DEVICES),
        ("delete", DEVICES),
        ("find", OWNERS),
        ("findAndModify", OWNERS),
        ("delete", OWNERS),
        ("find", RECIPIENTS),
        ("update", RECIPIENTS),
        ("delete", RECIPIENTS),
    }
    for name, collection, query in commands.filters:
        assert SHARD_KEYS[collection] in query, (name, collection, query)
        assert "tenant" in query or "_id" in query, (name, collection, query)


@pytest.mark.parametrize(
    ("collection", "query", "sort"),
    [
        (DEVICES, {"user_id": {"$in": ["ada", "bob"]}, "tenant": {"$in": ["acme"]}}, None),
        (DEVICES, {"user_id": "ada", "tenant": "acme"}, {"last_seen_time": -1, "device_id": 1}),
        (DEVICES, {"_id": {"$in": ["x/ada"]}, "user_id": {"$in": ["ada"]}}, None),
        (RECIPIENTS, {"_id": {"$in": ["acme/ada"]}, "user_id": {"$in": ["ada"]}, "tenant": {"$in": ["acme"]}}, None),
    ],
)
async def test_frequent_queries_use_an_index_and_sort_nothing(
    database: AsyncIOMotorDatabase[Document], collection: str, query: Document, sort: Document | None
) -> None:
    await prepare(database)
    find = {"find": collection, "filter": query} | ({"sort": sort} if sort else {})
    plan = str((await database.command("explain", find, verbosity="queryPlanner"))["queryPlanner"]["winningPlan"])
    assert "IXSCAN" in plan
    assert "COLLSCAN" not in plan
    assert "'SORT'" not in plan


async def test_preparing_again_changes_nothing(database: AsyncIOMotorDatabase[Document]) -> None:
    await prepare(database)
    before = await database[DEVICES].index_information()
    await prepare(database)
    assert await database[DEVICES].index_information() == before
    assert set(await database.list_collection_names()) == {DEVICES, OWNERS, RECIPIENTS}


async def test_a_forgotten_user_leaves_nothing_behind(database: AsyncIOMotorDatabase[Document], redis_url: str) -> None:
    async with stack_on(database, redis_url) as stack:
        await stack.recipients.put("acme", recipient("ada", email()))
        await stack.devices.register("acme", "ada", address("a"), "")
        await stack.devices.register("acme", "bob", address("b"), "")
        await stack.devices.register("acme", "ada", address("b"), "")
        await stack.recipients.delete("acme", "ada")
        for name in (DEVICES, OWNERS, RECIPIENTS):
            assert await database[name].count_documents({}) == 0
        await stack.device_store.register("acme", device("ada", "c"), limit=9)
        await stack.devices.drop_gone([gone("c", when=1)])
        assert await database[OWNERS].count_documents({}) == 0
