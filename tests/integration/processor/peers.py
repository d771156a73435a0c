"""The processor's peers as real gRPC servers on one port, with the fakes behind them, and the issuer of its token."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from aiohttp import web
from clarion.delivery.v1 import DeliverRequest, DeliverResponse, DeliverResult
from clarion.device.v1 import ResolvedRecipient, ResolveRecipientsRequest, ResolveRecipientsResponse
from clarion.notification.v1 import (
    NOTIFICATION_STATE_CANCELLED,
    NOTIFICATION_STATE_PROCESSING,
    NOTIFICATION_STATE_UNSPECIFIED,
    ProgressResult,
    ReportProgressRequest,
    ReportProgressResponse,
)
from clarion.type.v1 import DeliveryState, DeviceAddress

from services.processor.domain import Address, Channel, End, Message, Outcome, Report, Standing, User
from services.runtime.settings import CallerSettings
from tests.unit.processor.fakes import FakeDeliveries, FakeDirectory, FakeProgress, chunk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from clarion.delivery.v1 import DeliverItem
    from clarion.notification.v1 import ProgressReport
    from clarion.type.v1 import Address as ContractAddress
    from google.protobuf.message import Message as ContractMessage

Context = grpc.aio.ServicerContext[Any, Any]
LIMIT = 1000
_STATES = {
    Standing.OPEN: NOTIFICATION_STATE_PROCESSING,
    Standing.DONE: NOTIFICATION_STATE_PROCESSING,
    Standing.FINAL: NOTIFICATION_STATE_CANCELLED,
    Standing.UNKNOWN: NOTIFICATION_STATE_UNSPECIFIED,
}


@dataclass
class Peers:
    """The three services, and what they noticed."""

    progress: FakeProgress = field(default_factory=FakeProgress)
    directory: FakeDirectory = field(default_factory=FakeDirectory)
    deliveries: FakeDeliveries = field(default_factory=FakeDeliveries)
    refused: set[str] = field(default_factory=set)
    """Notifications that Deliver calls invalid."""
    statuses: list[grpc.StatusCode] = field(default_factory=list)
    """What the next Deliver calls end with, one each."""
    open_for_delivery: asyncio.Event = field(default_factory=asyncio.Event)
    delivering: asyncio.Event = field(default_factory=asyncio.Event)
    seconds_left: list[float] = field(default_factory=list)
    credentials: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.open_for_delivery.set()

    def notice(self, context: Context) -> None:
        """Keep what every call carries."""
        self.seconds_left.append(context.time_remaining() or 0.0)
        self.credentials.update(
            str(value) for key, value in context.invocation_metadata() or () if key == "authorization"
        )


class _Notification:
    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def answer(self, request: ReportProgressRequest, context: Context) -> ReportProgressResponse:
        self._peers.notice(context)
        if not 1 <= len(request.reports) <= LIMIT:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "reports")
        return ReportProgressResponse(results=[await self._one(report) for report in request.reports])

    async def _one(self, report: ProgressReport) -> ProgressResult:
        of = chunk(report.notification_id, number=report.chunk)
        progress = self._peers.progress
        (standing,) = await progress.started([of])
        if report.WhichOneof("phase") == "processed":
            counts = report.processed.progress
            await progress.processed(
                [
                    Report(
                        chunk=of,
                        counts={outcome: getattr(counts, outcome) for outcome in Outcome if getattr(counts, outcome)},
                        retrying=tuple(report.processed.retrying_delivery_ids),
                        reason=report.processed.reason,
                    )
                ]
            )
        return ProgressResult(
            notification_id=report.notification_id,
            state=_STATES[standing],
            chunk_done=standing is Standing.DONE,
        )


class _Device:
    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def answer(self, request: ResolveRecipientsRequest, context: Context) -> ResolveRecipientsResponse:
        self._peers.notice(context)
        if not 1 <= len(request.users) <= LIMIT:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "users")
        reaches = await self._peers.directory.resolve([User(user.tenant, user.user_id) for user in request.users])
        return ResolveRecipientsResponse(recipients=[_resolved(reach) for reach in reaches])


def _resolved(reach: tuple[Address, ...] | None) -> ResolvedRecipient:
    if reach is None:
        return ResolvedRecipient()
    values = {each.channel: each.value for each in reach}
    devices = [
        DeviceAddress(platform=each.platform, app=each.app, token=each.value)  # type: ignore[arg-type]  # a number
        for each in reach
        if each.channel is Channel.PUSH
    ]
    phone, email = values.get(Channel.SMS, ""), values.get(Channel.EMAIL, "")
    return ResolvedRecipient(found=True, devices=devices, phone=phone, email=email)


class _Delivery:
    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def answer(self, request: DeliverRequest, context: Context) -> DeliverResponse:
        peers = self._peers
        peers.notice(context)
        peers.delivering.set()
        await peers.open_for_delivery.wait()
        bad = [item for item in request.items if item.notification_id in peers.refused]
        if bad or not 1 <= len(request.items) <= LIMIT:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "items")
        ends = await peers.deliveries.deliver([_message(request, item) for item in request.items])
        if peers.statuses:
            await context.abort(peers.statuses.pop(0), "as laid down")
        return DeliverResponse(results=[_result(end) for end in ends])


def _message(request: DeliverRequest, item: DeliverItem) -> Message:
    address = _address(item.address)
    content = request.contents[item.content_index].SerializeToString()
    of = chunk(item.notification_id, number=item.chunk, contents={address.channel: content})
    return Message(chunk=of, user_id=item.user_id, address=address)


def _address(address: ContractAddress) -> Address:
    if address.HasField("device"):
        device = address.device
        return Address(channel=Channel.PUSH, value=device.token, platform=device.platform, app=device.app)
    if address.HasField("phone"):
        return Address(channel=Channel.SMS, value=address.phone)
    return Address(channel=Channel.EMAIL, value=address.email)


def _result(end: End) -> DeliverResult:
    state = DeliveryState.Value(f"DELIVERY_STATE_{end.outcome.name}")
    return DeliverResult(delivery_id=end.delivery_id, state=state, reason=end.reason)


def _method(
    name: str, request: type[ContractMessage], answer: Callable[..., Awaitable[ContractMessage]]
) -> grpc.GenericRpcHandler:
    service, method = name.split("/")
    served: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=request.FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )
    return grpc.method_handlers_generic_handler(f"clarion.{service}", {method: served})


@asynccontextmanager
async def serving(peers: Peers) -> AsyncIterator[str]:
    """Serve the peers; gives the one address at which all are."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (
            _method(
                "notification.v1.NotificationService/ReportProgress", ReportProgressRequest, _Notification(peers).answer
            ),
            _method("device.v1.DeviceService/ResolveRecipients", ResolveRecipientsRequest, _Device(peers).answer),
            _method("delivery.v1.DeliveryService/Deliver", DeliverRequest, _Delivery(peers).answer),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0.1)


async def _token(request: web.Request) -> web.Response:
    return web.json_response({"access_token": "made-up", "expires_in": 3600})


@asynccontextmanager
async def issuing() -> AsyncIterator[str]:
    """Give tokens to whoever asks; gives the issuer's URL."""
    app = web.Application()
    app.router.add_post("/oauth2/token", _token)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def caller(outbound: str, issuer: str) -> CallerSettings:
    """How the peers are called."""
    return CallerSettings(outbound=outbound, issuer=issuer, client_id="processor", client_secret="made-up")  # type: ignore[arg-type]  # pydantic makes it secret
