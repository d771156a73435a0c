"""Free ports of this machine, and who holds one that is not free."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import psutil

from deploy.local.problem import Problem

LOOPBACK = "127.0.0.1"
_LOWEST = 10_240
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_EPHEMERAL_BY_DEFAULT = 32_768
_ATTEMPTS = 10_000


def free_ports(count: int) -> list[int]:
    """Give `count` different ports of loopback that nothing listens on. Raises Problem.

    They lie below the ephemeral range: a port inside it may be taken, by any process's outgoing connection,
    between two runs of the server that is to have it.
    """
    highest = _first_ephemeral()
    chosen: set[int] = set()
    for _ in range(_ATTEMPTS):
        if len(chosen) == count:
            return sorted(chosen)
        port = random.randrange(_LOWEST, highest)  # noqa: S311 - a choice, not a secret
        if port not in chosen and is_free(port):
            chosen.add(port)
    raise Problem(f"no {count} free ports below {highest}", remedy="end what holds them")


def is_free(port: int) -> bool:
    """Say whether a server could listen on this port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def holder(port: int) -> str:
    """Name the process that listens on a port, as far as this user may know."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return "another process"
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            if connection.pid is None:
                break
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                break
    return "another process"


def _first_ephemeral() -> int:
    try:
        return int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _EPHEMERAL_BY_DEFAULT
