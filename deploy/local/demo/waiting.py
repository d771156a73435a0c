"""Waiting for what another process brings about, by asking until a deadline."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def until(holds: Callable[[], Awaitable[bool]], *, seconds: float, every: float = 0.1) -> bool:
    """Ask until it holds; False if it still does not after `seconds`."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while not await holds():
        if clock() >= deadline:
            return False
        await asyncio.sleep(every)
    return True
