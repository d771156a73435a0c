"""The stack's Envoy hands a call to the service that it names."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2

from deploy.local.composition import envoy
from deploy.local.machine.ports import free_ports
from deploy.local.supervision.health import accepts
from deploy.local.supervision.spec import ProcessSpec, Rank
from deploy.local.supervision.state import StateFile
from deploy.local.supervision.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_METHOD = "/grpc.health.v1.Health/Check"


@asynccontextmanager
async def service(port: int, says: str) -> AsyncIterator[None]:
    """Serve one method that answers with a name in its trailers."""

    async def check(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        context.set_trailing_metadata((("served-by", says),))
        return health_pb2.HealthCheckResponse().SerializeToString()

    server = grpc.aio.server()
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    yield
    await server.stop(0.1)


async def served_by(outbound: int, authority: str) -> str:
    """Call through Envoy and tell who answered."""
    async with grpc.aio.insecure_channel(
        f"127.0.0.1:{outbound}", options=[("grpc.default_authority", authority)]
    ) as channel:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_METHOD)
        call = method(b"", timeout=10)
        await call
        return str(dict(await call.trailing_metadata())["served-by"])


@pytest.fixture
async def outbound(tmp_path: Path) -> AsyncIterator[int]:
    listen, auth, device, nobody = free_ports(4)
    ports = {"auth": auth, "device": device, "retry": nobody}
    proxy = envoy.Envoy(executable=envoy.find({"PATH": ""}), folder=tmp_path, listen=listen, services=ports)
    spec = ProcessSpec(
        name="envoy",
        rank=Rank.PEER,
        command=proxy.command,
        ready=lambda: accepts(listen),
        attempts=1,
    )
    supervisor = Supervisor([spec], logs=tmp_path, state=StateFile(tmp_path / "state.json"))
    async with service(auth, "auth"), service(device, "device"):
        try:
            await supervisor.start()
            yield listen
        finally:
            await supervisor.stop()


async def test_the_authority_names_the_service(outbound: int) -> None:
    assert await served_by(outbound, "auth.clarion.svc.cluster.local") == "auth"
    assert await served_by(outbound, "device.clarion.svc.cluster.local:80") == "device"


async def test_a_service_that_is_down_is_unavailable_at_once(outbound: int) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await served_by(outbound, "retry.clarion.svc.cluster.local")
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_name_nobody_has_is_unimplemented(outbound: int) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await served_by(outbound, "nobody.clarion.svc.cluster.local")
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
