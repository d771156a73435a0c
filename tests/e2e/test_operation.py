"""What those who run it rely on: grpcurl without files, health, metrics."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from clarion.notification.v1 import ListNotificationsRequest, ListTemplatesRequest
from grpc_health.v1 import health_pb2

from deploy.local.demo.letters import Peer
from tests.e2e.refusals import refusal
from tests.e2e.world import SECONDS

if TYPE_CHECKING:
    from tests.e2e.world import World

SERVICES = {
    "auth": {"clarion.auth.v1.AuthService"},
    "notification": {"clarion.notification.v1.NotificationService", "clarion.notification.v1.TemplateService"},
    "device": {"clarion.device.v1.DeviceService", "clarion.device.v1.RecipientService"},
    "delivery": {"clarion.delivery.v1.DeliveryService"},
    "retry": {"clarion.retry.v1.RetryService"},
    "analytics": {"clarion.analytics.v1.AnalyticsService"},
    "processor": set(),
}
OPEN = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", "grpc.channelz.v1.Channelz"}


async def grpcurl(world: World, *arguments: str, code: int = 0) -> str:
    """Run the program as people do, in a folder that holds no proto files."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("grpcurl")),
        *("-plaintext", "-max-time", str(int(SECONDS)), *arguments),
        cwd=world.stack.folder.path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == code, errors.decode()
    return output.decode() + errors.decode()


@pytest.mark.parametrize("service", SERVICES)
async def test_grpcurl_finds_what_there_is_by_reflection(world: World, service: str) -> None:
    address = world.stack.addresses.grpc[service]
    assert set((await grpcurl(world, address, "list")).split()) == SERVICES[service] | OPEN
    for name in SERVICES[service]:
        assert f"service {name.rpartition('.')[2]}" in await grpcurl(world, address, "describe", name)


async def test_grpcurl_sends_a_notification(world: World) -> None:
    stranger = world.stranger()
    word, _ = world.content(Peer.SMS)
    message = {
        "recipients": [{"address": {"phone": stranger.phone}}],
        "content": {"sms": {"body": f"Text {word}"}},
    }
    address = world.stack.addresses.grpc["notification"]
    method = "clarion.notification.v1.NotificationService/SendNotification"
    header = f"{world.tenant.metadata[0][0]}: {world.tenant.metadata[0][1]}"
    answer = json.loads(await grpcurl(world, "-H", header, "-d", json.dumps(message), address, method))
    assert answer["state"] == "NOTIFICATION_STATE_ACCEPTED"
    await world.final(answer["notification_id"])
    assert [each.body for each in await world.letters(Peer.SMS, stranger.phone)] == [f"Text {word}"]
    message["recipients"] = [{"address": {"phone": "911"}}]
    refused = await grpcurl(world, "-H", header, "-d", json.dumps(message), address, method, code=67)
    assert "recipients[0].address.phone" in refused


@pytest.mark.parametrize("service", SERVICES)
async def test_health_is_told_for_the_process_and_for_each_service(world: World, service: str) -> None:
    async with grpc.aio.insecure_channel(world.stack.addresses.grpc[service]) as channel:
        watching = _watching(channel)
        for name in ("", *SERVICES[service]):
            watch = watching(health_pb2.HealthCheckRequest(service=name), timeout=SECONDS)
            assert (await anext(aiter(watch))).status == health_pb2.HealthCheckResponse.SERVING
            watch.cancel()


async def test_a_watcher_of_health_sees_the_end_coming(world: World) -> None:
    async with grpc.aio.insecure_channel(world.stack.addresses.grpc["analytics"]) as channel:
        watching = _watching(channel)
        watch = aiter(watching(health_pb2.HealthCheckRequest(), timeout=SECONDS))
        assert (await anext(watch)).status == health_pb2.HealthCheckResponse.SERVING
        stopping = asyncio.create_task(world.stack.stop_process("analytics"))
        try:
            assert (await anext(watch)).status == health_pb2.HealthCheckResponse.NOT_SERVING
        finally:
            await stopping
            await world.stack.start_process("analytics")


@pytest.mark.parametrize("service", SERVICES)
async def test_every_process_counts_its_calls(world: World, service: str) -> None:
    async with world.http.get(world.stack.addresses.metrics[service]) as answer:
        assert answer.status == 200
        text = await answer.text()
    for name in ("clarion_rpcs_total", "clarion_rpc_seconds", "clarion_rpcs_in_flight", "process_cpu_seconds_total"):
        assert f"# HELP {name}" in text
    method = "/clarion.notification.v1.NotificationService/ListNotifications"
    if service == "notification":
        before = await world.metric(service, "clarion_rpcs_total", method=method, code="UNAUTHENTICATED")
        with pytest.raises(grpc.aio.AioRpcError):
            await world.call(world.tenant.notifications.ListNotifications, ListNotificationsRequest(), metadata=())
        after = await world.metric(service, "clarion_rpcs_total", method=method, code="UNAUTHENTICATED")
        assert after == before + 1


async def test_what_is_not_served_yet_says_so(world: World) -> None:
    no = await refusal(world.call(world.tenant.templates.ListTemplates, ListTemplatesRequest()))
    assert no.code is grpc.StatusCode.UNIMPLEMENTED


def _watching(channel: grpc.aio.Channel) -> Any:
    return channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
