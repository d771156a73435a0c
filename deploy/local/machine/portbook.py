"""Which port of a stack is whose: fixed by an option, or chosen once and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.local.machine.ports import free_ports, holder, is_free
from deploy.local.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping


class PortBook:
    """Hands out ports by name, such as `notification.grpc`."""

    def __init__(self, *, fixed: Mapping[str, int], kept: Mapping[str, int]) -> None:
        """Take the ports that must be, and those that were chosen at an earlier run."""
        self._fixed = dict(fixed)
        self._kept = dict(kept)
        self._given: dict[str, int] = {}

    def port(self, name: str) -> int:
        """Give the port of this name, free now. Raises Problem, naming the holder, if a fixed one is taken."""
        if name in self._given:
            return self._given[name]
        if name in self._fixed:
            port = self._fixed[name]
            if not is_free(port):
                raise Problem(
                    f"port {port} for {name} is taken by {holder(port)}",
                    remedy="end that process, or choose another port with --port",
                )
        else:
            port = self._kept.get(name, 0)
            while port == 0 or port in self._given.values() or port in self._fixed.values() or not is_free(port):
                (port,) = free_ports(1)
        self._given[name] = port
        return port

    def given(self) -> dict[str, int]:
        """Give all that was handed out. Raises Problem if a fixed port has a name that nobody asked for."""
        unknown = sorted(self._fixed.keys() - self._given.keys())
        if unknown:
            known = ", ".join(sorted(self._given))
            raise Problem(f"there is no port named {', '.join(unknown)}", remedy=f"choose one of {known}")
        return dict(self._given)
