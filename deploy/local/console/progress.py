"""How a stack comes up, shown live: a table on a terminal, else a line for each change."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

from rich.live import Live
from rich.table import Table

from deploy.local.console.display import COLOURS
from deploy.local.supervision.spec import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

States: TypeAlias = dict[str, tuple[State, int]]
"""Each process's state and how often it was started again."""

_REFRESH_SECONDS = 0.2


async def show_progress(states: Callable[[], States], console: Console, until: asyncio.Future[None]) -> None:
    """Show how the processes come up until the future is done, however it ends."""
    if console.is_terminal:
        with Live(table(states()), console=console, transient=True, auto_refresh=False) as live:
            while not until.done():
                live.update(table(states()), refresh=True)
                await asyncio.wait({until}, timeout=_REFRESH_SECONDS)
        return
    before: States = {}
    while not until.done():
        await asyncio.wait({until}, timeout=_REFRESH_SECONDS)
        now = dict(states())
        for line in changes(before, now):
            console.print(line, highlight=False, markup=False)
        before = now


def table(states: States) -> Table:
    """Draw the states as they are now."""
    ready = sum(state is State.READY for state, _ in states.values())
    drawn = Table.grid(padding=(0, 2))
    drawn.add_row("[bold]process[/]", f"[bold]{ready} of {len(states)} ready[/]")
    for name, (state, restarts) in states.items():
        drawn.add_row(name, f"[{COLOURS[state]}]{state}[/]{_restarted(restarts)}")
    return drawn


def changes(before: States, now: States) -> list[str]:
    """Give a line for each process whose state is another than before."""
    return [
        f"{name}: {state}{_restarted(restarts)}"
        for name, (state, restarts) in now.items()
        if before.get(name) != (state, restarts) and state is not State.WAITING
    ]


def _restarted(restarts: int) -> str:
    if not restarts:
        return ""
    return " (restarted once)" if restarts == 1 else f" (restarted {restarts} times)"
