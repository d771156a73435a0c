"""A client that sends HTTP/2 frames as told, well-behaved or not."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterator, Sequence


@dataclass
class Answer:
    """What came back on one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    reset: int | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def status(self) -> int:
        return int(self.headers[":status"])

    @property
    def reason(self) -> str:
        return str(json.loads(self.body)["reason"])


class Http2Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._answers: dict[int, Answer] = {}
        self._changed = asyncio.Condition()
        self.max_streams: list[int] = []
        self.goaway: events.ConnectionTerminated | None = None
        self.closed = False
        self.late_frames = b""
        self._h2.initiate_connection()

    async def open(self, headers: Sequence[tuple[str, str]], body: bytes = b"", *, end: bool = True) -> int:
        number = self._h2.get_next_available_stream_id()
        self._answers[number] = Answer()
        self._h2.send_headers(number, headers, end_stream=end and not body)
        if body:
            self._h2.send_data(number, body, end_stream=end)
        await self._flush()
        return number

    async def more(self, number: int, body: bytes) -> None:
        """Send a part of the body once the windows take it."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self._h2.local_flow_control_window(number) >= len(body))
        self._h2.send_data(number, body)
        await self._flush()

    @contextmanager
    def ignoring_limits(self) -> Iterator[None]:
        """Let this client open more streams than it was allowed."""
        allowed = self._h2.remote_settings.max_concurrent_streams
        self._h2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 1000
        self._h2.remote_settings.acknowledge()
        yield
        self._h2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = allowed
        self._h2.remote_settings.acknowledge()

    async def finish(self, number: int, body: bytes) -> None:
        self._h2.send_data(number, body, end_stream=True)
        await self._flush()

    async def give_up(self, number: int) -> None:
        self._h2.reset_stream(number)
        await self._flush()

    async def answer(self, number: int) -> Answer:
        async with asyncio.timeout(10):
            await self._answers[number].done.wait()
        return self._answers[number]

    async def send(self, headers: Sequence[tuple[str, str]], body: bytes = b"") -> Answer:
        return await self.answer(await self.open(headers, body))

    async def until_streams(self, count: int) -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: bool(self.max_streams) and self.max_streams[-1] == count)

    async def until_closed(self) -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.closed)

    async def run(self) -> None:
        try:
            while data := await self._reader.read(65_536):
                # After GOAWAY h2 takes no more frames, though streams under way are still answered.
                if self.goaway is not None:
                    self.late_frames += data
                else:
                    for event in self._h2.receive_data(data):
                        self._take(event)
                await self._flush()
                async with self._changed:
                    self._changed.notify_all()
        except ConnectionResetError:
            pass
        self.closed = True
        for answer in self._answers.values():
            answer.done.set()
        async with self._changed:
            self._changed.notify_all()

    def _take(self, event: events.Event) -> None:
        match event:
            case events.RemoteSettingsChanged():
                changed = event.changed_settings.get(SettingCodes.MAX_CONCURRENT_STREAMS)
                if changed is not None:
                    self.max_streams.append(changed.new_value)
            case events.ResponseReceived():
                self._answers[event.stream_id].headers = dict(event.headers)  # type: ignore[arg-type]
            case events.DataReceived():
                self._answers[event.stream_id].body += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case events.StreamEnded():
                self._answers[event.stream_id].done.set()
            case events.StreamReset():
                self._answers[event.stream_id].reset = int(event.error_code or 0)
                self._answers[event.stream_id].done.set()
            case events.ConnectionTerminated():
                self.goaway = event

    async def _flush(self) -> None:
        if not self._writer.is_closing():
            self._writer.write(self._h2.data_to_send())
            await self._writer.drain()


@asynccontextmanager
async def http2_client(host: str, port: int, context: ssl.SSLContext) -> AsyncIterator[Http2Client]:
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname="localhost")
    client = Http2Client(reader, writer)
    running = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        writer.transport.abort()
        await running
