"""The life of a process: how it starts, what it says if it cannot, and in what order it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest
from clarion.analytics import v1 as analytics
from clarion.retry import v1 as retry
from grpc_health.v1 import health_pb2

from deploy.local.machine.ports import free_ports
from tests.integration.runtime.stand_in import METHOD, SERVICE
from tests.processes import serving, started
from tests.serving import AUDIENCE, ISSUER, Issuer, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STAND_IN = "tests.integration.runtime.stand_in"
SERVING, NOT_SERVING = (
    health_pb2.HealthCheckResponse.SERVING,
    health_pb2.HealthCheckResponse.NOT_SERVING,
)


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def environment(issuer: Issuer) -> dict[str, str]:
    return {
        "CLARION_GRPC_PORT": "0",
        "CLARION_METRICS_PORT": "0",
        "CLARION_ISSUER": ISSUER,
        "CLARION_AUDIENCE": AUDIENCE,
        "STAND_IN_KEY": json.dumps(issuer.jwk),
    }


def wait(channel: grpc.aio.Channel, issuer: Issuer) -> Any:
    call: Any = channel.unary_unary(METHOD)
    return call(b"", metadata=issuer.metadata("admin"))


def watch(channel: grpc.aio.Channel, service: str = "") -> AsyncIterator[health_pb2.HealthCheckResponse]:
    call: Any = channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    return aiter(call(health_pb2.HealthCheckRequest(service=service)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_drains_before_it_ends(environment: dict[str, str], issuer: Issuer, number: signal.Signals) -> None:
    async with serving(STAND_IN, environment) as (process, channel):
        health = [watch(channel), watch(channel, SERVICE)]
        assert [(await anext(each)).status for each in health] == [SERVING, SERVING]
        calling = asyncio.ensure_future(wait(channel, issuer))
        await process.until("call_entered")
        os.kill(process.pid, number)
        # Health says so while the call is still under way.
        assert [(await anext(each)).status for each in health] == [NOT_SERVING, NOT_SERVING]
        await process.until("work_stopped")
        assert not calling.done()
        os.kill(process.pid, signal.SIGUSR1)
        assert await calling == b"done"
        assert await process.end() == 0
    assert process.names == [
        "process_serving",
        "call_entered",
        "process_draining",
        "work_stopped",
        "call_finished",
        "resource_closed",
        "resource_closed",
        "process_ended",
    ]
    assert [event["resource"] for event in process.events if "resource" in event] == ["second", "first"]


async def test_a_new_call_is_refused_while_it_drains(environment: dict[str, str], issuer: Issuer) -> None:
    async with serving(STAND_IN, environment) as (process, channel):
        calling = asyncio.ensure_future(wait(channel, issuer))
        port = process.events[-1]["port"]
        await process.until("call_entered")
        process.terminate()
        await process.until("work_stopped")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as another:
            # gRPC says either, depending on how far it got; callers read both as: elsewhere, or later.
            refused = await refusal(wait(another, issuer))
            assert refused.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        os.kill(process.pid, signal.SIGUSR1)
        assert await calling == b"done"


async def test_what_does_not_finish_is_cut_off_when_the_time_to_drain_is_over(
    environment: dict[str, str], issuer: Issuer
) -> None:
    change = {"CLARION_DRAIN_SECONDS": "0.5", "STAND_IN_ENDS": "never"}
    async with serving(STAND_IN, environment | change) as (process, channel):
        calling = asyncio.ensure_future(wait(channel, issuer))
        await process.until("call_entered")
        process.terminate()
        assert await process.end() == 0
        assert (await refusal(calling)).code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    assert [event["work"] for event in process.events if event["event"] == "work_cut_off"] == ["work"]
    assert process.names[-3:] == ["resource_closed", "resource_closed", "process_ended"]


async def test_work_that_fails_ends_the_process(environment: dict[str, str]) -> None:
    async with started(STAND_IN, environment | {"STAND_IN_ENDS": "by failing"}) as process:
        assert await process.end() == 1
    (failure,) = [event for event in process.events if event["event"] == "process_failed"]
    assert "the work failed" in failure["exception"]
    assert process.names.count("resource_closed") == 2


async def complaint(environment: dict[str, str], module: str = STAND_IN) -> str:
    async with started(module, environment) as process:
        assert await process.end() == 2
        assert process.events == []
        said = await process.complaint()
    assert said.count("\n") == 1
    return said


async def test_missing_settings_are_listed_in_one_line() -> None:
    said = await complaint({}, "services.retry")
    assert said.startswith("clarion retry: cannot start: ")
    for name in ("CLARION_GRPC_PORT", "CLARION_METRICS_PORT", "CLARION_ISSUER"):
        assert f"{name}: Field required, for example" in said


@pytest.mark.parametrize("name", ["CLARION_GRPC_PORT", "CLARION_METRICS_PORT"])
async def test_a_port_that_is_taken_is_named_in_one_line(environment: dict[str, str], name: str) -> None:
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", port)):
        async with started(STAND_IN, environment | {name: str(port)}) as process:
            assert await process.end() == 2
            said = await process.complaint()
    assert said.startswith("clarion stand-in: cannot start: ")
    assert str(port) in said
    assert name in said
    assert said.count("\n") == 1


async def test_an_engine_that_is_not_there_is_named_in_one_line(environment: dict[str, str]) -> None:
    said = await complaint(environment | {"STAND_IN_ENDS": "before it begins"})
    assert said == "clarion stand-in: cannot start: an engine is not there\n"


async def test_metrics_are_served_on_a_port_of_their_own(environment: dict[str, str], issuer: Issuer) -> None:
    (port,) = free_ports(1)
    async with serving(STAND_IN, environment | {"CLARION_METRICS_PORT": str(port)}) as (process, channel):
        calling = asyncio.ensure_future(wait(channel, issuer))
        await process.until("call_entered")
        os.kill(process.pid, signal.SIGUSR1)
        await calling
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as response:
            text = await response.text()
    assert f'clarion_rpcs_total{{code="OK",method="{METHOD}"}} 1.0' in text


async def test_every_line_of_the_log_is_json_with_service_level_and_time(environment: dict[str, str]) -> None:
    async with serving(STAND_IN, environment) as (process, _):
        process.terminate()
        assert await process.end() == 0
        assert await process.complaint() == ""
    for event in process.events:
        assert event["service"] == "stand-in"
        assert event["level"] == "info"
        assert event["timestamp"].endswith("Z")


async def test_a_calls_lines_name_its_tenant(environment: dict[str, str], issuer: Issuer) -> None:
    async with serving(STAND_IN, environment) as (process, channel):
        calling = asyncio.ensure_future(wait(channel, issuer))
        assert (await process.until("call_entered"))["tenant"] == "acme"
        calling.cancel()


@pytest.mark.parametrize(
    ("module", "stub", "request_"),
    [
        ("services.retry", retry.RetryServiceStub, retry.ListDeadLettersRequest()),
        ("services.analytics", analytics.AnalyticsServiceStub, analytics.QueryStatsRequest()),
    ],
)
async def test_services_whose_time_has_not_come_start_and_are_guarded(
    environment: dict[str, str], module: str, stub: Any, request_: Any
) -> None:
    async with serving(module, environment) as (process, channel):
        method = "ListDeadLetters" if module == "services.retry" else "QueryStats"
        refused = await refusal(getattr(stub(channel), method)(request_))
        assert refused.code is grpc.StatusCode.UNAUTHENTICATED
        process.terminate()
        assert await process.end() == 0
