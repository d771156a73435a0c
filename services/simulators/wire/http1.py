"""HTTP/1.1, and the choice between it and HTTP/2 by ALPN."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from aiohttp import web

from services.simulators.wire.exchange import Dropped, Handler, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.simulators.wire.http2 import Http2Connection


class Http1Server:
    """Makes one HTTP/1.1 protocol per connection, all with one handler."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: web.Server | None = None

    def __call__(self) -> asyncio.Protocol:
        """A protocol for one new connection."""
        if self._server is None:
            self._server = web.Server(self._answer, access_log=None, handler_cancellation=True)
        return self._server()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            response = await self._handler(
                Request(
                    method=request.method,
                    path=request.path,
                    headers=tuple((name.lower(), value) for name, value in request.headers.items()),
                    body=await request.read(),
                )
            )
        except Dropped:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        return web.Response(status=response.status, headers=response.headers, body=response.body)


class AlpnChooser(asyncio.Protocol):
    """Hands a new connection to HTTP/2 where the server has it and the client asked for it, else to HTTP/1.1."""

    def __init__(
        self, http1: Callable[[], asyncio.Protocol], http2: Callable[[], Http2Connection] | None = None
    ) -> None:
        self._http1 = http1
        self._http2 = http2
        self._chosen: asyncio.Protocol | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Choose by what the handshake agreed on."""
        # uvloop's transports are Transports in all but their ancestry.
        self.transport = cast("asyncio.Transport", transport)
        tls = transport.get_extra_info("ssl_object")
        agreed = tls.selected_alpn_protocol() if tls is not None else None
        self._chosen = self._http2() if agreed == "h2" and self._http2 is not None else self._http1()
        self._chosen.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass on."""
        if self._chosen is not None:
            self._chosen.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on."""
        return self._chosen.eof_received() if self._chosen is not None else None

    def pause_writing(self) -> None:
        """Pass on."""
        if self._chosen is not None:
            self._chosen.pause_writing()

    def resume_writing(self) -> None:
        """Pass on."""
        if self._chosen is not None:
            self._chosen.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on."""
        self.transport = None
        if self._chosen is not None:
            self._chosen.connection_lost(exc)
