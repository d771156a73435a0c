"""Processes that a killed supervisor left behind: found by pid and start time, ended, or named exactly."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from deploy.local.problem import Problem

if TYPE_CHECKING:
    from deploy.local.supervision.state import Recorded, StateFile

_SAME_SECONDS = 2.0
_GENTLE_SECONDS = 5.0
_FORCED_SECONDS = 5.0


def alive(recorded: list[Recorded]) -> list[tuple[Recorded, psutil.Process]]:
    """Give what still runs of them: each one itself, and what it started, even where only that is left.

    Every child leads a session of its own, whose number its descendants keep and no new process gets while they
    live. A process that has the number but began at another time is a stranger.
    """
    by_session = {each.pid: each for each in recorded}
    strangers = {each.pid for each in recorded if _is_stranger(each)}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            session = os.getsid(process.pid)
            if session not in by_session or session in strangers:
                continue
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append((by_session[session], process))
    return found


def end(state: StateFile) -> list[str]:
    """End what an earlier supervisor left and give the names. Raises Problem naming what cannot be ended."""
    found = alive(state.recorded())
    groups = {each.pid for each, _ in found}
    for group in groups:
        _signal_group(group, signal.SIGTERM)
    _, remaining = psutil.wait_procs([process for _, process in found], timeout=_GENTLE_SECONDS)
    for group in groups if remaining else ():
        _signal_group(group, signal.SIGKILL)
    _, stuck = psutil.wait_procs(remaining, timeout=_FORCED_SECONDS)
    if stuck:
        names = {process.pid: each.name for each, process in found}
        listed = ", ".join(f"{names[process.pid]} (pid {process.pid})" for process in stuck)
        raise Problem(
            f"left over from an earlier run and not to be ended: {listed}",
            remedy=f"end them yourself: `kill -9 {' '.join(str(process.pid) for process in stuck)}`",
        )
    for each in state.recorded():
        state.forget(each.name)
    return list(dict.fromkeys(each.name for each, _ in found))


def _is_stranger(recorded: Recorded) -> bool:
    try:
        return abs(psutil.Process(recorded.pid).create_time() - recorded.began) >= _SAME_SECONDS
    except psutil.NoSuchProcess:
        return False


def _signal_group(pid: int, signum: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signum)
