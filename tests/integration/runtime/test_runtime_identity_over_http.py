"""Keys and tokens as a service gets them from the issuer over HTTP, and the channel that carries them."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from aiohttp import web
from clarion.auth import v1
from pydantic import SecretStr

from services.runtime import deadline
from services.runtime.channels import CALL_SECONDS, Channels, ServiceToken, answered
from services.runtime.errors import DeadlineExceeded, NotFound, Unauthenticated, Unavailable
from services.runtime.identity import KEYS_LIVE_SECONDS, REFETCH_SECONDS, KeySet
from services.runtime.settings import CallerSettings
from tests.serving import KEY_ID, Issuer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Seconds:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class IssuerOverHttp:
    """An issuer with its two endpoints, and switches for what goes wrong."""

    url: str = ""
    keys: list[dict[str, Any]] = field(default_factory=lambda: [Issuer().jwk])
    status: int = 200
    hold: asyncio.Event | None = None
    asked: int = 0
    credentials: list[str] = field(default_factory=list)

    async def jwks(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.hold is not None:
            await self.hold.wait()
        return web.json_response({"keys": self.keys}, status=self.status)

    async def token(self, request: web.Request) -> web.Response:
        self.asked += 1
        scheme, _, encoded = request.headers["Authorization"].partition(" ")
        assert scheme == "Basic"
        self.credentials.append(base64.b64decode(encoded).decode())
        assert (await request.post())["grant_type"] == "client_credentials"
        answer = {"access_token": f"token-{self.asked}", "expires_in": 900}
        return web.json_response(answer, status=self.status)


@pytest.fixture
async def issuer() -> AsyncIterator[IssuerOverHttp]:
    issuer = IssuerOverHttp()
    application = web.Application()
    application.router.add_get("/.well-known/jwks.json", issuer.jwks)
    application.router.add_post("/oauth2/token", issuer.token)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    issuer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield issuer
    await runner.cleanup()


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def keys(issuer: IssuerOverHttp, seconds: Seconds) -> KeySet:
    return KeySet(issuer.url + "/", now=seconds)


async def test_keys_are_fetched_once_for_many_callers(keys: KeySet, issuer: IssuerOverHttp) -> None:
    found = await asyncio.gather(*(keys.key(KEY_ID) for _ in range(20)))
    assert {each.key_id for each in found} == {KEY_ID}
    assert issuer.asked == 1


async def test_a_new_key_is_found_but_made_up_ids_do_not_flood_the_issuer(
    keys: KeySet, issuer: IssuerOverHttp, seconds: Seconds
) -> None:
    await keys.key(KEY_ID)
    issuer.keys.append(Issuer().jwk | {"kid": "key-2"})
    seconds.now += REFETCH_SECONDS
    assert (await keys.key("key-2")).key_id == "key-2"
    for number in range(10):
        with pytest.raises(Unauthenticated):
            await keys.key(f"made-up-{number}")
    assert issuer.asked == 2


async def test_known_keys_outlast_an_issuer_that_is_away(
    keys: KeySet, issuer: IssuerOverHttp, seconds: Seconds
) -> None:
    await keys.key(KEY_ID)
    issuer.status = 500
    seconds.now += KEYS_LIVE_SECONDS + 1
    for _ in range(5):
        assert (await keys.key(KEY_ID)).key_id == KEY_ID
    assert issuer.asked == 2
    with pytest.raises(Unavailable):
        await keys.key("not yet known")


async def test_while_one_caller_renews_the_others_do_not_wait(
    keys: KeySet, issuer: IssuerOverHttp, seconds: Seconds
) -> None:
    await keys.key(KEY_ID)
    issuer.hold = asyncio.Event()
    seconds.now += KEYS_LIVE_SECONDS + 1
    renewing = asyncio.create_task(keys.key(KEY_ID))
    async with asyncio.timeout(10):
        while issuer.asked == 1:  # noqa: ASYNC110 - the request arrives on this very loop
            await asyncio.sleep(0)
        assert (await keys.key(KEY_ID)).key_id == KEY_ID
    assert not renewing.done()
    issuer.hold.set()
    await renewing


async def test_a_removed_key_is_forgotten(keys: KeySet, issuer: IssuerOverHttp, seconds: Seconds) -> None:
    await keys.key(KEY_ID)
    issuer.keys = [Issuer().jwk | {"kid": "key-2"}]
    seconds.now += KEYS_LIVE_SECONDS + 1
    with pytest.raises(Unauthenticated):
        await keys.key(KEY_ID)


async def test_without_any_key_the_answer_is_to_come_again_and_recovery_is_immediate(
    keys: KeySet, issuer: IssuerOverHttp
) -> None:
    issuer.status = 503
    for _ in range(2):
        with pytest.raises(Unavailable):
            await keys.key(KEY_ID)
    issuer.status = 200
    await keys.key(KEY_ID)


def settings(issuer: IssuerOverHttp, outbound: str = "") -> CallerSettings:
    return CallerSettings(
        issuer=issuer.url, client_id="clarion-test", client_secret=SecretStr("a+b:c"), outbound=outbound
    )


async def test_a_process_asks_for_its_token_once_and_renews_it_before_it_ends(
    issuer: IssuerOverHttp, seconds: Seconds
) -> None:
    token = ServiceToken(settings(issuer), now=seconds)
    assert set(await asyncio.gather(*(token.get() for _ in range(10)))) == {"token-1"}
    seconds.now += 900 - 61
    assert await token.get() == "token-1"
    seconds.now += 2
    assert await token.get() == "token-2"
    assert issuer.credentials[0] == "clarion-test:a%2Bb%3Ac"


async def test_without_the_issuer_there_is_no_token(issuer: IssuerOverHttp, seconds: Seconds) -> None:
    issuer.status = 503
    with pytest.raises(Unavailable):
        await ServiceToken(settings(issuer), now=seconds).get()


@dataclass
class Peer:
    """A service that writes down how it was called."""

    authorities: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    left: list[float] = field(default_factory=list)
    code: grpc.StatusCode | None = None

    async def get_client(self, request: v1.GetClientRequest, context: Any) -> v1.GetClientResponse:
        self.left.append(context.time_remaining())
        self.tokens += [str(value) for key, value in context.invocation_metadata() if key == "authorization"]
        if self.code is not None:
            await context.abort(self.code, "as laid down")
        return v1.GetClientResponse()


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
async def channel(peer: Peer, issuer: IssuerOverHttp) -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        peer.get_client, v1.GetClientRequest.FromString, v1.GetClientResponse.SerializeToString
    )
    generic = grpc.method_handlers_generic_handler("clarion.auth.v1.AuthService", {"GetClient": handler})
    server.add_generic_rpc_handlers((generic,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with Channels(settings(issuer, f"127.0.0.1:{port}"), traced=False).to("auth") as channel:
        yield channel
    await server.stop(1)


@pytest.fixture
def get_client(channel: grpc.aio.Channel) -> Any:
    return partial(v1.AuthServiceStub(channel).GetClient, v1.GetClientRequest())


async def test_a_call_carries_the_processes_token(get_client: Any, peer: Peer) -> None:
    await answered(get_client())
    await answered(get_client())
    assert peer.tokens == ["Bearer token-1"] * 2


async def test_a_call_gets_what_is_left_of_its_callers_time(get_client: Any, peer: Peer) -> None:
    with deadline.within(5):
        await answered(get_client())
        await answered(get_client(timeout=60))
    await answered(get_client(timeout=2))
    await answered(get_client())
    assert peer.left == pytest.approx([5, 5, 2, CALL_SECONDS], abs=1.5)


async def test_where_no_time_is_left_no_call_is_made(get_client: Any, peer: Peer) -> None:
    with deadline.within(0), pytest.raises(DeadlineExceeded):
        await answered(get_client())
    assert peer.left == []


async def test_a_peers_refusal_is_raised_in_the_taxonomy_and_not_tried_again(get_client: Any, peer: Peer) -> None:
    peer.code = grpc.StatusCode.NOT_FOUND
    with pytest.raises(NotFound):
        await answered(get_client())
    peer.code = grpc.StatusCode.UNAVAILABLE
    with pytest.raises(Unavailable):
        await answered(get_client())
    assert len(peer.left) == 2


async def test_the_peer_is_named_as_authority_at_the_one_outbound_address(issuer: IssuerOverHttp) -> None:
    seen = asyncio.get_running_loop().create_future()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # An HTTP/2 server that says nothing but its empty SETTINGS, and reads until the headers have come.
        writer.write(b"\0\0\0\4\0\0\0\0\0")
        data = b""
        while b"auth.clarion.svc.cluster.local:50051" not in data:
            data += await reader.read(4096)
        seen.set_result(None)
        writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as outbound:
        port = outbound.sockets[0].getsockname()[1]
        async with Channels(settings(issuer, f"127.0.0.1:{port}"), traced=False).to("auth") as channel:
            with pytest.raises(Unavailable):
                await answered(v1.AuthServiceStub(channel).GetClient(v1.GetClientRequest()))
    assert seen.done()
