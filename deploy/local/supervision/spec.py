"""What a supervisor is told about a process, and what it tells about one."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from deploy.local.supervision.command import Command


class Rank(enum.IntEnum):
    """Who ends before whom: lower ranks have ended before the next are asked to."""

    WORKER = 1
    SERVICE = 2
    PEER = 3
    ENGINE = 4


class State(enum.StrEnum):
    """Where a process is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    BACKING_OFF = "backing off"
    FAILED = "failed"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One process of a stack.

    `command` may block (it runs in a thread) and gives None for what runs elsewhere; `ready` asks once;
    `once_ready` is what has to be done before those that wait for it begin.
    """

    name: str
    rank: Rank
    command: Callable[[], Command | None]
    ready: Callable[[], Awaitable[bool]]
    once_ready: Callable[[], Awaitable[None]] | None = None
    after: tuple[str, ...] = ()
    address: str = ""
    metrics: str = ""
    description: str = ""
    ports: tuple[int, ...] = ()
    start_seconds: float = 60.0
    stop_seconds: float = 15.0
    attempts: int = 3
    """How often it may end before it was ready for the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStatus:
    """One process as it is now; `last_exit` is an exit code, negative for a signal, as in `subprocess`."""

    name: str
    rank: str
    state: State
    healthy: bool
    pid: int | None
    restarts: int
    last_exit: int | None
    up_seconds: float
    address: str
    metrics: str
    description: str
    log: str


def statuses(documents: object) -> list[ProcessStatus]:
    """Read statuses back from what `dataclasses.asdict` and JSON made of them."""
    if not isinstance(documents, list):
        raise TypeError(f"not a list of statuses: {type(documents).__name__}")
    return [ProcessStatus(**{**each, "state": State(each["state"])}) for each in documents]
