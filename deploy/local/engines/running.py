"""One engine for the length of a `with` block, for tests and other callers that are not a supervisor."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deploy.local.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from deploy.local.engines.engine import Engine

_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.1


@contextmanager
def running(engine: Engine, *, log: Path) -> Iterator[Engine]:
    """Run the engine until the block ends; inside the block it is ready. Raises Problem if it does not start."""
    command = engine.command()
    if command is None:
        yield engine
        return
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - an engine that we located
            command.wrapped(),
            cwd=command.directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(engine, process, log)
        yield engine
    finally:
        _stop(process)


def _wait_until_ready(engine: Engine, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not engine.ready():
        if process.poll() is not None:
            raise Problem(f"{engine.name} ended with {process.returncode} while starting", remedy=f"see {log}")
        if time.monotonic() > deadline:
            raise Problem(f"{engine.name} was not ready within {_START_SECONDS:.0f} s", remedy=f"see {log}")
        time.sleep(_POLL_SECONDS)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
