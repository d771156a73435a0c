"""Dead tokens leave by Kafka, and what cannot be read stops nothing; the process itself starts, serves and drains."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest
from clarion.device import v1
from clarion.events.v1 import DeviceEvent
from clarion.type.v1 import DeviceAddress, Platform
from google.protobuf.timestamp_pb2 import Timestamp

from deploy.local.composition.topics import create_topics
from services import topics
from services.device import consumer
from services.device.domain import UserKey
from services.device.service import Devices
from services.runtime import kafka
from services.runtime.consumption import UNPARSABLE, Consumption
from services.runtime.settings import KafkaSettings
from tests.integration.device.conftest import PAGE_KEY
from tests.processes import serving
from tests.serving import published_keys
from tests.unit.device.builders import address, at

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc

    from services.device.domain import GoneToken
    from services.runtime.kafka import Received
    from tests.integration.device.conftest import Stack
    from tests.serving import Issuer

SECONDS = 60
ADDRESS = DeviceAddress(platform=Platform.PLATFORM_ANDROID, app="shop", token="token-1")


@pytest.fixture
def bus(kafka_bootstrap: str) -> KafkaSettings:
    """Topics of this test's own."""
    prefix = f"{uuid.uuid4().hex[:8]}."
    create_topics(kafka_bootstrap, prefix=prefix)
    return KafkaSettings(kafka_bootstrap=kafka_bootstrap, topic_prefix=prefix)


def event(token: str, *, when: float, tenant: str = "acme") -> kafka.Record:
    time = Timestamp()
    time.FromDatetime(at(when))
    gone = DeviceEvent.TokenGone(
        address=DeviceAddress(platform=ADDRESS.platform, app="shop", token=token), gone_time=time
    )
    message = DeviceEvent(tenant=tenant, time=time, token_gone=gone)
    return record(message.SerializeToString())


def record(value: bytes) -> kafka.Record:
    # One key, therefore one partition: what follows the unreadable has to pass it.
    return kafka.Record(topic=topics.DEVICE_EVENTS, key=b"ada", value=value)


async def register(stack: Stack, token: str, *, when: float, tenant: str = "acme") -> None:
    then = Devices(devices=stack.device_store, reachability=stack.reachability, clock=lambda: at(when))
    await then.register(tenant, "ada", address(token), "")


async def drop(bus: KafkaSettings, stack: Stack, *, group: str, until: int) -> None:
    """Consume from the start until so many events were handled."""
    handled = 0

    async def handle(gone: Sequence[GoneToken]) -> None:
        nonlocal handled
        await consumer.GoneTokens(stack.devices).handle(gone)
        handled += len(gone)

    async with (
        kafka.publisher(bus) as publisher,
        kafka.source(bus, group=group, topics=[topics.DEVICE_EVENTS]) as source,
        asyncio.timeout(SECONDS),
    ):
        consumption = Consumption(
            name="device-events", source=source, publisher=publisher, parse=consumer.parse, handle=handle
        )
        while handled < until:
            await consumption.step()


async def read_one(bus: KafkaSettings, topic: str) -> Received:
    async with kafka.source(bus, group="reader", topics=[topic]) as source, asyncio.timeout(SECONDS):
        while True:
            for message in await source.read(1, 0.2):
                return message


async def test_dead_tokens_are_dropped_past_what_cannot_be_read_and_redelivery_is_harmless(
    stack: Stack, bus: KafkaSettings
) -> None:
    await register(stack, "dead", when=1)
    await register(stack, "back-again", when=9)
    await register(stack, "dead", when=1, tenant="other")
    assert len((await stack.reachability.resolve([UserKey("acme", "ada")]))[0].devices) == 2
    async with kafka.publisher(bus) as publisher:
        await publisher.publish(
            [
                record(b"\xff not protobuf"),
                event("dead", when=5),
                event("back-again", when=5),
                event("dead", when=5),
                event("never-registered", when=5),
            ]
        )
    await drop(bus, stack, group="device", until=4)

    async def left() -> dict[str, list[str]]:
        users = [UserKey("acme", "ada"), UserKey("other", "ada")]
        answers = await stack.reachability.resolve(users)
        return {
            user.tenant: [each.token for each in answer.devices] for user, answer in zip(users, answers, strict=True)
        }

    assert await left() == {"acme": ["back-again"], "other": ["dead"]}
    letter = await read_one(bus, topics.DEAD_LETTERS)
    assert (letter.value, letter.key) == (b"\xff not protobuf", b"ada")
    assert (letter.headers["reason"], letter.headers["source-topic"]) == (UNPARSABLE, topics.DEVICE_EVENTS)
    # Registered again since; the old events come once more, as after a lost commit.
    await register(stack, "dead", when=20)
    await drop(bus, stack, group="again", until=4)
    assert await left() == {"acme": ["dead", "back-again"], "other": ["dead"]}


async def test_the_process_serves_consumes_and_drains(
    mongo_url: str, mongo_database: str, redis_url: str, bus: KafkaSettings, issuer: Issuer
) -> None:
    async with published_keys(issuer) as url, asyncio.timeout(SECONDS):
        environment = {
            "CLARION_MONGO_URL": mongo_url,
            "CLARION_MONGO_DATABASE": mongo_database,
            "CLARION_REDIS_URL": redis_url,
            "CLARION_KAFKA_BOOTSTRAP": bus.kafka_bootstrap,
            "CLARION_TOPIC_PREFIX": bus.topic_prefix,
            "CLARION_ISSUER": url,
            "CLARION_PAGE_TOKEN_KEY": PAGE_KEY,
        }
        async with serving("services.device", environment) as (process, channel):
            await _register_and_lose(channel, issuer.metadata("registrar", "service", issuer=url), bus)
            process.terminate()
            assert await process.end() == 0
            assert process.names[-2:] == ["process_draining", "process_ended"]


async def _register_and_lose(
    channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...], bus: KafkaSettings
) -> None:
    stub = v1.DeviceServiceStub(channel)
    request = v1.RegisterDeviceRequest(user_id="ada", address=ADDRESS)
    registered = (await stub.RegisterDevice(request, metadata=metadata)).device
    gone = DeviceEvent(
        tenant="acme",
        token_gone=DeviceEvent.TokenGone(address=ADDRESS, gone_time=registered.register_time),
    )
    async with kafka.publisher(bus) as publisher:
        await publisher.publish([record(gone.SerializeToString())])
    resolve = v1.ResolveRecipientsRequest(users=[v1.UserKey(tenant="acme", user_id="ada")])
    while True:
        answer = await stub.ResolveRecipients(resolve, metadata=metadata)
        if not answer.recipients[0].found:
            return
        await asyncio.sleep(0.05)
