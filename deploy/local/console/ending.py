"""The end of a stack, asked for from outside its supervisor."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from deploy.local.problem import Problem
from deploy.local.supervision import leftovers
from deploy.local.supervision.control import ControlClient, NotRunning
from deploy.local.supervision.state import StateFile

if TYPE_CHECKING:
    from deploy.local.machine.folder import StackFolder

_SECONDS = 90.0
_POLL_SECONDS = 0.1


async def end_stack(folder: StackFolder) -> str:
    """End a stack, or what a killed supervisor left of it, and say what was done. Raises Problem."""
    try:
        await ControlClient(socket=folder.socket).ask("down")
    except NotRunning:
        return await asyncio.to_thread(_end_leftovers, folder)
    try:
        async with asyncio.timeout(_SECONDS):
            while folder.held_by() is not None:  # noqa: ASYNC110 - a lock of another process tells nobody
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        pid = folder.held_by()
        raise Problem(
            f"stack {folder.name} did not end within {_SECONDS:.0f} s", remedy=f"run `kill -9 {pid}`"
        ) from None
    return f"stack {folder.name} is down"


def _end_leftovers(folder: StackFolder) -> str:
    if not folder.path.is_dir():
        return f"stack {folder.name} is not running"
    with folder.locked():
        left = leftovers.end(StateFile(folder.state))
    if left:
        return f"stack {folder.name} was not running; ended what was left of it: {', '.join(left)}"
    return f"stack {folder.name} is not running"
