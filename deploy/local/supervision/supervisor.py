"""Keeps the processes of a stack running: up in the order of their needs, down in the order of their ranks."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from deploy.local.problem import Problem
from deploy.local.supervision.backoff import Backoff
from deploy.local.supervision.child import Child
from deploy.local.supervision.logfile import LogFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from deploy.local.supervision.spec import ProcessSpec, ProcessStatus, State
    from deploy.local.supervision.state import StateFile

_ROTATE_SECONDS = 5.0


class Supervisor:
    """Owns the children of one stack. It belongs to the main thread: children die with the thread that made them."""

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        *,
        logs: Path,
        state: StateFile,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the processes; each is named once and comes after those that it waits for."""
        self._children = {
            spec.name: Child(
                spec,
                log=LogFile(logs / f"{spec.name}.log"),
                state=state,
                backoff=backoff or Backoff(),
                clock=clock,
            )
            for spec in specs
        }
        self._rotating: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start everything and return when all of it is ready. Raises Problem; what runs then runs on."""
        self._rotating = asyncio.create_task(self._rotate_logs())
        try:
            async with asyncio.TaskGroup() as group:
                for child in self._children.values():
                    group.create_task(self._bring_up(child))
        except* Problem as problems:
            first: BaseException = problems
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise first from None

    async def stop(self) -> None:
        """Drain and end everything, rank by rank; returns when nothing is left."""
        if self._rotating is not None:
            self._rotating.cancel()
            self._rotating = None
        for rank in sorted({child.spec.rank for child in self._children.values()}):
            of_rank = [child for child in self._children.values() if child.spec.rank is rank]
            await asyncio.gather(*(child.stop() for child in of_rank))

    def kill(self) -> None:
        """End everything at once, drained or not; a `stop` under way then returns."""
        for child in self._children.values():
            child.kill()

    async def start_process(self, name: str) -> None:
        """Start a process that was stopped and return when it is ready. Raises Problem."""
        child = self._child(name)
        child.start()
        await child.until_ready()

    async def stop_process(self, name: str) -> None:
        """Drain and end one process, which stays down until it is started again. Raises Problem."""
        await self._child(name).stop()

    async def restart_process(self, name: str) -> None:
        """Stop and start one process. Raises Problem."""
        await self.stop_process(name)
        await self.start_process(name)

    async def status(self) -> list[ProcessStatus]:
        """Ask every process how it is."""
        return list(await asyncio.gather(*(child.status() for child in self._children.values())))

    def states(self) -> dict[str, tuple[State, int]]:
        """Give each process's state and restarts as last seen, without asking it."""
        return {name: (child.state, child.restarts) for name, child in self._children.items()}

    async def _bring_up(self, child: Child) -> None:
        for name in child.spec.after:
            await self._child(name).until_ready()
        child.start()
        await child.until_ready()

    def _child(self, name: str) -> Child:
        try:
            return self._children[name]
        except KeyError:
            known = ", ".join(self._children)
            raise Problem(f"there is no process named {name}", remedy=f"choose one of {known}") from None

    async def _rotate_logs(self) -> None:
        while True:
            await asyncio.sleep(_ROTATE_SECONDS)
            for child in self._children.values():
                await asyncio.to_thread(child.rotate_log)
