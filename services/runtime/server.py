"""The gRPC server of a process: health, reflection, channelz, and one guard around every method."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import grpc
import structlog
from google.protobuf.message import DecodeError
from grpc_channelz.v1 import channelz
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status
from opentelemetry import trace
from opentelemetry.instrumentation.grpc import aio_server_interceptor, filters

from services.runtime import deadline, identity
from services.runtime.channels import MAX_MESSAGE_BYTES
from services.runtime.errors import ClarionError, InvalidInput, StartupError, Unauthenticated, Violation
from services.runtime.metrics import RPC_SECONDS, RPCS, RPCS_IN_FLIGHT
from services.runtime.status import to_status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
    from typing import Any

    from google.protobuf.message import Message

    Context = grpc.aio.ServicerContext[Any, Any]
    Method = grpc.RpcMethodHandler[Any, Any]
    Unary = Callable[[Message, Context], Awaitable[Message]]
    Stream = Callable[[Message, Context], AsyncIterator[Message]]

log = structlog.get_logger()
OPEN_SERVICES = ("grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", "grpc.channelz.v1.Channelz")
"""Served without a token: probes and grpcurl have none."""
MAX_CONCURRENT_RPCS = 2_000
SHORTEST_GRACE_SECONDS = 0.05
"""grpc.aio (seen with 1.85) crashes the process now and then when it is stopped with less, or none."""
LAST_WORD_SECONDS = 0.1
"""How long a watcher of health is kept once it is to leave, so that it hears NOT_SERVING first."""
Add = Callable[[grpc.aio.Server], None]
"""Adds one servicer to a server."""


class Guard(grpc.aio.ServerInterceptor):
    """Around every method: who calls and may they, the deadline, errors as google.rpc.Status, one metric, one log."""

    def __init__(self, verifier: identity.Verifier | None, access: Mapping[str, frozenset[str]]) -> None:
        """`access` maps `/package.Service/Method` to the roles of which one is needed."""
        self._verifier, self._access = verifier, access
        self._guarded: dict[str, Method] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Method | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Method | None:
        """Answer the method's handler with the guard around it."""
        method: str = handler_call_details.method
        if method in self._guarded:
            return self._guarded[method]
        handler = await continuation(handler_call_details)
        if handler is None or method.split("/")[1] in OPEN_SERVICES:
            return handler
        guarded = self._guard(method, handler)
        self._guarded[method] = guarded
        return guarded

    def _guard(self, method: str, handler: Method) -> Method:
        read = _reader(handler)
        if handler.unary_unary:
            unary = cast("Unary", handler.unary_unary)

            async def unary_unary(request: bytes, context: Context) -> Message:
                call = _Call(method, context)
                try:
                    await self._admit(method, context)
                    with deadline.within(context.time_remaining()):
                        answer: Message = await unary(read(request), context)
                except asyncio.CancelledError:
                    call.cancelled()
                    raise
                except Exception as exc:
                    await call.fail(exc)
                    raise
                finally:
                    call.end()
                return answer

            return grpc.unary_unary_rpc_method_handler(unary_unary, None, handler.response_serializer)
        stream = cast("Stream", handler.unary_stream)

        async def unary_stream(request: bytes, context: Context) -> AsyncIterator[Message]:
            call = _Call(method, context)
            try:
                await self._admit(method, context)
                async for answer in stream(read(request), context):
                    yield answer
            except (asyncio.CancelledError, GeneratorExit):
                call.cancelled()
                raise
            except Exception as exc:
                await call.fail(exc)
                raise
            finally:
                call.end()

        return grpc.unary_stream_rpc_method_handler(unary_stream, None, handler.response_serializer)

    async def _admit(self, method: str, context: Context) -> None:
        if self._verifier is None:
            raise Unauthenticated("this process takes no tokens")
        header = next((value for key, value in context.invocation_metadata() or () if key == "authorization"), "")
        scheme, _, token = str(header).partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("send metadata 'authorization: Bearer <access token>'")
        principal = await self._verifier.verify(token.strip())
        structlog.contextvars.bind_contextvars(tenant=principal.tenant)
        identity.authorize(principal, method, self._access)
        identity.act_as(principal)


def _reader(handler: Method) -> Callable[[bytes], Any]:
    # Behind the guard rather than before it: else bytes that are no message end a call with UNKNOWN and our own text.
    deserialize: Callable[[bytes], Any] | None = handler.request_deserializer

    def read(request: bytes) -> Any:
        try:
            return deserialize(request) if deserialize else request
        except DecodeError as exc:
            raise InvalidInput([Violation("request", "is not a message of this method")]) from exc

    return read


class _Call:
    def __init__(self, method: str, context: Context) -> None:
        self._method, self._context = method, context
        self._started = time.monotonic()
        self._code = grpc.StatusCode.OK
        structlog.contextvars.clear_contextvars()
        RPCS_IN_FLIGHT.inc()

    async def fail(self, exc: Exception) -> None:
        """End the call with the status that stands for the error."""
        status = to_status(exc)
        self._code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
        if not isinstance(exc, ClarionError):
            span = trace.get_current_span().get_span_context()
            trace_id = trace.format_trace_id(span.trace_id) if span.is_valid else "none"
            status.message += f" Trace id: {trace_id}."
            log.error("call_failed", method=self._method, error=type(exc).__name__, exc_info=exc)
        await self._context.abort_with_status(rpc_status.to_status(status))

    def cancelled(self) -> None:
        """Note that the caller went away, or its time was over."""
        self._code = grpc.StatusCode.CANCELLED

    def end(self) -> None:
        RPCS_IN_FLIGHT.dec()
        RPCS.labels(self._method, self._code.name).inc()
        took = time.monotonic() - self._started
        RPC_SECONDS.labels(self._method).observe(took)
        log.debug("call_served", method=self._method, code=self._code.name, seconds=round(took, 6))


class _Health(health.aio.HealthServicer):
    """Health whose watchers are sent away at the end: they never leave by themselves, and a drain would wait for them."""

    def __init__(self) -> None:
        super().__init__()
        self._ending = asyncio.Event()

    def send_away(self) -> None:
        self._ending.set()

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:  # noqa: N802
        watching = asyncio.create_task(super().Watch(request, context))
        ending = asyncio.create_task(self._ending.wait())
        try:
            await asyncio.wait({watching, ending}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({watching}, timeout=LAST_WORD_SECONDS)
        finally:
            watching.cancel()
            ending.cancel()


class Server:
    """A gRPC server with health, reflection and channelz. Not serving until `start`."""

    def __init__(
        self,
        servicers: Mapping[str, Add],
        *,
        address: str,
        port: int,
        guard: Guard,
        traced: bool,
    ) -> None:
        """`servicers` maps full service names to what adds them.

        Raises StartupError if the port is taken.
        """
        # Probes are no part of a trace, and the interceptor cannot take a stream that is no generator, as Watch is.
        observed = filters.negate(filters.any_of(*(filters.service_name(name) for name in OPEN_SERVICES)))
        interceptors: list[grpc.aio.ServerInterceptor] = [aio_server_interceptor(filter_=observed)] if traced else []
        self._server = grpc.aio.server(
            interceptors=[*interceptors, guard],
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
                ("grpc.max_connection_age_grace_ms", 30_000),
            ],
            maximum_concurrent_rpcs=MAX_CONCURRENT_RPCS,
        )
        self._names: Sequence[str] = ("", *servicers)
        for add in servicers.values():
            add(self._server)
        self._health = _Health()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection([*servicers, *OPEN_SERVICES], self._server)
        channelz.add_channelz_servicer(self._server)
        taken = StartupError(f"port {port} on {address} is taken: free it or set CLARION_GRPC_PORT")
        # Seen before gRPC tries, which prints lines of its own beside the one that says what to do.
        if _is_taken(address, port):
            raise taken
        try:
            self.port = self._server.add_insecure_port(f"{address}:{port}")
        except RuntimeError as exc:
            raise taken from exc

    async def start(self) -> None:
        """Take calls, and say so in health."""
        await self._server.start()
        await self._set(health_pb2.HealthCheckResponse.SERVING)

    async def announce_end(self) -> None:
        """Say NOT_SERVING while calls are still taken."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace: float) -> None:
        """Take no more calls; those under way have `grace` seconds."""
        self._health.send_away()
        await self._server.stop(max(grace, SHORTEST_GRACE_SECONDS))

    async def _set(self, status: int) -> None:
        for name in self._names:
            await self._health.set(name, status)


def _is_taken(address: str, port: int) -> bool:
    try:
        socket.create_server((address, port)).close()
    except OSError as exc:
        return exc.errno == errno.EADDRINUSE
    return False
