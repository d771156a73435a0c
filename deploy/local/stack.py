"""One stack, for programs: `async with Stack(StackOptions(name="demo")) as stack: ...`."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, TypeVar

from deploy.local.composition.topology import ClarionPlanner
from deploy.local.machine.places import home_folder
from deploy.local.machine.portbook import PortBook
from deploy.local.machine.stackname import stack_folder
from deploy.local.problem import Problem
from deploy.local.supervision import leftovers
from deploy.local.supervision.control import ControlServer
from deploy.local.supervision.state import StateFile
from deploy.local.supervision.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from deploy.local.composition.credentials import Client, Secrets
    from deploy.local.composition.plan import Addresses, Plan, Planner
    from deploy.local.machine.folder import StackFolder
    from deploy.local.supervision.backoff import Backoff
    from deploy.local.supervision.spec import ProcessStatus, State

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """Which stack: its name, the folder that holds all stacks, ports that must be, services to leave out."""

    name: str = "default"
    home: Path = field(default_factory=home_folder)
    ports: Mapping[str, int] = field(default_factory=dict)
    without: frozenset[str] = frozenset()

    def folder(self) -> StackFolder:
        """Give the stack's folder. Raises Problem for a name that cannot be one."""
        return stack_folder(self.name, self.home)


class Stack:
    """A stack that runs from `start` to `stop` and leaves no process behind.

    Use it from the main thread: its processes are killed when the thread that started them ends, however it does.
    """

    def __init__(
        self,
        options: StackOptions | None = None,
        *,
        planner: Planner | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        """Take the options; `planner` decides on the processes (Clarion's own if none is given)."""
        self.options = options or StackOptions()
        self.folder = self.options.folder()
        self.cleaned_up: list[str] = []
        """What an earlier supervisor had left behind and `start` ended."""
        self._planner = planner or ClarionPlanner(environ=os.environ, without=self.options.without)
        self._backoff = backoff
        self._plan: Plan | None = None
        self._supervisor: Supervisor | None = None
        self._control: ControlServer | None = None
        self._held = AsyncExitStack()

    async def start(self) -> None:
        """Bring everything up and return when all of it is ready; on failure nothing is left. Raises Problem."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        self.folder.prepare()
        self._held.enter_context(self.folder.locked())
        state = StateFile(self.folder.state)
        self.cleaned_up = await asyncio.to_thread(leftovers.end, state)
        ports = PortBook(fixed=self.options.ports, kept=state.ports())
        self._plan = await asyncio.to_thread(self._planner, self.folder, ports)
        state.keep_ports(ports.given())
        self._supervisor = Supervisor(self._plan.specs, logs=self.folder.logs, state=state, backoff=self._backoff)
        self._control = ControlServer(self._supervisor)
        await self._held.enter_async_context(self._control.listening(self.folder.socket))
        self._held.push_async_callback(self._supervisor.stop)
        await self._supervisor.start()

    async def stop(self) -> None:
        """Drain and end everything; returns when nothing is left."""
        await self._held.aclose()

    def kill(self) -> None:
        """End everything at once; a `stop` under way then returns."""
        if self._supervisor is not None:
            self._supervisor.kill()

    async def until_asked_to_go_down(self) -> None:
        """Wait for someone's `clarion down`."""
        await self._running(self._control).asked_to_go_down.wait()

    async def status(self) -> list[ProcessStatus]:
        """Ask every process how it is."""
        return await self._running(self._supervisor).status()

    def states(self) -> dict[str, tuple[State, int]]:
        """Give each process's state and restarts as last seen; nothing before there are processes."""
        return self._supervisor.states() if self._supervisor is not None else {}

    async def start_process(self, name: str) -> None:
        """Start a process that was stopped and return when it is ready. Raises Problem."""
        await self._running(self._supervisor).start_process(name)

    async def stop_process(self, name: str) -> None:
        """Drain and end one process; it stays down until started. Raises Problem."""
        await self._running(self._supervisor).stop_process(name)

    async def restart_process(self, name: str) -> None:
        """Stop and start one process. Raises Problem."""
        await self._running(self._supervisor).restart_process(name)

    @property
    def plan(self) -> Plan:
        """What it consists of, once it has started."""
        return self._running(self._plan)

    @property
    def addresses(self) -> Addresses:
        """Where everything is, once it has started."""
        return self._running(self.plan.addresses)

    @property
    def secrets(self) -> Secrets:
        """Its secrets, once it has started."""
        return self._running(self.plan.secrets)

    @property
    def demo_client(self) -> Client:
        """The OAuth client of the demo tenant."""
        return self.secrets.demo

    @property
    def admin_client(self) -> Client:
        """The OAuth client that administers."""
        return self.secrets.admin

    def _running(self, part: Part | None) -> Part:
        if part is None:
            raise Problem(f"stack {self.options.name} is not running", remedy="start it first")
        return part

    async def __aenter__(self) -> Self:
        """Start it."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        await self.stop()
