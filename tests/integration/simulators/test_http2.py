from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from h2.errors import ErrorCodes

from services.simulators.wire.exchange import Dropped, Handler, Request, Response
from services.simulators.wire.http2 import Http2Connection
from services.simulators.wire.listener import Listener, server_context
from tests.integration.simulators.http2_client import Http2Client, http2_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.simulators.testing import RunningSimulators

HEAD = [(":method", "POST"), (":scheme", "https"), (":authority", "x"), (":path", "/a?b=c")]


@asynccontextmanager
async def served(simulators: RunningSimulators, handler: Handler) -> AsyncIterator[Http2Client]:
    folder = simulators.ca_file.parent
    tls = server_context(folder / "simulators.pem", folder / "simulators.key", "h2")
    listener = Listener(
        host="127.0.0.1", port=0, factory=lambda: Http2Connection(handler, streams=2, max_body=10), tls=tls
    )
    await listener.start()
    try:
        async with http2_client("127.0.0.1", listener.port, simulators.client_context()) as client:
            yield client
    finally:
        await listener.stop()


async def test_a_large_answer_waits_for_the_clients_window(simulators: RunningSimulators) -> None:
    async def large(_: Request) -> Response:
        return Response(status=200, body=b"x" * 300_000)

    async with served(simulators, large) as client:
        answer = await client.send(HEAD)
    assert (answer.status, len(answer.body)) == (200, 300_000)


async def test_a_body_is_kept_up_to_one_byte_more_than_allowed(simulators: RunningSimulators) -> None:
    async def echo(request: Request) -> Response:
        return Response(status=200, body=request.path.encode() + request.body)

    async with served(simulators, echo) as client:
        assert (await client.send(HEAD, b"y" * 1000)).body == b"/a" + b"y" * 11


async def test_a_failing_handler_ends_its_stream_and_no_other(simulators: RunningSimulators) -> None:
    async def fail(request: Request) -> Response:
        if request.body:
            raise ZeroDivisionError
        return Response(status=204)

    async with served(simulators, fail) as client:
        assert (await client.send(HEAD, b"!")).reset == ErrorCodes.INTERNAL_ERROR
        assert (await client.send(HEAD)).status == 204


async def test_a_dropped_request_ends_the_connection(simulators: RunningSimulators) -> None:
    async def drop(_: Request) -> Response:
        raise Dropped

    async with served(simulators, drop) as client:
        await client.open(HEAD)
        await client.until_closed()


async def test_a_request_that_the_client_gives_up_is_cancelled(simulators: RunningSimulators) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(_: Request) -> Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return Response(status=200)

    async with served(simulators, wait) as client, asyncio.timeout(10):
        number = await client.open(HEAD)
        await begun.wait()
        await client.give_up(number)
        await cancelled.wait()
