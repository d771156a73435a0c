"""One HTTP request and its answer, whichever version of HTTP carried them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from services.simulators.script import Action

if TYPE_CHECKING:
    from services.simulators.player import Player, Verdict


class Dropped(Exception):
    """The connection closes without an answer."""


class Connection(Protocol):
    """What a handler may do to the HTTP/2 connection that its request came on."""

    owner: str | None
    """Who authenticated first on this connection; nobody yet if none."""

    def allow_streams(self, count: int) -> None:
        """Announce that `count` streams may be open at a time."""

    def go_away(self, reason: str, *, refusing: int | None = None) -> None:
        """Send GOAWAY with `reason` as JSON; the stream `refusing` and later ones are not processed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A complete request; header names are in lower case, in the order and number they were sent."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connection: Connection | None = None
    stream: int = 0

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A complete answer."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


Handler = Callable[[Request], Awaitable[Response]]


def json_response(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON."""
    return Response(
        status=status,
        headers={"content-type": "application/json; charset=UTF-8", **(headers or {})},
        body=json.dumps(body).encode(),
    )


async def endure(verdict: Verdict, player: Player) -> None:
    """Wait out the verdict's latency, then drop or hang if its fault says so (raises Dropped)."""
    if verdict.latency_seconds:
        await asyncio.sleep(verdict.latency_seconds)
    if verdict.fault is None:
        return
    if verdict.fault.action is Action.HANG:
        await player.until_changed()
        raise Dropped
    if verdict.fault.action is Action.DROP:
        raise Dropped
