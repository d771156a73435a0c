"""Small processes that stand in for services, and stacks made of them."""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.composition.plan import Plan
from deploy.local.supervision.command import Command
from deploy.local.supervision.health import accepts
from deploy.local.supervision.spec import ProcessSpec, Rank

if TYPE_CHECKING:
    from deploy.local.machine.folder import StackFolder
    from deploy.local.machine.portbook import PortBook

SERVER = Path(__file__).with_name("stand_in_server.py")


def spec(
    name: str,
    port: int,
    folder: Path,
    *options: str,
    rank: Rank = Rank.SERVICE,
    after: tuple[str, ...] = (),
    stop_seconds: float = 5.0,
) -> ProcessSpec:
    """Give a process that listens on a port; for the options see `stand_in_server`."""
    command = Command(
        argv=(sys.executable, "-I", str(SERVER), name, str(port), str(folder / "journal"), *options),
        directory=folder,
    )
    return ProcessSpec(
        name=name,
        rank=rank,
        command=lambda: command,
        ready=partial(accepts, port),
        after=after,
        address=f"127.0.0.1:{port}",
        start_seconds=20.0,
        stop_seconds=stop_seconds,
        attempts=2,
    )


def planner(folder: StackFolder, ports: PortBook) -> Plan:
    """Plan a stack of three: an engine, a service that needs it, a worker that needs both."""
    port = ports.port
    return Plan(
        specs=(
            spec("worker", port("worker"), folder.data, rank=Rank.WORKER, after=("engine", "service")),
            spec("service", port("service"), folder.data, "--child", after=("engine",)),
            spec("engine", port("engine"), folder.data, rank=Rank.ENGINE),
        )
    )


def journal(folder: Path) -> list[str]:
    """Give what the stand-ins wrote: `<name> began`, `<name> ended`."""
    try:
        return (folder / "journal").read_text().splitlines()
    except FileNotFoundError:
        return []


def pids_of(folder: Path) -> list[int]:
    """Give every live process that was told to write to this folder, children included."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                arguments = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if any(argument.startswith(str(folder)) for argument in arguments):
                found.append(int(entry.name))
    return found


async def nothing_left(folder: Path) -> None:
    """Wait until no process of the folder is alive; the kernel needs a moment to deliver its signals."""
    async with asyncio.timeout(10):
        while pids_of(folder):  # noqa: ASYNC110 - processes of others tell nobody when they end
            await asyncio.sleep(0.02)
