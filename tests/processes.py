"""Starts a service as the process that it is in production, and reads what it logs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

ROOT = Path(__file__).parent.parent
SECONDS = 30.0


class Running:
    """A process; its standard output is one JSON object a line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.events: list[dict[str, Any]] = []
        self.pid = process.pid

    @property
    def names(self) -> list[str]:
        """The names of the events so far."""
        return [str(event["event"]) for event in self.events]

    async def until(self, name: str) -> dict[str, Any]:
        """The next event of this name; fails if the process ends without one."""
        assert self._process.stdout is not None
        async with asyncio.timeout(SECONDS):
            while line := await self._process.stdout.readline():
                self.events.append(json.loads(line))
                if self.events[-1]["event"] == name:
                    return self.events[-1]
        raise AssertionError(f"no {name}: {self.names}; {await self.complaint()}")

    def terminate(self) -> None:
        """Ask it to end, as Kubernetes does."""
        self._process.send_signal(signal.SIGTERM)

    async def end(self) -> int:
        """Its exit code, once it has ended by itself; what it logged meanwhile is in `events`."""
        assert self._process.stdout is not None
        async with asyncio.timeout(SECONDS):
            async for line in self._process.stdout:
                self.events.append(json.loads(line))
            return await self._process.wait()

    async def complaint(self) -> str:
        """What it wrote to standard error; read it after the end."""
        assert self._process.stderr is not None
        return (await self._process.stderr.read()).decode()


@asynccontextmanager
async def started(module: str, environment: Mapping[str, str]) -> AsyncIterator[Running]:
    """`python -m module` with nothing of `CLARION_*` but what is given; it is killed if it outlives the context."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CLARION_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        cwd=ROOT,
        env={**inherited, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def serving(module: str, environment: Mapping[str, str]) -> AsyncIterator[tuple[Running, grpc.aio.Channel]]:
    """A process that has begun to serve, and a channel to it."""
    async with started(module, {"CLARION_GRPC_PORT": "0", "CLARION_METRICS_PORT": "0", **environment}) as process:
        port = (await process.until("process_serving"))["port"]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield process, channel
