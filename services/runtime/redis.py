"""Redis: how it is opened, and what its errors mean. It holds only what can be rebuilt."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from services.runtime.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from services.runtime.settings import RedisSettings

OPERATION_SECONDS = 1.0
"""A cache that is slower than this is as good as down."""
MAX_CONNECTIONS = 32


@asynccontextmanager
async def opened(settings: RedisSettings) -> AsyncIterator[Redis]:
    """A client whose replies are bytes; it connects when it is first used, and never retries on its own."""
    pool = BlockingConnectionPool.from_url(
        settings.redis_url.get_secret_value(),
        max_connections=MAX_CONNECTIONS,
        timeout=OPERATION_SECONDS,
        socket_timeout=OPERATION_SECONDS,
        socket_connect_timeout=OPERATION_SECONDS,
        retry=Retry(NoBackoff(), 1),
        health_check_interval=15,
    )
    client = Redis(connection_pool=pool)
    try:
        yield client
    finally:
        await client.aclose()
        await pool.disconnect()


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into Unavailable; callers go on without the cache."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as exc:
        raise Unavailable("the cache cannot be reached") from exc
