"""A supervisor in the background, and the progress of its stack in the foreground."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from deploy.local.console.progress import show_progress
from deploy.local.machine.places import project_folder
from deploy.local.problem import Problem
from deploy.local.supervision.control import ControlClient, NotRunning
from deploy.local.supervision.logfile import LogFile
from deploy.local.supervision.spec import statuses

if TYPE_CHECKING:
    from rich.console import Console

    from deploy.local.console.progress import States
    from deploy.local.machine.folder import StackFolder

_POLL_SECONDS = 0.3
_SAID = "clarion: "


async def detach(folder: StackFolder, arguments: list[str], console: Console) -> None:
    """Start a supervisor that outlives this process and return when its stack is ready. Raises Problem."""
    folder.prepare()
    with folder.locked():
        folder.greeting.unlink(missing_ok=True)
    log = LogFile(folder.log("supervisor"))
    with log.path.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "deploy.local", "up"),
            *("--stack", folder.name, "--data", str(folder.path.parent), *arguments),
            cwd=project_folder(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    states: States = {}
    coming_up = asyncio.create_task(_until_up(folder, process, states))
    try:
        await show_progress(lambda: states, console, coming_up)
        await coming_up
    except asyncio.CancelledError:
        # Ctrl-C: whoever waited for the stack does not want it any more.
        process.terminate()
        await process.wait()
        raise
    if process.returncode is not None:
        raise _as_said(log)
    console.print(folder.greeting.read_text(), end="", highlight=False, markup=False, soft_wrap=True)


async def _until_up(folder: StackFolder, process: asyncio.subprocess.Process, states: States) -> None:
    """Wait until the stack is up or its supervisor has ended."""
    ended = asyncio.create_task(process.wait())
    while not folder.greeting.exists() and not ended.done():
        with suppress(NotRunning):
            for each in statuses(await ControlClient(socket=folder.socket).ask("status")):
                states[each.name] = (each.state, each.restarts)
        await asyncio.wait({ended}, timeout=_POLL_SECONDS)
    ended.cancel()


def _as_said(log: LogFile) -> Problem:
    """Read back what `main` wrote about the problem that ended the supervisor."""
    said = [line.removeprefix(_SAID) for line in log.last_lines(50) if line.startswith(_SAID)]
    if not said:
        return Problem("the supervisor ended before the stack was up", remedy=f"see {log.path}")
    what, _, remedy = said[-1].rpartition(": ")
    return Problem(what, remedy=remedy)
