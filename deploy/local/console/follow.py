"""A log file as it was and as it grows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from deploy.local.supervision.logfile import LogFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_POLL_SECONDS = 0.2


def tail(path: Path, *, lines: int, follow: bool, sleep: Callable[[float], None] = time.sleep) -> Iterator[str]:
    """Give the last lines and, when following, every line that comes, across rotations; blocks."""
    with path.open("rb") as file:
        # The end is fixed before the last lines are read: a line that comes between is shown twice, not lost.
        position = file.seek(0, 2)
        yield from LogFile(path).last_lines(lines)
        rest = b""
        while follow:
            if path.stat().st_size < position:
                position, rest = 0, b""
            file.seek(position)
            read = file.read()
            position += len(read)
            *whole, rest = (rest + read).split(b"\n")
            yield from (line.decode(errors="replace") for line in whole)
            if not read:
                sleep(_POLL_SECONDS)
