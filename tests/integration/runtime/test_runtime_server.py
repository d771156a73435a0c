"""The server that every process has, called over the wire."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from clarion.auth import v1
from clarion.auth.v1 import auth_service_pb2
from clarion.notification.v1 import notification_service_pb2
from grpc_channelz.v1 import channelz_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from prometheus_client import REGISTRY

from services.runtime import deadline, identity
from services.runtime.errors import Conflict, InvalidInput, RateLimited, StartupError, Violation
from services.runtime.server import Guard, Server
from services.runtime.unserved import unserved
from tests.serving import Issuer, refusal, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from services.runtime.server import Add, Context

AUTH = "clarion.auth.v1.AuthService"
NOTIFICATION = "clarion.notification.v1.NotificationService"
GET = v1.GetClientRequest(client_id="shop")


class Behaviour:
    """A servicer with one method, GetClient, that does what a test lays down."""

    def __init__(self) -> None:
        self.act: Callable[[], Awaitable[None]] | None = None
        self.left: float | None = None
        self.caller: identity.Principal | None = None

    def add(self, server: grpc.aio.Server) -> None:
        handler = grpc.unary_unary_rpc_method_handler(
            self._get_client, v1.GetClientRequest.FromString, v1.GetClientResponse.SerializeToString
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(AUTH, {"GetClient": handler}),))

    async def _get_client(self, request: v1.GetClientRequest, context: Context) -> v1.GetClientResponse:
        self.left, self.caller = deadline.remaining(), identity.current()
        if self.act is not None:
            await self.act()
        return v1.GetClientResponse()

    def fails_with(self, error: BaseException) -> None:
        async def act() -> None:
            raise error

        self.act = act


@pytest.fixture
def behaviour() -> Behaviour:
    return Behaviour()


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
async def channel(behaviour: Behaviour, issuer: Issuer) -> AsyncIterator[grpc.aio.Channel]:
    async with served({AUTH: behaviour.add}, issuer) as channel:
        yield channel


@pytest.fixture
def admin(issuer: Issuer) -> tuple[tuple[str, str], ...]:
    return issuer.metadata("admin")


def counted(code: str) -> float:
    labels = {"method": f"/{AUTH}/GetClient", "code": code}
    return REGISTRY.get_sample_value("clarion_rpcs_total", labels) or 0.0


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", "Bearer"),),
        (("authorization", "Bearer made-up"),),
        (("authorization", "Basic c2hvcDpzZWNyZXQ="),),
        (("x-authorization", "Bearer x"),),
    ],
    ids=str,
)
async def test_without_a_token_nobody_calls(
    channel: grpc.aio.Channel, behaviour: Behaviour, metadata: tuple[tuple[str, str], ...]
) -> None:
    refused = await refusal(v1.AuthServiceStub(channel).GetClient(GET, metadata=metadata))
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert behaviour.caller is None


async def test_without_the_role_the_method_is_not_entered(
    channel: grpc.aio.Channel, behaviour: Behaviour, issuer: Issuer
) -> None:
    refused = await refusal(v1.AuthServiceStub(channel).GetClient(GET, metadata=issuer.metadata("sender", "service")))
    assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING")
    assert behaviour.caller is None


async def test_the_method_knows_its_caller(channel: grpc.aio.Channel, behaviour: Behaviour, issuer: Issuer) -> None:
    await v1.AuthServiceStub(channel).GetClient(GET, metadata=issuer.metadata("admin", tenant="globex"))
    assert behaviour.caller == identity.Principal(subject="tester", tenant="globex", roles=frozenset({"admin"}))


async def test_the_callers_deadline_reaches_the_method(
    channel: grpc.aio.Channel, behaviour: Behaviour, admin: Any
) -> None:
    auth = v1.AuthServiceStub(channel)
    await auth.GetClient(GET, metadata=admin, timeout=30)
    assert behaviour.left == pytest.approx(30, abs=5)
    await auth.GetClient(GET, metadata=admin)
    assert behaviour.left is None


async def test_a_call_whose_time_is_over_is_cancelled_and_counted_as_such(
    channel: grpc.aio.Channel, behaviour: Behaviour, admin: Any
) -> None:
    ended = asyncio.Event()

    async def act() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    behaviour.act = act
    before = counted("CANCELLED")
    refused = await refusal(v1.AuthServiceStub(channel).GetClient(GET, metadata=admin, timeout=0.2))
    assert refused.code is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(10):
        await ended.wait()
    assert counted("CANCELLED") == before + 1


async def test_an_error_of_the_taxonomy_arrives_with_its_details(
    channel: grpc.aio.Channel, behaviour: Behaviour, admin: Any
) -> None:
    auth = v1.AuthServiceStub(channel)
    behaviour.fails_with(RateLimited("slowly", reason="QUOTA", retry_after=1.5))
    refused = await refusal(auth.GetClient(GET, metadata=admin))
    assert (refused.code, refused.reason, refused.retry_after) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA", 1.5)
    behaviour.fails_with(InvalidInput([Violation("a", "is wrong"), Violation("b", "as well")]))
    refused = await refusal(auth.GetClient(GET, metadata=admin))
    assert (refused.code, refused.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("a", "b"))
    behaviour.fails_with(Conflict())
    assert (await refusal(auth.GetClient(GET, metadata=admin))).code is grpc.StatusCode.ABORTED


async def test_everything_that_is_wrong_arrives_even_if_it_is_much(
    channel: grpc.aio.Channel, behaviour: Behaviour, admin: Any
) -> None:
    behaviour.fails_with(InvalidInput([Violation(f"items[{number}]", "x" * 300) for number in range(1001)]))
    refused = await refusal(v1.AuthServiceStub(channel).GetClient(GET, metadata=admin))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.fields[0] == "items[0]"


async def test_a_failure_of_ours_is_internal_without_its_text(
    channel: grpc.aio.Channel, behaviour: Behaviour, admin: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    behaviour.fails_with(ZeroDivisionError("inner detail"))
    refused = await refusal(v1.AuthServiceStub(channel).GetClient(GET, metadata=admin))
    assert refused.code is grpc.StatusCode.INTERNAL
    assert "inner detail" not in refused.message
    assert "Trace id: " in refused.message


async def test_a_body_of_more_than_16_mib_is_refused(channel: grpc.aio.Channel, admin: Any) -> None:
    request = v1.GetClientRequest(client_id="x" * (16 * 1024 * 1024 + 1))
    refused = await refusal(v1.AuthServiceStub(channel).GetClient(request, metadata=admin))
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_every_call_is_counted_by_its_code(channel: grpc.aio.Channel, behaviour: Behaviour, admin: Any) -> None:
    before = counted("OK"), counted("ABORTED")
    auth = v1.AuthServiceStub(channel)
    await auth.GetClient(GET, metadata=admin)
    behaviour.fails_with(Conflict())
    await refusal(auth.GetClient(GET, metadata=admin))
    assert (counted("OK"), counted("ABORTED")) == (before[0] + 1, before[1] + 1)
    assert REGISTRY.get_sample_value("clarion_rpcs_in_flight") == 0


async def test_health_is_told_for_the_process_and_each_service_without_a_token(channel: grpc.aio.Channel) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)
    for name in ("", AUTH):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    refused = await refusal(health.Check(health_pb2.HealthCheckRequest(service="made.up")))
    assert refused.code is grpc.StatusCode.NOT_FOUND


async def test_reflection_describes_the_services_without_a_token(channel: grpc.aio.Channel) -> None:
    reflect = channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    call = reflect(iter([reflection_pb2.ServerReflectionRequest(list_services=""), _symbol(AUTH)]))
    listed, described = [answer async for answer in call]
    assert AUTH in {each.name for each in listed.list_services_response.service}
    assert described.file_descriptor_response.file_descriptor_proto


def _symbol(name: str) -> reflection_pb2.ServerReflectionRequest:
    return reflection_pb2.ServerReflectionRequest(file_containing_symbol=name)


async def test_channelz_tells_of_the_server_without_a_token(channel: grpc.aio.Channel) -> None:
    get_servers = channel.unary_unary(
        "/grpc.channelz.v1.Channelz/GetServers",
        request_serializer=channelz_pb2.GetServersRequest.SerializeToString,
        response_deserializer=channelz_pb2.GetServersResponse.FromString,
    )
    answer = await get_servers(channelz_pb2.GetServersRequest())
    assert answer.server


@pytest.fixture
async def unserved_channel(issuer: Issuer) -> AsyncIterator[grpc.aio.Channel]:
    described = [
        notification_service_pb2.DESCRIPTOR.services_by_name["NotificationService"],
        auth_service_pb2.DESCRIPTOR.services_by_name["AuthService"],
    ]
    servicers: dict[str, Add] = {each.full_name: unserved(each) for each in described}
    async with served(servicers, issuer) as channel:
        yield channel


async def test_what_is_not_served_yet_says_so_to_who_may_call(
    unserved_channel: grpc.aio.Channel, issuer: Issuer
) -> None:
    call = v1.AuthServiceStub(unserved_channel).GetClient(GET, metadata=issuer.metadata("admin"))
    assert (await refusal(call)).code is grpc.StatusCode.UNIMPLEMENTED
    call = v1.AuthServiceStub(unserved_channel).GetClient(GET, metadata=issuer.metadata("sender"))
    assert (await refusal(call)).code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_stream_that_is_not_served_yet_says_so_too(unserved_channel: grpc.aio.Channel, issuer: Issuer) -> None:
    watch: Any = unserved_channel.unary_stream(f"/{NOTIFICATION}/WatchNotification")
    for roles, code in (("viewer", grpc.StatusCode.UNIMPLEMENTED), ("editor", grpc.StatusCode.PERMISSION_DENIED)):
        call = watch(b"", metadata=issuer.metadata(roles))
        assert (await refusal(anext(aiter(call)))).code is code


async def test_a_process_that_takes_no_tokens_admits_nobody(issuer: Issuer, behaviour: Behaviour) -> None:
    server = Server({AUTH: behaviour.add}, address="127.0.0.1", port=0, guard=Guard(None, {}), traced=False)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            refused = await refusal(v1.AuthServiceStub(channel).GetClient(GET, metadata=issuer.metadata("admin")))
        assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    finally:
        await server.stop(0.1)


async def test_a_port_that_is_taken_is_named_with_its_variable(behaviour: Behaviour) -> None:
    first = Server({}, address="127.0.0.1", port=0, guard=Guard(None, {}), traced=False)
    await first.start()
    try:
        with pytest.raises(StartupError, match=f"port {first.port} on 127.0.0.1 is taken.*CLARION_GRPC_PORT"):
            Server({}, address="127.0.0.1", port=first.port, guard=Guard(None, {}), traced=False)
    finally:
        await first.stop(0.1)
