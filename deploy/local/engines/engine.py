"""What every engine offers to whoever runs it, the supervisor or a test."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.local.supervision.command import Command


class Origin(enum.StrEnum):
    """Where an engine came from, in the order in which they are looked for."""

    URL = "url"
    PATH = "path"
    WHEEL = "wheel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An engine that can be used: `description` is for people, `address` is set when it runs elsewhere."""

    origin: Origin
    description: str
    executable: Path | None = None
    address: str | None = None


class Engine(Protocol):
    """One engine of a stack. Its methods block: a supervisor calls them from a thread."""

    @property
    def name(self) -> str:
        """Its short name: `mongodb`, `redis` or `kafka`."""
        ...

    @property
    def found(self) -> Found:
        """Where it came from."""
        ...

    @property
    def address(self) -> str:
        """What a client is given: a URL, or bootstrap servers."""
        ...

    def command(self) -> Command | None:
        """Prepare its folder and say what to run; None when it runs elsewhere. Raises Problem."""
        ...

    def ready(self) -> bool:
        """Ask it once whether it can serve, taking the one step that it may need; "not yet" is False."""
        ...
