"""What a stack remembers between runs: the ports it was given, and the processes that may be alive."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import psutil

from deploy.local.problem import Problem

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A process that was started: its pid means it only together with the time at which it began."""

    name: str
    pid: int
    began: float


@dataclass(slots=True, kw_only=True)
class _Document:
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, Recorded] = field(default_factory=dict)


class StateFile:
    """The state file of a stack; only the supervisor that holds the stack's lock writes it."""

    def __init__(self, path: Path) -> None:
        """Read what an earlier run left. Raises Problem when it cannot be understood."""
        self._path = path
        self._document = _Document()
        try:
            stored = json.loads(path.read_bytes())
            self._document.ports = {str(name): int(port) for name, port in stored["ports"].items()}
            for each in stored["processes"]:
                recorded = Recorded(name=each["name"], pid=int(each["pid"]), began=float(each["began"]))
                self._document.processes[recorded.name] = recorded
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
            raise Problem(f"{path} cannot be read", remedy="remove that file and try again") from exc

    def ports(self) -> dict[str, int]:
        """Give the ports that were chosen at an earlier run."""
        return dict(self._document.ports)

    def keep_ports(self, ports: dict[str, int]) -> None:
        """Remember the ports for the next run."""
        self._document.ports = dict(ports)
        self._write()

    def recorded(self) -> list[Recorded]:
        """Give the processes that were started and not seen to end."""
        return list(self._document.processes.values())

    def record(self, name: str, pid: int) -> None:
        """Remember a process that has just been started."""
        try:
            began = psutil.Process(pid).create_time()
        except psutil.Error:
            return
        self._document.processes[name] = Recorded(name=name, pid=pid, began=began)
        self._write()

    def forget(self, name: str) -> None:
        """Forget a process that has ended."""
        if self._document.processes.pop(name, None) is not None:
            self._write()

    def _write(self) -> None:
        document = {
            "ports": self._document.ports,
            "processes": [asdict(each) for each in self._document.processes.values()],
        }
        beside = self._path.with_name(self._path.name + ".new")
        beside.write_text(json.dumps(document, indent=2))
        beside.replace(self._path)
