"""`make demo`, from an empty folder to its end."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from typing import TYPE_CHECKING

import aiohttp
import grpc
from rich.console import Console

from deploy.local.console.ending import end_stack
from deploy.local.console.progress import show_progress
from deploy.local.demo.ledger import Ledgers
from deploy.local.demo.performance import Performance
from deploy.local.demo.report import Report
from deploy.local.demo.scenario import scenario
from deploy.local.demo.sending import Unmet
from deploy.local.demo.tenant import access_token, bearer, connected
from deploy.local.problem import Problem
from deploy.local.stack import Stack, StackOptions

if TYPE_CHECKING:
    from deploy.local.machine.folder import StackFolder

NAME = "demo"
WELL, MISSING, INTERRUPTED = 0, 1, 130


def main() -> int:
    """Play the demo; answers the exit code: 0, 1 with what was missing, 130 if interrupted."""
    report = Report(Console())
    try:
        return asyncio.run(_interruptible(report))
    except (KeyboardInterrupt, asyncio.CancelledError):
        report.say("interrupted; everything has ended")
        return INTERRUPTED
    except Problem as problem:
        sys.stderr.write(f"clarion: {problem}\n")
        return MISSING


async def _interruptible(report: Report) -> int:
    # SIGTERM ends the demo as Ctrl-C does: its stack is stopped on the way out.
    playing = asyncio.ensure_future(play(report))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, playing.cancel)
    return await playing


async def play(report: Report) -> int:
    """Play the demo on a stack of its own, which has ended when this returns. Raises Problem."""
    stack = Stack(StackOptions(name=NAME))
    await _empty(stack.folder)
    report.say("starting a stack of its own: engines, Envoy, every service, and peers that play the providers")
    shortfalls: list[str] = []
    try:
        await _start(stack, report)
        await _perform(stack, report, shortfalls)
    except* (Unmet, grpc.aio.AioRpcError, aiohttp.ClientError) as failures:
        shortfalls += [_said(failure) for failure in _leaves(failures)]
    finally:
        report.say("ending the stack")
        await stack.stop()
    if not shortfalls:
        report.say("done; nothing is left running", style="bold green")
        return WELL
    report.say("not as it should be:", style="bold red")
    report.findings(shortfalls)
    report.also(f"the logs are in {stack.folder.logs}")
    return MISSING


async def _start(stack: Stack, report: Report) -> None:
    starting = asyncio.create_task(stack.start())
    try:
        if report.console.is_terminal:
            await show_progress(stack.states, report.console, starting)
        await starting
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    report.say(f"{len(stack.plan.specs)} processes are up", style="bold")
    for spec in stack.plan.specs:
        if spec.description:
            report.also(f"{spec.name}: {spec.description}", style="dim")


async def _perform(stack: Stack, report: Report, shortfalls: list[str]) -> None:
    addresses, client = stack.addresses, stack.demo_client
    token = await access_token(addresses.auth_url, client.client_id, client.client_secret)
    async with aiohttp.ClientSession() as session, connected(addresses, bearer(token)) as tenant:
        performance = Performance(
            stack=stack,
            tenant=tenant,
            ledgers=Ledgers(session, addresses.simulators_url),
            scenario=scenario(),
            report=report,
            shortfalls=shortfalls,
        )
        await performance.play()


async def _empty(folder: StackFolder) -> None:
    """Begin anew: end what a killed demo left and remove its folder. Raises Problem while another demo runs."""
    if folder.held_by() is not None:
        raise Problem(f"a demo is running already (pid {folder.held_by()})", remedy="wait for its end")
    await end_stack(folder)
    await asyncio.to_thread(shutil.rmtree, folder.path, ignore_errors=True)


def _leaves(failures: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for each in failures.exceptions:
        leaves += _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return leaves


def _said(failure: BaseException) -> str:
    if isinstance(failure, grpc.aio.AioRpcError):
        return f"a call failed: {failure.code().name}: {failure.details()}"
    return str(failure) or type(failure).__name__
