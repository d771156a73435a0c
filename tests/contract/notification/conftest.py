"""The notification store in memory and in MongoDB: one contract for both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from services.notification.adapters.changes import MongoChanges
from services.notification.adapters.mongo import MongoNotifications
from services.runtime import mongo
from services.runtime.settings import MongoSettings
from tests.unit.notification.fakes import InMemoryNotifications

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.notification.ports import ChangeFeed, NotificationStore


@dataclass(frozen=True)
class Kind:
    store: NotificationStore
    feed: ChangeFeed


@pytest.fixture(params=["memory", "mongodb"])
async def kind(request: pytest.FixtureRequest) -> AsyncIterator[Kind]:
    if request.param == "memory":
        fake = InMemoryNotifications()
        yield Kind(fake, fake)
        return
    settings = MongoSettings(
        mongo_url=request.getfixturevalue("mongo_url"), mongo_database=request.getfixturevalue("mongo_database")
    )
    async with mongo.opened(settings) as database, MongoChanges(database) as changes:
        store = MongoNotifications(database)
        await store.create_indexes()
        yield Kind(store, changes)


@pytest.fixture
def store(kind: Kind) -> NotificationStore:
    return kind.store


@pytest.fixture
def feed(kind: Kind) -> ChangeFeed:
    return kind.feed
