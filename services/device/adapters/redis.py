"""The cache of answers, in Redis: one key for each user.

A key holds either an answer (`v` and a serialized ResolvedRecipient) or a lease (`l` and 8 random bytes), as in
"Scaling Memcache at Facebook" (NSDI 2013, 3.2.1). Why no answer can outlive a write:

- A reader that finds nothing takes a lease (SET NX) and only then reads the stores. It may put its answer into the
  key only while the key still holds that very lease; the comparison and the write are one script.
- A writer deletes the key after its write to the stores and before it answers. So an answer that was read before the
  write is either in the key by then, and deleted, or its lease is gone, and it is refused. A lease that was
  taken after the deletion has other bytes, and its reader sees the write.
- A lease that is lost (evicted, expired, a failover) refuses too: absence never means permission.

Where the deletion cannot happen because Redis is down, an answer ends with its time to live, at most `answer_seconds`
plus LEASE_SECONDS after the write.

Every command and the script touch one key, so any Redis Cluster takes them; commands of a batch share a pipeline.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from clarion.device.v1 import ResolvedRecipient
from google.protobuf.message import DecodeError

from services.device import messages
from services.device.ports import CacheAnswer
from services.runtime.redis import translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from redis.asyncio import Redis

    from services.device.domain import Reach, UserKey

LEASE_SECONDS: Final = 5.0
"""How long a reader may take for the stores."""
_ANSWER, _LEASE = b"v", b"l"
_FILL = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return false
"""


def _random() -> bytes:
    return secrets.token_bytes(8)


class RedisReachCache:
    """A ReachCache."""

    def __init__(
        self,
        client: Redis,
        *,
        answer_seconds: float,
        unknown_seconds: float,
        unique: Callable[[], bytes] = _random,
    ) -> None:
        """How long answers live, and those for users who are not known; `unique` never answers the same twice."""
        self._client = client
        self._answer_ms, self._unknown_ms = int(answer_seconds * 1000), int(unknown_seconds * 1000)
        self._unique = unique
        self._fill = client.register_script(_FILL)

    async def get(self, users: Sequence[UserKey]) -> CacheAnswer:
        """What is known; a lease for what is not, unless another has one."""
        found: dict[UserKey, Reach] = {}
        absent: list[UserKey] = []
        with translated():
            async with self._client.pipeline(transaction=False) as pipe:
                for user in users:
                    pipe.get(_key(user))
                values: list[bytes | None] = await pipe.execute()
        for user, value in zip(users, values, strict=True):
            if value is None:
                absent.append(user)
            elif (answer := _answer(value)) is not None:
                found[user] = answer
        return CacheAnswer(found=found, leases=await self._lease(absent) if absent else {})

    async def fill(self, leases: Mapping[UserKey, bytes], reaches: Mapping[UserKey, Reach]) -> None:
        """Keep the answers of those users whose lease still stands."""
        with translated():
            async with self._client.pipeline(transaction=False) as pipe:
                for user, lease in leases.items():
                    reach = reaches[user]
                    value = _ANSWER + messages.from_reach(reach).SerializeToString()
                    lifetime = self._answer_ms if reach.found else self._unknown_ms
                    await self._fill(keys=[_key(user)], args=[lease, value, lifetime], client=pipe)
                await pipe.execute()

    async def forget(self, users: Iterable[UserKey]) -> None:
        """Drop answers and leases."""
        with translated():
            async with self._client.pipeline(transaction=False) as pipe:
                for user in users:
                    pipe.delete(_key(user))
                await pipe.execute()

    async def _lease(self, users: list[UserKey]) -> dict[UserKey, bytes]:
        lease = _LEASE + self._unique()
        with translated():
            async with self._client.pipeline(transaction=False) as pipe:
                for user in users:
                    pipe.set(_key(user), lease, nx=True, px=int(LEASE_SECONDS * 1000))
                granted: list[bool | None] = await pipe.execute()
        return {user: lease for user, taken in zip(users, granted, strict=True) if taken}


def _key(user: UserKey) -> str:
    # '/' is in no user id, so tenant and user cannot be mistaken for another pair.
    return f"clarion:reach:1:{user.tenant}/{user.user_id}"


def _answer(value: bytes) -> Reach | None:
    if not value.startswith(_ANSWER):
        return None
    try:
        return messages.to_reach(ResolvedRecipient.FromString(value[1:]))
    except (DecodeError, ValueError):  # Of another release; it ends by itself.
        return None
