"""A listening port that can refuse connections on command and keeps its number all the while."""

from __future__ import annotations

import asyncio
import socket
import ssl
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ProtocolFactory = Callable[[], asyncio.Protocol]

_BACKLOG = 512


def server_context(cert_file: Path, key_file: Path, *alpn: str) -> ssl.SSLContext:
    """A server's TLS context, 1.2 or later, that offers the given application protocols."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert_file, key_file)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


class Listener:
    """Accepts connections for one protocol on one port; port 0 takes a free one at `start`."""

    def __init__(self, *, host: str, port: int, factory: ProtocolFactory, tls: ssl.SSLContext | None = None) -> None:
        self.host = host
        self.port = port
        self._factory = factory
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._placeholder: socket.socket | None = None
        self._protocols: weakref.WeakSet[asyncio.Protocol] = weakref.WeakSet()

    async def start(self) -> None:
        """Bind and accept connections; a second call changes nothing."""
        if self._server is not None:
            return
        bound = self._placeholder or self._bind()
        self._placeholder = None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._make, sock=bound, ssl=self._tls, backlog=_BACKLOG)

    async def refuse(self) -> None:
        """Reset every connection and refuse new ones, holding the port."""
        if self._server is None:
            return
        await self.stop()
        # Bound but not listening: the kernel answers RST, and nobody else can take the port.
        self._placeholder = self._bind()

    async def stop(self) -> None:
        """Stop accepting and reset every connection."""
        if self._placeholder is not None:
            self._placeholder.close()
            self._placeholder = None
        if self._server is None:
            return
        self._server.close()
        self.reset_connections()
        await self._server.wait_closed()
        self._server = None

    def reset_connections(self) -> None:
        """Reset every open connection; the port goes on listening."""
        for protocol in tuple(self._protocols):
            transport = getattr(protocol, "transport", None)
            if transport is not None:
                transport.abort()
        self._protocols.clear()

    def connections(self) -> tuple[asyncio.Protocol, ...]:
        """The protocols of connections that were opened and not collected yet."""
        return tuple(self._protocols)

    def _make(self) -> asyncio.Protocol:
        protocol = self._factory()
        self._protocols.add(protocol)
        return protocol

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((self.host, self.port))
            bound.setblocking(False)
        except OSError:
            bound.close()
            raise
        self.port = int(bound.getsockname()[1])
        return bound
