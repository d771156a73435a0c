"""Claims in Redis: a key for each delivery that a worker is at. Every command names one key, so a cluster takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.runtime.redis import translated

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from redis.asyncio import Redis

_RELEASE: Final = "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) end return 0"


class RedisClaims:
    """SET NX with the owner's name and an end, so that a dead worker's claims run out."""

    def __init__(self, redis: Redis, *, seconds: int) -> None:
        """A claim lasts `seconds`: longer than a batch may take."""
        self._redis, self._seconds = redis, seconds

    async def take(self, delivery_ids: Sequence[str], owner: str) -> set[str]:
        """Claim these; answers which were free."""
        if not delivery_ids:
            return set()
        with translated():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for delivery_id in delivery_ids:
                    pipeline.set(_key(delivery_id), owner, nx=True, ex=self._seconds)
                taken = await pipeline.execute()
        return {delivery_id for delivery_id, mine in zip(delivery_ids, taken, strict=True) if mine}

    async def release(self, delivery_ids: Collection[str], owner: str) -> None:
        """Give back what this owner holds of these."""
        if not delivery_ids:
            return
        with translated():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for delivery_id in delivery_ids:
                    pipeline.eval(_RELEASE, 1, _key(delivery_id), owner)
                await pipeline.execute()


def _key(delivery_id: str) -> str:
    return f"delivery:claim:{delivery_id}"
