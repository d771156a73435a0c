"""Several calls for one batch: bounded in size and in number."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

Request = TypeVar("Request")
Answer = TypeVar("Answer")
Item = TypeVar("Item")


async def each_of(
    requests: Iterable[Request], call: Callable[[Request], Awaitable[Answer]], *, concurrent: int
) -> list[Answer]:
    """Make a call for each request, at most `concurrent` at once; the answers are in the requests' order.

    If calls fail, the others are finished all the same, and then the first failure is raised.
    """
    gate = asyncio.Semaphore(concurrent)

    async def one(request: Request) -> Answer:
        async with gate:
            return await call(request)

    ends = await asyncio.gather(*map(one, requests), return_exceptions=True)
    answers: list[Answer] = []
    for end in ends:
        if isinstance(end, BaseException):
            raise end
        answers.append(end)
    return answers


def portions(
    items: Iterable[Item], *, most_items: int, most_bytes: int, size: Callable[[Item], int]
) -> Iterator[Sequence[Item]]:
    """Cut items, in their order, into portions of bounded number and size; one that is larger goes alone."""
    portion: list[Item] = []
    total = 0
    for item in items:
        weight = size(item)
        if portion and (len(portion) == most_items or total + weight > most_bytes):
            yield portion
            portion, total = [], 0
        portion.append(item)
        total += weight
    if portion:
        yield portion
