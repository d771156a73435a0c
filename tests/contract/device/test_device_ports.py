"""What the device service relies on in its stores: the fakes and the real ones do the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from services.device.adapters.mongo import prepare
from services.device.adapters.mongo_devices import MongoDeviceRepository
from services.device.adapters.mongo_recipients import MongoRecipientRepository
from services.device.adapters.redis import RedisReachCache
from services.device.domain import UNKNOWN, Position, UserKey, device_id, listed, reach
from services.runtime import mongo, redis
from services.runtime.errors import LimitReached
from services.runtime.settings import MongoSettings, RedisSettings
from tests.unit.device.builders import address, at, device, email, gone, phone, recipient
from tests.unit.device.fakes import InMemoryDevices, InMemoryReachCache, InMemoryRecipients

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.device.domain import Device
    from services.device.ports import DeviceRepository, ReachCache, RecipientRepository

ADA, BOB = UserKey("acme", "ada"), UserKey("acme", "bob")
ID = device("ada").device_id


@pytest.fixture(params=["memory", "mongodb"])
async def devices(request: pytest.FixtureRequest) -> AsyncIterator[DeviceRepository]:
    if request.param == "memory":
        yield InMemoryDevices()
        return
    async with mongo.opened(_mongo(request)) as database:
        await prepare(database)
        yield MongoDeviceRepository(database)


@pytest.fixture(params=["memory", "mongodb"])
async def recipients(request: pytest.FixtureRequest) -> AsyncIterator[RecipientRepository]:
    if request.param == "memory":
        yield InMemoryRecipients()
        return
    async with mongo.opened(_mongo(request)) as database:
        await prepare(database)
        yield MongoRecipientRepository(database)


@pytest.fixture(params=["memory", "redis"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[ReachCache]:
    if request.param == "memory":
        yield InMemoryReachCache()
        return
    url: str = request.getfixturevalue("redis_url")
    async with redis.opened(RedisSettings(redis_url=SecretStr(url))) as client:
        yield RedisReachCache(client, answer_seconds=60, unknown_seconds=60)


def _mongo(request: pytest.FixtureRequest) -> MongoSettings:
    url: str = request.getfixturevalue("mongo_url")
    return MongoSettings(mongo_url=SecretStr(url), mongo_database=request.getfixturevalue("mongo_database"))


class TestDevices:
    async def test_a_new_device_is_stored_whole(self, devices: DeviceRepository) -> None:
        registration = await devices.register("acme", device(locale="pt-PT", registered=1.234), limit=9)
        assert registration.device == device(locale="pt-PT", registered=1.234)
        assert registration.former_user is None
        assert await devices.get("acme", "ada", ID) == registration.device

    async def test_a_refreshed_device_has_the_later_times_and_the_new_locale(self, devices: DeviceRepository) -> None:
        await devices.register("acme", device(locale="de", registered=5), limit=9)
        later = await devices.register("acme", device(locale="fr", registered=9), limit=9)
        assert (later.device, later.former_user) == (device(locale="fr", registered=9), None)
        earlier = await devices.register("acme", device(locale="it", registered=7), limit=9)
        assert earlier.device == device(locale="it", registered=9)
        assert await devices.get("acme", "ada", ID) == earlier.device

    async def test_a_device_moves_to_whoever_registers_it(self, devices: DeviceRepository) -> None:
        await devices.register("acme", device("ada", registered=9), limit=9)
        registration = await devices.register("acme", device("bob", registered=5), limit=9)
        assert (registration.former_user, registration.device) == ("ada", device("bob", registered=5))
        assert await devices.get("acme", "ada", ID) is None
        assert await devices.of_users([ADA, BOB]) == {BOB: [device("bob", registered=5)]}

    async def test_a_device_may_move_back(self, devices: DeviceRepository) -> None:
        for user_id in ("ada", "bob", "ada"):
            await devices.register("acme", device(user_id), limit=9)
        assert await devices.of_users([ADA, BOB]) == {ADA: [device("ada")]}

    async def test_however_many_register_a_token_at_once_one_has_it(self, devices: DeviceRepository) -> None:
        users = [f"user-{number}" for number in range(6)]
        await asyncio.gather(*(devices.register("acme", device(user_id), limit=9) for user_id in users * 2))
        owners = await devices.of_users([UserKey("acme", user_id) for user_id in users])
        assert len(owners) == 1

    async def test_registering_the_same_at_once_leaves_one(self, devices: DeviceRepository) -> None:
        await asyncio.gather(*(devices.register("acme", device(registered=number), limit=1) for number in range(6)))
        assert await devices.of_users([ADA]) == {ADA: [device(registered=5)]}

    async def test_beyond_the_limit_nothing_is_stored_or_moved(self, devices: DeviceRepository) -> None:
        await devices.register("acme", device("ada", "a"), limit=2)
        await devices.register("acme", device("ada", "b"), limit=2)
        await devices.register("acme", device("bob", "c"), limit=2)
        with pytest.raises(LimitReached):
            await devices.register("acme", device("ada", "c"), limit=2)
        with pytest.raises(LimitReached):
            await devices.register("acme", device("ada", "d"), limit=2)
        found = await devices.of_users([ADA, BOB])
        assert {user: {each.address.token for each in theirs} for user, theirs in found.items()} == {
            ADA: {"a", "b"},
            BOB: {"c"},
        }

    async def test_a_refresh_is_taken_at_the_limit(self, devices: DeviceRepository) -> None:
        await devices.register("acme", device("ada", "a"), limit=1)
        await devices.register("acme", device("ada", "a", registered=1), limit=1)
        await devices.register("other", device("ada", "b", tenant="other"), limit=1)

    async def test_devices_are_listed_last_seen_first_from_a_position(self, devices: DeviceRepository) -> None:
        stored = [device("ada", f"t{number}", seen=number // 2) for number in range(7)]
        for each in stored:
            await devices.register("acme", each, limit=9)
        await devices.register("acme", device("bob", "bobs"), limit=9)
        everything = listed(stored)
        assert await devices.listed("acme", "ada", after=None, limit=3) == everything[:3]
        for index, each in enumerate(everything):
            after = Position(last_seen_time=each.last_seen_time, device_id=each.device_id)
            assert await devices.listed("acme", "ada", after=after, limit=9) == everything[index + 1 :]

    async def test_a_deleted_device_is_gone_and_can_be_registered_again(self, devices: DeviceRepository) -> None:
        await devices.register("acme", device("ada"), limit=9)
        assert await devices.delete("acme", "ada", ID)
        assert not await devices.delete("acme", "ada", ID)
        assert await devices.get("acme", "ada", ID) is None
        registration = await devices.register("acme", device("bob"), limit=9)
        assert registration.former_user is None

    async def test_all_of_one_users_devices_go_at_once(self, devices: DeviceRepository) -> None:
        for token in ("a", "b", "c"):
            await devices.register("acme", device("ada", token), limit=9)
        await devices.register("acme", device("bob", "d"), limit=9)
        assert await devices.delete_all("acme", "ada") == 3
        assert await devices.delete_all("acme", "ada") == 0
        assert list(await devices.of_users([ADA, BOB])) == [BOB]

    async def test_gone_tokens_are_dropped_unless_registered_later(self, devices: DeviceRepository) -> None:
        await devices.register("acme", device("ada", "before", registered=4.999), limit=9)
        await devices.register("acme", device("ada", "just then", registered=5), limit=9)
        await devices.register("acme", device("ada", "after", registered=5.001), limit=9)
        declared = [gone(token, when=5) for token in ("before", "just then", "after", "never seen")]
        assert await devices.drop([*declared, *declared]) == [ADA, ADA]
        assert await devices.drop(declared) == []
        assert await devices.of_users([ADA]) == {ADA: [device("ada", "after", registered=5.001)]}

    async def test_a_dropped_token_can_be_registered_again(self, devices: DeviceRepository) -> None:
        await devices.register("acme", device("ada"), limit=9)
        assert await devices.drop([gone(when=1)]) == [ADA]
        registration = await devices.register("acme", device("bob", registered=2), limit=9)
        assert registration.former_user is None
        assert await devices.drop([gone(when=1)]) == []

    async def test_another_tenants_devices_are_not_there(self, devices: DeviceRepository) -> None:
        await devices.register("acme", device("ada"), limit=1)
        assert await devices.get("other", "ada", ID) is None
        assert await devices.listed("other", "ada", after=None, limit=9) == []
        assert not await devices.delete("other", "ada", ID)
        assert await devices.delete_all("other", "ada") == 0
        assert await devices.drop([gone(tenant="other", when=9)]) == []
        registration = await devices.register("other", device("bob", tenant="other"), limit=1)
        assert registration.former_user is None
        assert await devices.of_users([UserKey("other", "ada"), BOB]) == {}
        assert await devices.get("acme", "ada", ID) == device("ada")

    async def test_many_users_of_several_tenants_are_asked_for_at_once(self, devices: DeviceRepository) -> None:
        expected: dict[UserKey, list[Device]] = {}
        for tenant in ("acme", "other"):
            for number in range(4):
                each = device(f"user-{number}", f"t{number}", tenant=tenant)
                await devices.register(tenant, each, limit=9)
                expected[UserKey(tenant, each.user_id)] = [each]
        # user-2 exists in both tenants and is asked for in one.
        asked = [UserKey("acme", "user-1"), UserKey("acme", "user-2"), UserKey("other", "user-3"), BOB]
        assert await devices.of_users(asked) == {user: expected[user] for user in asked if user in expected}


class TestRecipients:
    async def test_what_is_stored_is_given_back(self, recipients: RecipientRepository) -> None:
        ada = recipient("ada", phone(verified=False), email())
        await recipients.put("acme", ada)
        assert await recipients.get("acme", "ada") == ada
        assert await recipients.of_users([ADA, BOB]) == {ADA: ada}

    async def test_what_is_stored_again_replaces_all(self, recipients: RecipientRepository) -> None:
        await recipients.put("acme", recipient("ada", phone(), email()))
        await recipients.put("acme", recipient("ada", locale="", time_zone=""))
        assert await recipients.get("acme", "ada") == recipient("ada", locale="", time_zone="")

    async def test_storing_the_same_at_once_leaves_one(self, recipients: RecipientRepository) -> None:
        # Whether two inserts meet is the store's affair; in so many rounds some do.
        for user_id in (f"user-{number}" for number in range(20)):
            people = [recipient(user_id, email(f"at{number}@example.com")) for number in range(10)]
            await asyncio.gather(*(recipients.put("acme", each) for each in people))
            assert await recipients.get("acme", user_id) in people

    async def test_a_deleted_recipient_is_gone(self, recipients: RecipientRepository) -> None:
        await recipients.put("acme", recipient())
        assert await recipients.delete("acme", "ada")
        assert not await recipients.delete("acme", "ada")
        assert await recipients.get("acme", "ada") is None

    async def test_another_tenants_recipients_are_not_there(self, recipients: RecipientRepository) -> None:
        await recipients.put("acme", recipient("ada"))
        await recipients.put("other", recipient("bob"))
        assert await recipients.get("other", "ada") is None
        assert not await recipients.delete("other", "ada")
        assert await recipients.of_users([UserKey("other", "ada"), BOB]) == {}
        await recipients.put("other", recipient("ada", email()))
        assert await recipients.get("acme", "ada") == recipient("ada")


class TestCache:
    async def test_what_was_filled_is_known_users_that_are_not_known_too(self, cache: ReachCache) -> None:
        answers = {ADA: reach(recipient("ada", email(), phone()), [device()]), BOB: UNKNOWN}
        empty = await cache.get([ADA, BOB])
        assert empty.found == {}
        await cache.fill(empty.leases, answers)
        full = await cache.get([ADA, BOB])
        assert (full.found, full.leases) == (answers, {})

    async def test_one_reader_at_a_time_has_the_lease(self, cache: ReachCache) -> None:
        assert list((await cache.get([ADA])).leases) == [ADA]
        assert list((await cache.get([ADA, BOB])).leases) == [BOB]

    async def test_after_a_write_a_lease_from_before_it_is_worth_nothing(self, cache: ReachCache) -> None:
        before = await cache.get([ADA])
        await cache.forget([ADA])
        await cache.fill(before.leases, {ADA: UNKNOWN})
        assert (await cache.get([ADA])).found == {}

    async def test_nor_is_it_once_another_reader_has_a_newer_one(self, cache: ReachCache) -> None:
        before = await cache.get([ADA])
        await cache.forget([ADA])
        after = await cache.get([ADA])
        await cache.fill(before.leases, {ADA: UNKNOWN})
        assert (await cache.get([ADA])).found == {}
        fresh = reach(recipient(), [])
        await cache.fill(after.leases, {ADA: fresh})
        assert (await cache.get([ADA])).found == {ADA: fresh}

    async def test_a_lease_serves_once(self, cache: ReachCache) -> None:
        leases = (await cache.get([ADA])).leases
        await cache.fill(leases, {ADA: UNKNOWN})
        await cache.fill(leases, {ADA: reach(recipient(), [])})
        assert (await cache.get([ADA])).found == {ADA: UNKNOWN}

    async def test_what_was_forgotten_is_not_known(self, cache: ReachCache) -> None:
        await cache.fill((await cache.get([ADA, BOB])).leases, {ADA: UNKNOWN, BOB: UNKNOWN})
        await cache.forget([ADA])
        answer = await cache.get([ADA, BOB])
        assert (list(answer.found), list(answer.leases)) == ([BOB], [ADA])

    async def test_another_tenants_answers_are_not_there(self, cache: ReachCache) -> None:
        await cache.fill((await cache.get([ADA])).leases, {ADA: UNKNOWN})
        other = UserKey("other", "ada")
        assert (await cache.get([other])).found == {}
        await cache.forget([other])
        assert (await cache.get([ADA])).found == {ADA: UNKNOWN}

    async def test_a_batch_of_1000_is_one_of_them_all(self, cache: ReachCache) -> None:
        users = [UserKey("acme", f"user-{number}") for number in range(1000)]
        answers = {user: reach(None, [device(user.user_id, user.user_id)]) for user in users}
        await cache.fill((await cache.get(users)).leases, answers)
        assert (await cache.get(users)).found == answers


def test_the_builders_name_devices_as_the_service_does() -> None:
    assert device_id("acme", address()) == ID
    assert device(registered=1).register_time == at(1)
