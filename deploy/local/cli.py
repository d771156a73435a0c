"""The `clarion` command."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.local.console.background import detach
from deploy.local.console.display import status_table
from deploy.local.console.ending import end_stack
from deploy.local.console.follow import tail
from deploy.local.machine.places import cache_folder, home_folder
from deploy.local.machine.stackname import stack_folder
from deploy.local.problem import Problem
from deploy.local.supervision.control import ControlClient, NotRunning
from deploy.local.supervision.spec import State, statuses

NOT_WELL = 1
NOT_RUNNING = 3
INTERRUPTED = 130
_WIDE = 200
_EPILOG = "Exit codes: 0 well, 1 failed or not healthy, 2 wrong usage, 3 not running, 130 interrupted."

app = typer.Typer(
    name="clarion",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=_EPILOG,
)

StackName = Annotated[str, typer.Option("--stack", metavar="NAME", help="Which stack; several run side by side.")]
Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Folder of all stacks  [default: .clarion]")]
Process = Annotated[str, typer.Argument(metavar="SERVICE", help="A process as `clarion status` names it.")]


@app.callback()
def clarion() -> None:
    """Run Clarion on this machine: engines, Envoy, provider peers and every service.

    \b
    Examples:
      clarion doctor              what this machine has and lacks
      clarion up --detach         start everything and return
      clarion status              how it is
      clarion logs -f processor   what a service says
      clarion down                end everything
    """


@app.command(epilog=_EPILOG)
def up(
    stack: StackName = "default",
    data: Data = None,
    *,
    detached: Annotated[bool, typer.Option("--detach", "-d", help="Return once everything is ready.")] = False,
    port: Annotated[
        list[str] | None,
        typer.Option("--port", metavar="NAME=PORT", help="Fix a port, e.g. notification.grpc=50051; repeatable."),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="SERVICE", help="Leave a service to you, e.g. a debugger; repeatable."),
    ] = None,
) -> None:
    """Start everything and wait until it is ready.

    \b
    Examples:
      clarion up
      clarion up --detach
      clarion up --stack second --port notification.grpc=50051
      clarion up --without processor
    """
    folder = stack_folder(stack, data or home_folder())
    ports = _ports(port or [])
    console = Console()
    if detached:
        arguments = [f"--port={each}" for each in port or []] + [f"--without={each}" for each in without or []]
        asyncio.run(detach(folder, arguments, console))
        return
    # Imported here: what a stack needs takes most of a second to import, and `status` needs none of it.
    from deploy.local.console.foreground import Interrupted, run
    from deploy.local.stack import Stack, StackOptions

    options = StackOptions(name=stack, home=folder.path.parent, ports=ports, without=frozenset(without or []))
    try:
        asyncio.run(run(Stack(options), console))
    except Interrupted:
        raise typer.Exit(INTERRUPTED) from None


@app.command(epilog=_EPILOG)
def down(stack: StackName = "default", data: Data = None) -> None:
    """Drain and end everything; also what a killed supervisor has left.

    \b
    Examples:
      clarion down
      clarion down --stack second
    """
    folder = stack_folder(stack, data or home_folder())
    Console().print(asyncio.run(end_stack(folder)), highlight=False, soft_wrap=True)


@app.command(epilog=_EPILOG)
def status(
    stack: StackName = "default",
    data: Data = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show how every process is.

    \b
    Examples:
      clarion status
      clarion status --json | python3 -m json.tool
    """
    folder = stack_folder(stack, data or home_folder())
    processes = statuses(asyncio.run(ControlClient(socket=folder.socket).ask("status")))
    well = all(each.state is State.READY and each.healthy for each in processes)
    if as_json:
        document = {"stack": stack, "healthy": well, "processes": [asdict(each) for each in processes]}
        typer.echo(json.dumps(document, indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else _WIDE).print(status_table(stack, processes))
    if not well:
        raise typer.Exit(NOT_WELL)


@app.command(epilog=_EPILOG)
def logs(
    process: Process,
    stack: StackName = "default",
    data: Data = None,
    *,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with every line that comes.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many of the last lines.")] = 50,
) -> None:
    """Show what a process has logged.

    \b
    Examples:
      clarion logs notification
      clarion logs -f -n 0 processor
    """
    folder = stack_folder(stack, data or home_folder())
    path = folder.log(process)
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in folder.logs.glob("*.log"))) or "none yet"
        raise Problem(f"there is no log of {process}", remedy=f"choose one of: {known}")
    for line in tail(path, lines=lines, follow=follow):
        typer.echo(line)


@app.command(epilog=_EPILOG)
def restart(process: Process, stack: StackName = "default", data: Data = None) -> None:
    """Drain and end one process, and start it again.

    \b
    Example:
      clarion restart delivery
    """
    _control("restart", process, stack, data)


@app.command(epilog=_EPILOG)
def stop(process: Process, stack: StackName = "default", data: Data = None) -> None:
    """Drain and end one process; it stays down until it is started.

    \b
    Example:
      clarion stop processor
    """
    _control("stop", process, stack, data)


@app.command(epilog=_EPILOG)
def start(process: Process, stack: StackName = "default", data: Data = None) -> None:
    """Start one process that was stopped.

    \b
    Example:
      clarion start processor
    """
    _control("start", process, stack, data)


@app.command(epilog=_EPILOG)
def doctor(data: Data = None) -> None:
    """Say what was found where, what is missing and what to do about it.

    \b
    Examples:
      clarion doctor
      clarion doctor && clarion up
    """
    from deploy.local.console.doctor import examine

    findings = examine(os.environ, home=data or home_folder(), cache=cache_folder())
    console = Console()
    for finding in findings:
        mark, colour = ("ok", "green") if finding.is_well else ("missing", "red")
        console.print(f"[{colour}]{mark:8}[/]{finding.name:10}", end="", highlight=False)
        console.print(finding.found, highlight=False, markup=False, soft_wrap=True)
        if finding.remedy:
            console.print(f"{'':18}{finding.remedy}", highlight=False, markup=False, soft_wrap=True)
    if not all(finding.is_well for finding in findings):
        raise typer.Exit(NOT_WELL)


@app.command(epilog=_EPILOG)
def demo() -> None:
    """Send 1,000 notifications over four channels through a stack of its own, and prove that each arrived once.

    \b
    Example:
      clarion demo
    """
    from deploy.local.demo.command import main as play

    raise typer.Exit(play())


def main() -> None:
    """Run the command; what is in the way is said in one line."""
    try:
        app()
    except Problem as problem:
        sys.stderr.write(f"clarion: {problem}\n")
        sys.exit(NOT_RUNNING if isinstance(problem, NotRunning) else NOT_WELL)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _control(what: str, process: str, stack: str, data: Path | None) -> None:
    folder = stack_folder(stack, data or home_folder())
    asyncio.run(ControlClient(socket=folder.socket).ask(what, process))


def _ports(given: list[str]) -> dict[str, int]:
    ports = {}
    for each in given:
        name, _, port = each.partition("=")
        if not port.isdigit() or not 0 < int(port) < 65536:
            raise typer.BadParameter(f"{each!r} is not NAME=PORT, e.g. notification.grpc=50051")
        ports[name] = int(port)
    return ports
