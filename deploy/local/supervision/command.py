"""A child process to be: what to run, where and with which environment."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run; `environment` is added to the supervisor's own."""

    argv: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def wrapped(self) -> tuple[str, ...]:
        """Give the argument list that dies with the process that asks for it (see `launch`)."""
        return (sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), *self.argv)
