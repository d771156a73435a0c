"""Writers and resolvers on the real stores: no answer is older than the last answered write."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from services.device.adapters.redis import LEASE_SECONDS, RedisReachCache
from services.device.domain import UNKNOWN, Recipient, UserKey
from services.device.messages import from_reach
from services.device.service import Reachability
from tests.integration.device.conftest import CACHE_SECONDS, Stack, stack_on
from tests.unit.device.builders import address, email, recipient

if TYPE_CHECKING:
    from collections.abc import Collection

    from motor.motor_asyncio import AsyncIOMotorDatabase

    from services.device.adapters.mongo_recipients import MongoRecipientRepository
    from services.runtime.mongo import Document

ADA, BOB = UserKey("acme", "ada"), UserKey("acme", "bob")
WRITES, READERS = 60, 6


def numbered(number: int) -> Recipient:
    return recipient("ada", email(f"{number}@example.com"))


async def number_of(reachability: Reachability) -> int:
    (answer,) = await reachability.resolve([ADA])
    return int(answer.email.partition("@")[0])


async def test_no_resolver_answers_what_is_older_than_the_last_answered_write(stack: Stack) -> None:
    await stack.recipients.put("acme", numbered(0))
    answered, done = 0, asyncio.Event()

    async def write() -> None:
        nonlocal answered
        for number in range(1, WRITES + 1):
            await stack.recipients.put("acme", numbered(number))
            answered = number
            # Once with the cache as the write left it, once with what raced to fill it.
            assert await number_of(stack.reachability) == number
            assert await number_of(stack.reachability) == number
        done.set()

    async def read() -> int:
        reads = 0
        while not done.is_set():
            floor = answered
            assert await number_of(stack.reachability) >= floor
            reads += 1
        return reads

    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(read()) for _ in range(READERS)]
        group.create_task(write())
    assert sum(reader.result() for reader in readers) > WRITES


class SlowRecipients:
    """The real store, whose batches arrive when they are let."""

    def __init__(self, store: MongoRecipientRepository) -> None:
        self._store = store
        self.read, self.let = asyncio.Event(), asyncio.Event()
        self.put, self.get, self.delete = store.put, store.get, store.delete

    async def of_users(self, users: Collection[UserKey]) -> dict[UserKey, Recipient]:
        found = await self._store.of_users(users)
        self.read.set()
        await self.let.wait()
        return found


@pytest.mark.parametrize("another_reader_in_between", [False, True])
async def test_an_answer_read_before_a_write_is_not_cached_after_it(
    stack: Stack, *, another_reader_in_between: bool
) -> None:
    await stack.recipients.put("acme", numbered(1))
    slow = SlowRecipients(stack.recipient_store)
    late = Reachability(devices=stack.device_store, recipients=slow, cache=stack.cache)
    reading = asyncio.create_task(late.resolve([ADA]))
    await slow.read.wait()
    await stack.recipients.put("acme", numbered(2))
    if another_reader_in_between:
        assert await number_of(stack.reachability) == 2
    slow.let.set()
    assert (await reading)[0].email == "1@example.com"
    assert await number_of(stack.reachability) == 2


async def test_every_kind_of_write_is_seen_at_once(stack: Stack) -> None:
    async def tokens(user: UserKey) -> list[str]:
        (answer,) = await stack.reachability.resolve([user])
        assert (await stack.reachability.resolve([user])) == [answer]
        return [each.token for each in answer.devices]

    assert await tokens(ADA) == []
    device = await stack.devices.register("acme", "ada", address("a"), "")
    await stack.devices.register("acme", "ada", address("b"), "")
    assert sorted(await tokens(ADA)) == ["a", "b"]
    await stack.devices.register("acme", "bob", address("b"), "")
    assert (await tokens(ADA), await tokens(BOB)) == (["a"], ["b"])
    await stack.devices.delete("acme", "ada", device.device_id)
    assert await tokens(ADA) == []
    await stack.recipients.delete("acme", "bob")
    assert await stack.reachability.resolve([BOB]) == [UNKNOWN]


async def test_what_is_cached_ends_within_the_stated_time(stack: Stack) -> None:
    await stack.recipients.put("acme", numbered(1))
    await stack.reachability.resolve([ADA, BOB])
    lifetimes = sorted([await stack.client.pttl(key) for key in await stack.client.keys()])
    assert len(lifetimes) == 2
    assert 0 < lifetimes[0] <= CACHE_SECONDS * 1000 / 6 < lifetimes[1] <= CACHE_SECONDS * 1000


async def test_taking_a_lease_leaves_what_another_reader_cached_meanwhile(stack: Stack, redis_url: str) -> None:
    cached = b"v" + from_reach(UNKNOWN).SerializeToString()

    def between_look_and_lease() -> bytes:
        with Redis.from_url(redis_url) as other:
            other.set("clarion:reach:1:acme/ada", cached)
        return b"12345678"

    late = RedisReachCache(stack.client, answer_seconds=1, unknown_seconds=1, unique=between_look_and_lease)
    assert (await late.get([ADA])).leases == {}
    assert (await stack.cache.get([ADA])).found == {ADA: UNKNOWN}


async def test_a_lease_that_nobody_uses_ends(stack: Stack) -> None:
    await stack.cache.get([ADA])
    (key,) = await stack.client.keys()
    assert 0 < await stack.client.pttl(key) <= LEASE_SECONDS * 1000


async def test_what_another_release_cached_is_read_from_the_store(stack: Stack) -> None:
    await stack.recipients.put("acme", numbered(1))
    await stack.reachability.resolve([ADA])
    (key,) = await stack.client.keys()
    await stack.client.set(key, b"v\xff\xff")
    assert await number_of(stack.reachability) == 1


async def test_a_script_that_redis_forgot_is_loaded_again(stack: Stack) -> None:
    await stack.recipients.put("acme", numbered(1))
    await stack.reachability.resolve([ADA])
    await stack.client.script_flush()
    await stack.recipients.put("acme", numbered(2))
    await stack.reachability.resolve([ADA])
    answer = await stack.cache.get([ADA])
    assert answer.found[ADA].email == "2@example.com"


async def test_with_redis_down_everything_is_answered_and_written(
    database: AsyncIOMotorDatabase[Document], closed_port: int
) -> None:
    async with stack_on(database, f"redis://127.0.0.1:{closed_port}/0") as down:
        await down.recipients.put("acme", numbered(1))
        device = await down.devices.register("acme", "ada", address("a"), "")
        assert await number_of(down.reachability) == 1
        await down.recipients.put("acme", numbered(2))
        assert await number_of(down.reachability) == 2
        await down.devices.delete("acme", "ada", device.device_id)
        await down.recipients.delete("acme", "ada")
        assert await down.reachability.resolve([ADA]) == [UNKNOWN]
