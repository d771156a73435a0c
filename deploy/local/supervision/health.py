"""Questions to a process that tell whether it is ready: a gRPC health check, or a port that accepts."""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health_pb2

from deploy.local.machine.ports import LOOPBACK

_CHECK = "/grpc.health.v1.Health/Check"
_SECONDS = 2.0


async def accepts(port: int) -> bool:
    """Say whether something on loopback accepts connections on this port."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(LOOPBACK, port), _SECONDS)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def serving(port: int) -> bool:
    """Say whether the server on this port of loopback answers SERVING for itself as a whole."""
    if not await accepts(port):
        return False
    async with grpc.aio.insecure_channel(
        f"{LOOPBACK}:{port}", options=[("grpc.use_local_subchannel_pool", 1)]
    ) as channel:
        check = channel.unary_unary(
            _CHECK,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=_SECONDS)
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
