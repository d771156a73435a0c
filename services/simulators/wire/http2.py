"""HTTP/2 on the server's side, frame by frame, so that a peer can announce, refuse and go away."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import structlog
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from services.simulators.wire.exchange import Dropped, Handler, Request, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

MANY_STREAMS = 1000
log = structlog.get_logger()
_WINDOW = 1 << 20


@dataclass(slots=True)
class _Stream:
    """A request being received or answered."""

    headers: tuple[tuple[str, str], ...]
    body: bytearray = field(default_factory=bytearray)
    task: asyncio.Task[None] | None = None
    unsent: bytes | None = None


class Http2Connection(asyncio.Protocol):
    """One connection of a client.

    At most `streams` are open at a time once the client has acknowledged it (RFC 9113, 5.1.2); a stream
    above is refused, which tells the client that it may be sent again. Bodies are kept up to one byte more
    than `max_body`, so that the handler sees that they are too large.
    """

    def __init__(self, handler: Handler, *, streams: int, max_body: int) -> None:
        self.transport: asyncio.Transport | None = None
        self.owner: str | None = None
        self._handler = handler
        self._max_body = max_body
        self._max_streams = streams
        self._enforced_streams = MANY_STREAMS
        self._last_stream: int | None = None
        self._streams: dict[int, _Stream] = {}
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self._h2.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: streams,
                SettingCodes.INITIAL_WINDOW_SIZE: 65_535,
                SettingCodes.MAX_HEADER_LIST_SIZE: 8_192,
            },
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the server's preface."""
        # uvloop's transports are Transports in all but their ancestry.
        self.transport = cast("asyncio.Transport", transport)
        self._h2.initiate_connection()
        # h2 would end the whole connection over one stream too many, and before the client has even read
        # our SETTINGS; the limit on the wire stands, and is enforced in _open with REFUSED_STREAM.
        self._h2.local_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = MANY_STREAMS
        self._h2.local_settings.acknowledge()
        self._h2.increment_flow_control_window(_WINDOW)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up what is under way."""
        self.transport = None
        for stream in self._streams.values():
            if stream.task is not None:
                stream.task.cancel()
        self._streams.clear()

    def data_received(self, data: bytes) -> None:
        """Take frames in."""
        try:
            for event in self._h2.receive_data(data):
                self._take(event)
        except H2Error:
            self._flush()
            self._close()
            return
        self._flush()

    def allow_streams(self, count: int) -> None:
        """Announce that `count` streams may be open at a time."""
        if count == self._max_streams:
            return
        self._max_streams = count
        self._enforced_streams = max(count, self._enforced_streams)
        self._h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: count})
        self._flush()

    def go_away(self, reason: str, *, refusing: int | None = None) -> None:
        """Send GOAWAY with `reason` as JSON, finish streams before `refusing`, then close."""
        if self.transport is None or self._last_stream is not None:
            return
        self._last_stream = self._h2.highest_inbound_stream_id if refusing is None else refusing - 2
        frame = GoAwayFrame(
            stream_id=0,
            last_stream_id=max(0, self._last_stream),
            error_code=ErrorCodes.NO_ERROR,
            additional_data=json.dumps({"reason": reason}).encode(),
        )
        self._flush()
        # Written past h2, whose own GOAWAY would forbid answering the streams still under way.
        self.transport.write(frame.serialize())
        for number in [number for number in self._streams if number > self._last_stream]:
            self._forget(number)
        self._close_when_done()

    def _take(self, event: events.Event) -> None:
        match event:
            case events.RequestReceived():
                self._open(event.stream_id, event.headers)
            case events.DataReceived():
                self._append(event)
            case events.StreamEnded():
                self._start(event.stream_id)
            case events.StreamReset():
                self._forget(event.stream_id)
            case events.WindowUpdated() | events.RemoteSettingsChanged():
                self._resume()
            case events.SettingsAcknowledged():
                self._enforced_streams = self._max_streams
            case events.ConnectionTerminated():
                self._close()
            case _:
                pass

    def _open(self, number: int, headers: list[tuple[bytes, bytes]]) -> None:
        gone = self._last_stream is not None and number > self._last_stream
        if gone or len(self._streams) >= self._enforced_streams:
            self._h2.reset_stream(number, ErrorCodes.REFUSED_STREAM)
            return
        decoded = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
        self._streams[number] = _Stream(headers=decoded)

    def _append(self, event: events.DataReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            room = self._max_body + 1 - len(stream.body)
            stream.body += event.data[:room]
        if event.flow_controlled_length:
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    def _start(self, number: int) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            stream.task = asyncio.get_running_loop().create_task(self._serve(number, stream))

    async def _serve(self, number: int, stream: _Stream) -> None:
        pseudo = dict(stream.headers[:4])
        request = Request(
            method=pseudo.get(":method", ""),
            path=pseudo.get(":path", "").partition("?")[0],
            headers=tuple(pair for pair in stream.headers if not pair[0].startswith(":")),
            body=bytes(stream.body),
            connection=self,
            stream=number,
        )
        try:
            response = await self._handler(request)
        except Dropped:
            # After GOAWAY the other streams are to be finished, so this one ends alone.
            if self._last_stream is not None:
                self._fail(number)
            elif self.transport is not None:
                self.transport.abort()
            return
        except Exception:
            log.exception("simulator_handler_failed")
            self._fail(number)
            return
        if number in self._streams:
            self._answer(number, stream, response)

    def _answer(self, number: int, stream: _Stream, response: Response) -> None:
        body = response.body
        self._h2.send_headers(number, _header_block(response.status, response.headers, len(body)), not body)
        if body:
            stream.unsent = body
            self._send(number, stream)
        else:
            self._done(number)
        self._flush()

    def _send(self, number: int, stream: _Stream) -> None:
        """Send as much of the body as the client's windows take."""
        unsent = stream.unsent
        while unsent:
            room = min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)
            if room <= 0:
                stream.unsent = unsent
                return
            chunk, unsent = unsent[:room], unsent[room:]
            self._h2.send_data(number, chunk, end_stream=not unsent)
        self._done(number)

    def _resume(self) -> None:
        for number, stream in tuple(self._streams.items()):
            if stream.unsent is not None:
                self._send(number, stream)

    def _fail(self, number: int) -> None:
        if number in self._streams:
            self._h2.reset_stream(number, ErrorCodes.INTERNAL_ERROR)
            self._done(number)
            self._flush()

    def _done(self, number: int) -> None:
        self._streams.pop(number, None)
        self._close_when_done()

    def _forget(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None and stream.task is not None and stream.task is not asyncio.current_task():
            stream.task.cancel()
        self._close_when_done()

    def _close_when_done(self) -> None:
        if self._last_stream is not None and not self._streams:
            self._flush()
            self._close()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and self.transport is not None:
            self.transport.write(data)

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.close()


def _header_block(status: int, headers: Mapping[str, str], length: int) -> list[tuple[str, str]]:
    block = [(":status", str(status)), *headers.items()]
    if length:
        block.append(("content-length", str(length)))
    return block
