"""What people see of a stack that is up: a table of how it is, and what to do next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from deploy.local.supervision.spec import ProcessStatus, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.local.composition.plan import Plan

COLOURS = {
    State.WAITING: "dim",
    State.STARTING: "yellow",
    State.READY: "green",
    State.BACKING_OFF: "red",
    State.FAILED: "bold red",
    State.STOPPING: "yellow",
    State.STOPPED: "dim",
}
_EXTRACT = "python3 -c 'import json, sys; print(json.load(sys.stdin)[\"access_token\"])'"
_MESSAGE = (
    '{"recipients":[{"address":{"email":"ada@example.com"}}],'
    '"content":{"email":{"subject":"Hello","text":"It works."}}}'
)


def status_table(stack: str, processes: list[ProcessStatus]) -> Table:
    """Draw how the processes of a stack are."""
    table = Table(title=f"stack {stack}", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in ("process", "state", "pid", "up", "restarts", "address", ""):
        table.add_column(heading, overflow="fold")
    for each in processes:
        shown = "not healthy" if each.state is State.READY and not each.healthy else str(each.state)
        colour = "red" if shown == "not healthy" else COLOURS[each.state]
        table.add_row(
            each.name,
            f"[{colour}]{shown}[/]",
            str(each.pid or ""),
            _duration(each.up_seconds) if each.state is State.READY else "",
            _restarts(each),
            each.address,
            each.description,
        )
    return table


def next_steps(stack: str, plan: Plan) -> list[str]:
    """Give the lines that show how to go on: a token, a call, the logs."""
    if plan.addresses is None or plan.secrets is None:
        return []
    addresses, demo = plan.addresses, plan.secrets.demo
    option = "" if stack == "default" else f" --stack {stack}"
    secret = f"$(cat {shlex.quote(str(plan.secrets.demo_secret_file))})"
    notification = addresses.grpc["notification"]
    clarion, grpcurl = _runnable("clarion"), _runnable("grpcurl")
    ask = f'curl -s -u "{demo.client_id}:{secret}" -d grant_type=client_credentials {addresses.auth_url}/oauth2/token'
    call = f'{grpcurl} -plaintext -H "authorization: Bearer $TOKEN" -d'
    return [
        "# a token for the demo tenant",
        f"TOKEN=$({ask} | {_EXTRACT})",
        "# what there is to call",
        f"{grpcurl} -plaintext {notification} list",
        "# send a notification",
        f"{call} '{_MESSAGE}' {notification} clarion.notification.v1.NotificationService/SendNotification",
        "# what the mail peer received",
        f"curl -s {addresses.simulators_url}/smtp/messages",
        "# how it is, what it says, and the end of it",
        f"{clarion} status{option}",
        f"{clarion} logs -f notification{option}",
        f"{clarion} down{option}",
    ]


def greeting(stack: str, plan: Plan, *, cleaned_up: Sequence[str] = ()) -> str:
    """Write what is said once a stack is up: what was found, and how to go on."""
    lines = [f"# {spec.name}: {spec.description}" for spec in plan.specs if spec.description]
    if cleaned_up:
        lines.append(f"# ended what an earlier supervisor had left: {', '.join(cleaned_up)}")
    return "\n".join([*lines, f"# stack {stack} is up", *next_steps(stack, plan)]) + "\n"


def _runnable(name: str) -> str:
    """Give what to type for an executable of this environment, which may not be on PATH."""
    beside = Path(sys.executable).with_name(name)
    if shutil.which(name) or not beside.exists():
        return name
    return os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside)


def _restarts(status: ProcessStatus) -> str:
    if not status.restarts:
        return ""
    return f"{status.restarts} (last exit {status.last_exit})"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
