"""Single notifications followed through one change stream of MongoDB.

One stream serves all followers of a process, because Motor holds a thread for each stream that waits, of a pool that
inserts need too (`motor.frameworks.asyncio`: five threads a core). It asks for the followed ids only, and is opened
anew, from where the old one stood, when someone follows an id that it does not ask for.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, Self

import structlog
from pymongo.errors import PyMongoError

from services.notification.adapters.documents import COLLECTION, WITHOUT_SPEC, stored
from services.runtime.errors import ClarionError, NotFound, Unavailable
from services.runtime.mongo import translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from types import TracebackType

    from motor.motor_asyncio import AsyncIOMotorDatabase

    from services.notification.domain import Stored
    from services.runtime.mongo import Document

log = structlog.get_logger()
AWAIT_MILLISECONDS: Final = 100
"""How long the stream waits for changes before it looks whether someone new wants to follow."""
MAX_BEHIND: Final = 1_000
"""Changes that a slow follower may be behind before it is told to come again."""
_SHOWN: Final = frozenset({"state", "reason", "revision", "updated_at"})
_ENDING = "this process is ending; watch again"


class _Follower:
    def __init__(self) -> None:
        self._changes: asyncio.Queue[Mapping[str, Any] | ClarionError] = asyncio.Queue()
        self.covered: asyncio.Future[ClarionError | None] = asyncio.get_running_loop().create_future()

    def cover(self, error: ClarionError | None = None) -> None:
        """The stream asks for this follower's id, or there is none."""
        if not self.covered.done():
            self.covered.set_result(error)

    def put(self, change: Mapping[str, Any]) -> None:
        if self._changes.qsize() < MAX_BEHIND:
            self._changes.put_nowait(change)
        else:
            self.fail(Unavailable("the watcher is too slow; watch again"))

    def fail(self, error: ClarionError) -> None:
        self.cover(error)
        self._changes.put_nowait(error)

    async def get(self) -> Mapping[str, Any]:
        change = await self._changes.get()
        if isinstance(change, ClarionError):
            raise change
        return change


class MongoChanges:
    """Hands each change of a followed notification to its followers."""

    def __init__(self, database: AsyncIOMotorDatabase[Document]) -> None:
        """Nothing is opened before someone follows."""
        self._collection = database.get_collection(COLLECTION)
        self._followers: defaultdict[str, set[_Follower]] = defaultdict(set)
        self._reading: asyncio.Task[None] | None = None
        self._ending = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    @property
    def streaming(self) -> bool:
        """Whether a change stream is open."""
        return self._reading is not None

    def end(self) -> None:
        """Send all followers away, to come again to another process."""
        self._ending = True
        self._fail(Unavailable(_ENDING, retry_after=0.1))

    @asynccontextmanager
    async def follow(self, tenant: str, notification_id: str) -> AsyncIterator[AsyncIterator[Stored]]:
        """The notification now and after each change: the stream is open before the first look at it."""
        if self._ending:
            raise Unavailable(_ENDING, retry_after=0.1)
        follower = _Follower()
        self._followers[notification_id].add(follower)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="notification-changes", context=Context())
        try:
            failure = await follower.covered
            if failure is not None:
                raise failure
            with translated():
                kept = await self._collection.find_one({"_id": notification_id, "tenant": tenant}, WITHOUT_SPEC)
            if kept is None:
                raise NotFound("there is no such notification")
            yield _changes(follower, kept)
        finally:
            self._followers[notification_id].discard(follower)
            if not self._followers[notification_id]:
                del self._followers[notification_id]

    async def _read(self) -> None:
        token: Mapping[str, Any] | None = None
        last: frozenset[str] = frozenset()
        try:
            while self._followers:
                # A stream can only resume behind a change that it asks for itself.
                ids = last | self._followers.keys()
                stream = self._collection.watch(
                    _pipeline(ids), resume_after=token, max_await_time_ms=AWAIT_MILLISECONDS
                )
                async with stream:
                    while self._followers and self._followers.keys() <= ids:
                        self._cover(ids)
                        change = await stream.try_next()
                        if change is not None:
                            last = frozenset({change["documentKey"]["_id"]})
                            self._hand_out(change)
                    token = stream.resume_token
        except PyMongoError as exc:
            log.warning("changes_lost", error=type(exc).__name__)
            self._fail(Unavailable("the store cannot be followed"))
        except Exception:
            log.exception("changes_broken")
            self._fail(Unavailable("the store cannot be followed"))
        finally:
            self._reading = None

    def _cover(self, ids: frozenset[str]) -> None:
        for notification_id in ids & self._followers.keys():
            for follower in self._followers[notification_id]:
                follower.cover()

    def _hand_out(self, change: Mapping[str, Any]) -> None:
        for follower in self._followers.get(change["documentKey"]["_id"], ()):
            if change["operationType"] == "delete":
                follower.fail(NotFound("the notification is no longer kept"))
            else:
                follower.put(change["updateDescription"]["updatedFields"])

    def _fail(self, error: ClarionError) -> None:
        for followers in self._followers.values():
            for follower in followers:
                follower.fail(error)


def _pipeline(ids: frozenset[str]) -> list[Document]:
    return [
        {"$match": {"operationType": {"$in": ["update", "delete"]}, "documentKey._id": {"$in": sorted(ids)}}},
        {"$project": {"operationType": True, "documentKey": True, "updateDescription.updatedFields": True}},
    ]


async def _changes(follower: _Follower, kept: Document) -> AsyncIterator[Stored]:
    yield stored(kept)
    while True:
        if _apply(await follower.get(), kept):
            yield stored(kept)


def _apply(fields: Mapping[str, Any], kept: Document) -> bool:
    """Bring the document up to date; whether it was behind. The first look may have seen what the stream tells later."""
    if fields.get("revision", 0) <= kept["revision"]:
        return False
    for name, value in fields.items():
        whole, _, part = name.partition(".")
        if name in _SHOWN:
            kept[name] = value
        elif whole == "totals":
            kept["totals"].update({part: value} if part else value)
    return True
