"""How a running supervisor is spoken to: one line of JSON each way over a Unix socket in the stack's folder."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

from deploy.local.problem import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from deploy.local.supervision.spec import ProcessStatus

_LONGEST_LINE = 2**20


class Controlled(Protocol):
    """What a supervisor lets others do."""

    async def status(self) -> list[ProcessStatus]: ...  # noqa: D102 - see Supervisor
    async def start_process(self, name: str) -> None: ...  # noqa: D102
    async def stop_process(self, name: str) -> None: ...  # noqa: D102
    async def restart_process(self, name: str) -> None: ...  # noqa: D102


class ControlServer:
    """Answers `status`, `start`, `stop`, `restart` and `down`."""

    def __init__(self, controlled: Controlled) -> None:
        """Take what is controlled."""
        self._controlled = controlled
        self.asked_to_go_down = asyncio.Event()
        """Set by `down`; whoever runs the stack then stops it."""

    @asynccontextmanager
    async def listening(self, socket: Path) -> AsyncIterator[None]:
        """Listen until the block ends; only this user may connect."""
        await asyncio.to_thread(socket.unlink, missing_ok=True)
        before = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(self._answer, socket, limit=_LONGEST_LINE)
        finally:
            os.umask(before)
        try:
            yield
        finally:
            server.close()
            await asyncio.to_thread(socket.unlink, missing_ok=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ValueError):
            request = json.loads(await reader.readline())
            try:
                answer = {"result": await self._do(str(request.get("do")), str(request.get("process")))}
            except Problem as problem:
                answer = {"problem": problem.what, "remedy": problem.remedy}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _do(self, what: str, process: str) -> object:
        match what:
            case "status":
                return [asdict(each) for each in await self._controlled.status()]
            case "start":
                await self._controlled.start_process(process)
            case "stop":
                await self._controlled.stop_process(process)
            case "restart":
                await self._controlled.restart_process(process)
            case "down":
                self.asked_to_go_down.set()
            case _:
                raise Problem(f"the supervisor does not know {what!r}", remedy="use the same version for both")
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlClient:
    """Speaks to the supervisor of a stack."""

    socket: Path

    async def ask(self, what: str, process: str = "") -> object:
        """Ask for one thing and wait for the answer. Raises Problem, also where no supervisor listens."""
        try:
            reader, writer = await asyncio.open_unix_connection(self.socket, limit=_LONGEST_LINE)
        except OSError as exc:
            raise NotRunning from exc
        try:
            writer.write(json.dumps({"do": what, "process": process}).encode() + b"\n")
            await writer.drain()
            line = await reader.readline()
        except ConnectionError as exc:
            raise NotRunning from exc
        finally:
            writer.close()
        if not line:
            raise NotRunning
        answer = json.loads(line)
        if "problem" in answer:
            raise Problem(answer["problem"], remedy=answer["remedy"])
        return answer["result"]


class NotRunning(Problem):
    """No supervisor listens."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("this stack is not running", remedy="start it with `clarion up`")
