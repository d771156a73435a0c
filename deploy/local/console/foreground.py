"""A stack that runs in front of someone, or behind, until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

from deploy.local.composition.equipment import demo_accounts, equip
from deploy.local.console.display import greeting
from deploy.local.console.progress import show_progress

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from rich.console import Console

    from deploy.local.stack import Stack


_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """The stack was told to end before it was up."""


async def run(stack: Stack, console: Console) -> None:
    """Bring the stack up, say what to do next, wait for Ctrl-C, SIGTERM or `clarion down`, and end it.

    A second signal ends everything at once. Raises Problem if it does not come up, Interrupted if it was told
    to end before that.
    """
    told = asyncio.Event()

    def tell() -> None:
        if told.is_set():
            stack.kill()
        told.set()

    loop = asyncio.get_running_loop()
    for signum in _ENDING:
        loop.add_signal_handler(signum, tell)
    try:
        await _unless(told, _start(stack, console))
        await equip(stack.plan, await asyncio.to_thread(demo_accounts, stack.folder.secrets))
        _greet(stack, console)
        with contextlib.suppress(Interrupted):
            await _unless(told, stack.until_asked_to_go_down())
        console.print("ending; press Ctrl-C again to end at once", highlight=False)
    finally:
        await stack.stop()
        stack.folder.greeting.unlink(missing_ok=True)
        for signum in _ENDING:
            loop.remove_signal_handler(signum)
    console.print(f"stack {stack.options.name} is down", highlight=False)


async def _start(stack: Stack, console: Console) -> None:
    starting = asyncio.create_task(stack.start())
    try:
        await show_progress(stack.states, console, starting)
        await starting
    finally:
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting


async def _unless(told: asyncio.Event, doing: Coroutine[object, None, None]) -> None:
    """Do it unless told to end meanwhile, which raises Interrupted."""
    task = asyncio.create_task(doing)
    waiting = asyncio.create_task(told.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Interrupted
        await task
    finally:
        for each in (task, waiting):
            each.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)


def _greet(stack: Stack, console: Console) -> None:
    said = greeting(stack.options.name, stack.plan, cleaned_up=stack.cleaned_up)
    # The whole file at once: to whoever waits for it, it says that the stack is up.
    beside = stack.folder.greeting.with_suffix(".new")
    beside.write_text(said)
    beside.replace(stack.folder.greeting)
    console.print(said, end="", highlight=False, markup=False, soft_wrap=True)
