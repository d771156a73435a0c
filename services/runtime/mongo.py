"""MongoDB: how it is opened, and what its errors mean. With the repositories the only place that knows the driver."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import errors as driver
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from services.runtime import deadline
from services.runtime.errors import AlreadyExists, Conflict, DeadlineExceeded, InvalidInput, Unavailable, Violation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from motor.motor_asyncio import AsyncIOMotorDatabase

    from services.runtime.settings import MongoSettings

Document = dict[str, Any]
SELECT_SERVER_MS = 1_500
"""How long a call waits for a primary before it says UNAVAILABLE."""
HEARTBEAT_MS = 1_000
"""How often a server is asked whether it is there. One that falls silent while its connections stand is noticed after
this and SELECT_SERVER_MS, and the driver ends the calls that wait for it: by default that would take 10 s more."""
OPERATION_SECONDS = 10.0
"""What a majority may take to confirm a write; reads get twice that."""


@asynccontextmanager
async def opened(settings: MongoSettings) -> AsyncIterator[AsyncIOMotorDatabase[Document]]:
    """The database, with majority writes; connects when it is first used, and again after every failure."""
    client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
        settings.mongo_url.get_secret_value(),
        appname="clarion",
        tz_aware=True,
        serverSelectionTimeoutMS=SELECT_SERVER_MS,
        connectTimeoutMS=SELECT_SERVER_MS,
        heartbeatFrequencyMS=HEARTBEAT_MS,
        socketTimeoutMS=int(OPERATION_SECONDS * 2000),
        maxPoolSize=50,
        waitQueueTimeoutMS=5_000,
    )
    try:
        yield client.get_database(
            settings.mongo_database,
            write_concern=WriteConcern(w="majority", j=True, wtimeout=int(OPERATION_SECONDS * 1000)),
            read_concern=ReadConcern("majority"),
        )
    finally:
        client.close()


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into the taxonomy; where the caller's time is over nothing is begun.

    A BulkWriteError passes unless it stands for an unreachable majority: only the caller knows what its items mean.
    """
    left = deadline.remaining()
    if left == 0:
        raise DeadlineExceeded
    # pymongo.timeout is of no use here: inside it the driver looks for a primary for the whole of that time, and
    # "at once" would become seconds. A call whose time ends meanwhile is cancelled by its server.
    try:
        yield
    except driver.DuplicateKeyError as exc:
        raise AlreadyExists from exc
    except driver.BulkWriteError as exc:
        if exc.details.get("writeConcernErrors") and not exc.details.get("writeErrors"):
            raise Unavailable("the store did not confirm the write") from exc
        raise
    except driver.DocumentTooLarge as exc:
        raise InvalidInput([Violation("request", "is too large to be stored")]) from exc
    except driver.OperationFailure as exc:
        if exc.has_error_label("TransientTransactionError") or exc.code == _WRITE_CONFLICT:
            raise Conflict from exc
        if exc.timeout and left is not None and not deadline.remaining():
            raise DeadlineExceeded from exc
        if exc.timeout or exc.code in _UNREACHABLE:
            raise Unavailable("the store did not answer in time") from exc
        raise
    except driver.PyMongoError as exc:
        raise Unavailable("the store cannot be reached") from exc


_WRITE_CONFLICT = 112
# InterruptedAtShutdown, PrimarySteppedDown, ShutdownInProgress, NotWritablePrimary, InterruptedDueToReplStateChange,
# NotPrimaryOrSecondary, WriteConcernFailed: github.com/mongodb/mongo, src/mongo/base/error_codes.yml.
_UNREACHABLE = frozenset({64, 91, 189, 10107, 11600, 11602, 13435, 13436})
