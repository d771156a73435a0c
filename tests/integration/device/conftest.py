"""The device service on real engines, in the test's own process."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest
from clarion.device import v1
from pydantic import SecretStr

from services.device.adapters.mongo import prepare
from services.device.adapters.mongo_devices import MongoDeviceRepository
from services.device.adapters.mongo_recipients import MongoRecipientRepository
from services.device.adapters.redis import RedisReachCache
from services.device.api import DeviceApi, RecipientApi
from services.device.service import Devices, Reachability, Recipients
from services.runtime import mongo, redis
from services.runtime.clock import utc_now
from services.runtime.pages import PageTokens
from services.runtime.settings import MongoSettings, PageSettings, RedisSettings
from tests.serving import Issuer, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import grpc
    from motor.motor_asyncio import AsyncIOMotorDatabase
    from redis.asyncio import Redis

    from services.runtime.mongo import Document

PAGE_KEY = "a key of 16 characters and more"
CACHE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The use cases on real stores, and the stores' clients."""

    database: AsyncIOMotorDatabase[Document]
    client: Redis
    device_store: MongoDeviceRepository
    recipient_store: MongoRecipientRepository
    cache: RedisReachCache
    reachability: Reachability
    devices: Devices
    recipients: Recipients


@asynccontextmanager
async def stack_on(database: AsyncIOMotorDatabase[Document], redis_url: str) -> AsyncIterator[Stack]:
    async with redis.opened(RedisSettings(redis_url=SecretStr(redis_url))) as client:
        await prepare(database)
        device_store, recipient_store = MongoDeviceRepository(database), MongoRecipientRepository(database)
        cache = RedisReachCache(client, answer_seconds=CACHE_SECONDS, unknown_seconds=CACHE_SECONDS / 6)
        reachability = Reachability(devices=device_store, recipients=recipient_store, cache=cache)
        yield Stack(
            database=database,
            client=client,
            device_store=device_store,
            recipient_store=recipient_store,
            cache=cache,
            reachability=reachability,
            devices=Devices(devices=device_store, reachability=reachability, clock=utc_now),
            recipients=Recipients(recipients=recipient_store, devices=device_store, reachability=reachability),
        )


@pytest.fixture
async def database(mongo_url: str, mongo_database: str) -> AsyncIterator[AsyncIOMotorDatabase[Document]]:
    settings = MongoSettings(mongo_url=SecretStr(mongo_url), mongo_database=mongo_database)
    async with mongo.opened(settings) as opened:
        yield opened


@pytest.fixture
async def stack(database: AsyncIOMotorDatabase[Document], redis_url: str) -> AsyncIterator[Stack]:
    async with stack_on(database, redis_url) as made:
        yield made


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses connections: bound by this test, listened on by nobody."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
async def channel(stack: Stack, issuer: Issuer) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to both services behind the real guard."""
    pages = PageTokens(PageSettings(page_token_key=SecretStr(PAGE_KEY)))
    servicers = {
        "clarion.device.v1.DeviceService": partial(
            v1.add_DeviceServiceServicer_to_server,
            DeviceApi(devices=stack.devices, reachability=stack.reachability, pages=pages),
        ),
        "clarion.device.v1.RecipientService": partial(
            v1.add_RecipientServiceServicer_to_server, RecipientApi(recipients=stack.recipients, clock=utc_now)
        ),
    }
    async with served(servicers, issuer) as opened:
        yield opened
