"""The folder of one stack, and the lock that lets one supervisor have it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_SOCKET_PATH = 100


class StackFolder:
    """Where a stack keeps its state, logs, data, certificates and secrets."""

    def __init__(self, path: Path) -> None:
        """Take the folder; `prepare` makes it."""
        self.path = path.absolute()
        self.name = path.name
        self.logs = self.path / "logs"
        self.data = self.path / "data"
        self.secrets = self.path / "secrets"
        self.certificates = self.path / "certificates"
        self.state = self.path / "state.json"
        self.greeting = self.path / "next-steps"
        """There while the stack is up: what to do next."""
        self._lock = self.path / "lock"

    @property
    def socket(self) -> Path:
        """Where the supervisor listens: in the folder, or elsewhere if that is too long for a Unix socket."""
        inside = self.path / "control.sock"
        if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH:
            return inside
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"clarion-{os.getuid()}-{digest}.sock"

    def log(self, process: str) -> Path:
        """Give the place of a process's log."""
        return self.logs / f"{process}.log"

    def prepare(self) -> None:
        """Make the folder and those inside it. Raises Problem where that is not allowed."""
        try:
            for folder in (self.logs, self.data, self.certificates):
                folder.mkdir(parents=True, exist_ok=True)
            self.secrets.mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            raise Problem(
                f"{self.path} cannot be written ({exc.strerror})", remedy="choose another folder with --data"
            ) from exc

    def held_by(self) -> int | None:
        """Give the pid of the supervisor that has this stack, None if none has."""
        try:
            with self._lock.open("r") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except OSError:
                    return int(file.read().strip() or 0)
        except (FileNotFoundError, ValueError):
            pass
        return None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the stack; the kernel lets go for a supervisor that was killed. Raises Problem if it is held."""
        with self._lock.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as exc:
                raise Problem(
                    f"stack {self.name} is running already (supervisor pid {self.held_by()})",
                    remedy=f"run `clarion down --stack {self.name}`, or choose another name with --stack",
                ) from exc
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield
