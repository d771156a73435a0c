"""What the demo says can be read without a terminal."""

from __future__ import annotations

import asyncio
import io

import pytest
from rich.console import Console

from deploy.local.demo.letters import Peer
from deploy.local.demo.report import Report, duration
from deploy.local.demo.verification import ChannelFigures


def plain() -> tuple[Report, io.StringIO]:
    written = io.StringIO()
    moments = iter(float(second) for second in range(100))
    return Report(Console(file=written, width=100), clock=lambda: next(moments)), written


def test_a_line_begins_with_the_time_and_has_no_colours() -> None:
    report, written = plain()
    report.say("first", style="bold green")
    report.well("kept")
    report.badly("broken")
    assert written.getvalue() == "  1.0 s  first\n         ✓ kept\n         ✗ broken\n"


def test_the_table_has_a_row_for_each_channel_and_the_sums() -> None:
    report, written = plain()
    row = ChannelFigures(peer=Peer.SMS, sent=250, held_back=1, delivered=248, failed=1, latencies=(0.02, 1.5))
    none = ChannelFigures(peer=Peer.FCM, sent=2, held_back=2, delivered=0, failed=0, latencies=())
    report.table([row, none])
    lines = [line.split() for line in written.getvalue().splitlines() if line.strip()]
    assert lines[1] == ["SMS", "(Twilio)", "250", "1", "248", "1", "20", "ms", "1.50", "s"]
    assert lines[2][-6:] == ["2", "2", "0", "0", "-", "-"]
    assert lines[3] == ["all", "252", "3", "248", "1"]


async def test_progress_is_told_in_lines_until_the_work_is_done() -> None:
    report, written = plain()

    async def arrived() -> dict[Peer, int]:
        return {Peer.SMS: 3}

    async def work() -> None:
        await asyncio.sleep(0)

    await report.follow(arrived, {Peer.SMS: 5}, asyncio.create_task(work()))
    assert "3 of 5 have reached their provider (sms 3)" in written.getvalue()


def test_only_the_first_of_many_findings_are_listed() -> None:
    report, written = plain()
    report.findings([f"finding {number}" for number in range(30)])
    assert "finding 19" in written.getvalue()
    assert "finding 20" not in written.getvalue()
    assert "and 10 more" in written.getvalue()


@pytest.mark.parametrize(("seconds", "written"), [(None, "-"), (0.0004, "0 ms"), (0.25, "250 ms"), (2.345, "2.35 s")])
def test_latencies_are_written_in_the_unit_that_suits(seconds: float | None, written: str) -> None:
    assert duration(seconds) == written


async def test_progress_on_a_terminal_ends_with_a_line_that_stays() -> None:
    written = io.StringIO()
    report = Report(Console(file=written, width=100, force_terminal=True, color_system=None), clock=lambda: 0.0)

    async def arrived() -> dict[Peer, int]:
        return {Peer.SMS: 5}

    async def work() -> None:
        await asyncio.sleep(0)

    await report.follow(arrived, {Peer.SMS: 5}, asyncio.create_task(work()))
    assert "SMS (Twilio)" in written.getvalue()
    assert "5 of 5 have reached their provider" in written.getvalue().splitlines()[-1]
