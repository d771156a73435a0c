"""What the demo says, in order and with times: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy.local.demo.letters import Peer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from rich.console import Console

    from deploy.local.demo.verification import ChannelFigures

LABELS = {
    Peer.FCM: "Android (FCM)",
    Peer.APNS: "iOS (APNs)",
    Peer.SMS: "SMS (Twilio)",
    Peer.SMTP: "email (SMTP)",
}
_REFRESH_SECONDS = 0.1
_LINE_SECONDS = 1.0
_MAX_FINDINGS = 20
Arrived = dict[Peer, int]


class Report:
    """Writes to a console; every line begins with the seconds since the demo did."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        """The time starts now."""
        self.console = console
        self._clock = clock
        self._began = clock()

    @property
    def seconds(self) -> float:
        """Since the demo began."""
        return self._clock() - self._began

    def say(self, text: str, *, style: str = "") -> None:
        """Say that something was done."""
        self._line(f"{self.seconds:5.1f} s", text, style)

    def also(self, text: str, *, style: str = "") -> None:
        """Say more about the line before."""
        self._line(" " * 7, text, style)

    def well(self, text: str) -> None:
        """Say that a promise was kept."""
        self.also(f"✓ {text}", style="green")

    def badly(self, text: str) -> None:
        """Say that one was not."""
        self.also(f"✗ {text}", style="bold red")

    async def follow(
        self, arrived: Callable[[], Awaitable[Arrived]], expected: Mapping[Peer, int], doing: asyncio.Task[None]
    ) -> None:
        """Show how many messages have reached each provider, until `doing` is done, however it ends."""
        if self.console.is_terminal:
            await self._bars(arrived, expected, doing)
        else:
            await self._lines(arrived, expected, doing)

    def table(self, rows: Sequence[ChannelFigures]) -> None:
        """Print a row for each channel."""
        self.console.print()
        self.console.print(figures_table(rows))
        self.console.print()

    def findings(self, lines: Sequence[str]) -> None:
        """Print what is wrong, the first of it at least."""
        for line in lines[:_MAX_FINDINGS]:
            self.badly(line)
        if len(lines) > _MAX_FINDINGS:
            self.badly(f"and {len(lines) - _MAX_FINDINGS} more")

    def _line(self, margin: str, text: str, style: str) -> None:
        self.console.print(f"{margin}  ", end="", style="dim", highlight=False)
        self.console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    async def _bars(
        self, arrived: Callable[[], Awaitable[Arrived]], expected: Mapping[Peer, int], doing: asyncio.Task[None]
    ) -> None:
        columns = (
            TextColumn("         {task.description:<14}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            bars = {peer: progress.add_task(LABELS[peer], total=expected[peer]) for peer in expected}
            while not doing.done():
                for peer, number in (await arrived()).items():
                    progress.update(bars[peer], completed=number)
                await asyncio.wait({doing}, timeout=_REFRESH_SECONDS)
        self.say(f"{sum((await arrived()).values())} of {sum(expected.values())} have reached their provider")

    async def _lines(
        self, arrived: Callable[[], Awaitable[Arrived]], expected: Mapping[Peer, int], doing: asyncio.Task[None]
    ) -> None:
        while not doing.done():
            await asyncio.wait({doing}, timeout=_LINE_SECONDS)
            now = await arrived()
            each = ", ".join(f"{peer} {number}" for peer, number in now.items())
            self.say(f"{sum(now.values())} of {sum(expected.values())} have reached their provider ({each})")


def figures_table(rows: Sequence[ChannelFigures]) -> Table:
    """Draw the figures, a row for each channel and one for all."""
    table = Table(box=None, padding=(0, 0, 0, 3))
    table.add_column("channel", justify="left")
    for heading in ("sent", "held back", "delivered", "failed", "p50", "p99"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            LABELS[row.peer],
            *(str(number) for number in (row.sent, row.held_back, row.delivered, row.failed)),
            *(duration(row.percentile(percent)) for percent in (50, 99)),
        )
    totals = [sum(column) for column in zip(*((r.sent, r.held_back, r.delivered, r.failed) for r in rows), strict=True)]
    table.add_row("all", *(str(number) for number in totals), "", "", style="bold")
    return table


def duration(seconds: float | None) -> str:
    """Write a latency."""
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"
