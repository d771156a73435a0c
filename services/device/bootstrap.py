"""Constructs the device service."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from clarion.device import v1

from services import access, topics
from services.device import consumer, messages
from services.device.adapters.mongo import prepare
from services.device.adapters.mongo_devices import MongoDeviceRepository
from services.device.adapters.mongo_recipients import MongoRecipientRepository
from services.device.adapters.redis import RedisReachCache
from services.device.api import DeviceApi, RecipientApi
from services.device.service import Devices, Reachability, Recipients
from services.runtime import kafka, mongo, redis
from services.runtime.clock import utc_now
from services.runtime.consumption import Consumption
from services.runtime.identity import KeySet, Verifier
from services.runtime.pages import PageTokens

if TYPE_CHECKING:
    from services.device.settings import DeviceSettings
    from services.runtime.process import Process

GROUP = "device"


async def build(process: Process[DeviceSettings]) -> None:
    """Open the stores, make what is missing in them, consume, serve."""
    settings = process.settings
    database = await process.open(mongo.opened(settings))
    client = await process.open(redis.opened(settings))
    publisher = await process.open(kafka.publisher(settings))
    source = await process.open(kafka.source(settings, group=GROUP, topics=[topics.DEVICE_EVENTS]))
    await prepare(database)
    messages.time_zones()

    device_store, recipient_store = MongoDeviceRepository(database), MongoRecipientRepository(database)
    cache = RedisReachCache(
        client,
        answer_seconds=settings.device_cache_seconds,
        unknown_seconds=settings.device_unknown_cache_seconds,
    )
    reachability = Reachability(devices=device_store, recipients=recipient_store, cache=cache)
    devices = Devices(devices=device_store, reachability=reachability, clock=utc_now)
    recipients = Recipients(recipients=recipient_store, devices=device_store, reachability=reachability)

    consumption = Consumption(
        name=topics.DEVICE_EVENTS,
        source=source,
        publisher=publisher,
        parse=consumer.parse,
        handle=consumer.GoneTokens(devices).handle,
    )
    process.work("device-events", consumption.run, stop=consumption.stop)
    process.admit(Verifier(settings, KeySet(settings.issuer)), access.ACCESS)
    process.serve(
        {
            "clarion.device.v1.DeviceService": partial(
                v1.add_DeviceServiceServicer_to_server,
                DeviceApi(devices=devices, reachability=reachability, pages=PageTokens(settings)),
            ),
            "clarion.device.v1.RecipientService": partial(
                v1.add_RecipientServiceServicer_to_server, RecipientApi(recipients=recipients, clock=utc_now)
            ),
        }
    )
