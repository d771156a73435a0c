"""A process's log: a file that the process appends to and that never outgrows its bound."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BOUND = 20 * 2**20
_TAIL_BYTES = 64 * 2**10
_LONGEST_WORDS = 300


class LogFile:
    """One log and the generation before it (`<name>.1`).

    The process holds the file itself, so that logging costs the supervisor nothing; what is written between the
    copy and the cut of a rotation is lost, which is the price of that.
    """

    def __init__(self, path: Path, *, bound: int = BOUND) -> None:
        """Take its place and its bound in bytes."""
        self.path = path
        self._bound = bound

    def rotate(self) -> bool:
        """Move what was written aside if it has outgrown its bound; say whether it did."""
        try:
            if self.path.stat().st_size <= self._bound:
                return False
        except FileNotFoundError:
            return False
        shutil.copyfile(self.path, self.path.with_name(self.path.name + ".1"))
        with self.path.open("r+b") as file:
            file.truncate()
        return True

    def last_lines(self, count: int) -> list[str]:
        """Give the last lines, fewer when they are long or few."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - _TAIL_BYTES))
                return file.read().decode(errors="replace").splitlines()[-count:] if count else []
        except FileNotFoundError:
            return []

    def last_words(self) -> str:
        """Give, in one line, what its process said of its end: its last error, else its last line."""
        lines = [line.strip() for line in self.last_lines(20) if line.strip()]
        for line in reversed(lines):
            if error := _error(line):
                return error[:_LONGEST_WORDS]
        return lines[-1][:_LONGEST_WORDS] if lines else "none"


def _error(line: str) -> str:
    """Read an error that was logged as JSON; nothing if the line is something else."""
    try:
        said = json.loads(line)
        if said["level"] not in {"error", "critical"}:
            return ""
        return str(said.get("exception") or said["event"]).strip().splitlines()[-1]
    except (ValueError, KeyError, TypeError, IndexError):
        return ""
