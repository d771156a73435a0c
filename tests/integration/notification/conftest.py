"""The notification service in the test's own process, behind the real guard, on real engines or on none."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from clarion.notification.v1 import (
    NotificationServiceStub,
    add_NotificationServiceServicer_to_server,
    template_service_pb2,
)
from pydantic import SecretStr

from services.notification.acceptance import Acceptor
from services.notification.adapters.changes import MongoChanges
from services.notification.adapters.kafka import KafkaEvents
from services.notification.adapters.mongo import MongoNotifications
from services.notification.api import NotificationApi
from services.notification.publication import Publication
from services.notification.service import Notifications
from services.runtime import kafka, mongo
from services.runtime.clock import utc_now
from services.runtime.pages import PageTokens
from services.runtime.settings import KafkaSettings, MongoSettings, PageSettings
from services.runtime.unserved import unserved
from tests.serving import Issuer, served
from tests.unit.notification.builders import RETENTION, ids
from tests.unit.notification.fakes import Events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    import grpc
    from clarion.notification.v1.notification_service_pb2_grpc import NotificationServiceAsyncStub

    from services.notification.domain import Draft, First
    from services.notification.ports import EventPublisher
    from services.runtime.errors import ClarionError
    from services.runtime.server import Add

Metadata = tuple[tuple[str, str], ...]
TEMPLATES = template_service_pb2.DESCRIPTOR.services_by_name["TemplateService"]


class CountingStore(MongoNotifications):
    """Counts the inserts that callers share."""

    inserts: int = 0

    async def insert(self, drafts: Sequence[Draft]) -> Sequence[First | ClarionError | None]:
        self.inserts += 1
        return await super().insert(drafts)


@dataclass
class World:
    """The served service, and its callers."""

    channel: grpc.aio.Channel
    api: NotificationServiceAsyncStub
    store: CountingStore
    changes: MongoChanges
    events: EventPublisher
    collection: Any
    issuer: Issuer

    def sender(self, tenant: str = "acme") -> Metadata:
        return self.issuer.metadata("sender", tenant=tenant)

    @property
    def worker(self) -> Metadata:
        return self.issuer.metadata("service", tenant="")


@asynccontextmanager
async def serving(
    *, mongo_url: str, database: str, events: EventPublisher | None = None, flushes: int = 2, watchers: int = 50
) -> AsyncIterator[World]:
    """Serve with this MongoDB, and these events instead of Kafka."""
    issuer, events = Issuer(), events or Events()
    settings = MongoSettings(mongo_url=SecretStr(mongo_url), mongo_database=database)
    async with (
        mongo.opened(settings) as opened,
        Publication(events, backlog_items=10_000, backlog_bytes=10**8, end_seconds=0.5) as publication,
        MongoChanges(opened) as changes,
    ):
        store = CountingStore(opened)
        async with Acceptor(
            store, publication, pending_items=10_000, pending_bytes=10**8, concurrent_flushes=flushes
        ) as acceptor:
            use = Notifications(
                store=store,
                acceptor=acceptor,
                feed=changes,
                pages=PageTokens(PageSettings(page_token_key=SecretStr("sixteen characters"))),
                clock=utc_now,
                ids=ids,
                retention=RETENTION,
                max_watchers=watchers,
            )
            servicers: dict[str, Add] = {
                "clarion.notification.v1.NotificationService": partial(
                    add_NotificationServiceServicer_to_server, NotificationApi(use)
                ),
                TEMPLATES.full_name: unserved(TEMPLATES),
            }
            async with served(servicers, issuer) as channel:
                yield World(
                    channel, NotificationServiceStub(channel), store, changes, events, opened.notifications, issuer
                )


@pytest.fixture
async def world(mongo_url: str, mongo_database: str) -> AsyncIterator[World]:
    """The service on a real MongoDB, with Kafka in memory."""
    async with serving(mongo_url=mongo_url, database=mongo_database) as made:
        await made.store.create_indexes()
        yield made


@asynccontextmanager
async def kafka_events(bootstrap: str, prefix: str = "") -> AsyncIterator[KafkaEvents]:
    """Events that go to this Kafka."""
    async with kafka.publisher(KafkaSettings(kafka_bootstrap=bootstrap, topic_prefix=prefix)) as publisher:
        yield KafkaEvents(publisher)


async def until(condition: Callable[[], bool]) -> None:
    """Return once it holds; it must within ten seconds."""
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never held")
