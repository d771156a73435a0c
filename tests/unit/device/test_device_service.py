"""The use cases, on stores in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from services.device.domain import MAX_DEVICES, UNKNOWN, Device, Position, Recipient, UserKey
from services.device.service import Devices, Reachability, Recipients
from services.runtime.errors import LimitReached, NotFound, Unavailable
from tests.unit.device.builders import TOKEN, address, at, email, gone, phone, recipient
from tests.unit.device.fakes import InMemoryDevices, InMemoryReachCache, InMemoryRecipients

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

ADA, BOB = UserKey("acme", "ada"), UserKey("acme", "bob")


class GatedRecipients(InMemoryRecipients):
    """Reads and writes at once, and answers when it is let, or with a failure."""

    def __init__(self) -> None:
        super().__init__()
        self.reading, self.let = asyncio.Event(), asyncio.Event()
        self.written, self.confirm = asyncio.Event(), asyncio.Event()
        self.let.set()
        self.confirm.set()
        self.unconfirmed = False

    async def put(self, tenant: str, recipient: Recipient) -> None:
        await super().put(tenant, recipient)
        self.written.set()
        await self.confirm.wait()
        if self.unconfirmed:
            raise Unavailable

    async def of_users(self, users: Collection[UserKey]) -> dict[UserKey, Recipient]:
        found = await super().of_users(users)
        self.reading.set()
        await self.let.wait()
        return found


@dataclass(kw_only=True)
class World:
    device_store: InMemoryDevices = field(default_factory=InMemoryDevices)
    recipient_store: GatedRecipients = field(default_factory=GatedRecipients)
    cache: InMemoryReachCache = field(default_factory=InMemoryReachCache)
    now: float = 0

    def __post_init__(self) -> None:
        self.reachability = Reachability(devices=self.device_store, recipients=self.recipient_store, cache=self.cache)
        self.devices = Devices(devices=self.device_store, reachability=self.reachability, clock=self.time)
        self.recipients = Recipients(
            recipients=self.recipient_store, devices=self.device_store, reachability=self.reachability
        )

    def time(self) -> datetime:
        return at(self.now)

    async def register(self, user_id: str = "ada", token: str = TOKEN, tenant: str = "acme") -> Device:
        return await self.devices.register(tenant, user_id, address(token), "")

    async def tokens(self, user: UserKey) -> list[str]:
        (answer,) = await self.reachability.resolve([user])
        return [each.token for each in answer.devices]


@pytest.fixture
def world() -> World:
    return World()


async def test_registering_again_is_the_same_device_with_later_times(world: World) -> None:
    first = await world.register()
    world.now = 60
    second = await world.register()
    assert second.device_id == first.device_id
    assert (second.register_time, second.last_seen_time) == (at(60), at(60))
    assert len(world.device_store.stored) == 1


async def test_a_token_moves_to_the_user_who_registers_it_and_both_answers_change(world: World) -> None:
    await world.register("ada")
    assert await world.tokens(ADA) == ["token-1"]
    assert await world.tokens(BOB) == []
    await world.register("bob")
    assert await world.tokens(ADA) == []
    assert await world.tokens(BOB) == ["token-1"]


async def test_the_same_token_of_two_tenants_are_two_devices(world: World) -> None:
    first = await world.register(tenant="acme")
    second = await world.register(tenant="other")
    assert first.device_id != second.device_id
    assert await world.tokens(ADA) == ["token-1"]
    assert await world.tokens(UserKey("other", "ada")) == ["token-1"]


async def test_a_user_has_at_most_50_devices_and_can_refresh_them_all_the_same(world: World) -> None:
    for number in range(MAX_DEVICES):
        await world.register(token=f"t{number}")
    with pytest.raises(LimitReached):
        await world.register(token="one more")
    await world.register(token="t0")
    await world.register("bob", "one more")


async def test_another_tenant_sees_and_deletes_nothing(world: World) -> None:
    device = await world.register()
    await world.recipients.put("acme", recipient())
    with pytest.raises(NotFound):
        await world.devices.get("other", "ada", device.device_id)
    with pytest.raises(NotFound):
        await world.devices.delete("other", "ada", device.device_id)
    with pytest.raises(NotFound):
        await world.recipients.get("other", "ada")
    with pytest.raises(NotFound):
        await world.recipients.delete("other", "ada")
    assert await world.devices.listed("other", "ada", after=None, size=9) == ([], None)
    assert await world.reachability.resolve([UserKey("other", "ada")]) == [UNKNOWN]
    assert await world.devices.drop_gone([gone(tenant="other", when=9)]) == 0
    assert await world.tokens(ADA) == ["token-1"]


async def test_another_users_device_is_not_found(world: World) -> None:
    device = await world.register()
    with pytest.raises(NotFound):
        await world.devices.get("acme", "bob", device.device_id)
    with pytest.raises(NotFound):
        await world.devices.delete("acme", "bob", device.device_id)


async def test_devices_are_listed_page_by_page(world: World) -> None:
    for number in range(5):
        world.now = number
        await world.register(token=f"t{number}")
    pages: list[list[str]] = []
    after: Position | None = None
    while True:
        page, after = await world.devices.listed("acme", "ada", after=after, size=2)
        pages.append([each.address.token for each in page])
        if after is None:
            break
    assert pages == [["t4", "t3"], ["t2", "t1"], ["t0"]]


async def test_a_full_last_page_has_no_next_one(world: World) -> None:
    await world.register(token="a")
    await world.register(token="b")
    page, after = await world.devices.listed("acme", "ada", after=None, size=2)
    assert (len(page), after) == (2, None)


async def test_a_deleted_device_is_no_longer_answered(world: World) -> None:
    device = await world.register()
    assert await world.tokens(ADA) == ["token-1"]
    await world.devices.delete("acme", "ada", device.device_id)
    assert await world.tokens(ADA) == []
    with pytest.raises(NotFound):
        await world.devices.delete("acme", "ada", device.device_id)


async def test_a_gone_token_is_dropped_and_no_longer_answered(world: World) -> None:
    await world.register()
    assert await world.tokens(ADA) == ["token-1"]
    assert await world.devices.drop_gone([gone(when=0)]) == 1
    assert await world.tokens(ADA) == []


async def test_the_same_event_again_drops_nothing_more(world: World) -> None:
    await world.register()
    await world.register(token="other")
    assert await world.devices.drop_gone([gone(when=5)]) == 1
    assert await world.devices.drop_gone([gone(when=5)]) == 0
    assert await world.tokens(ADA) == ["other"]


async def test_a_token_that_was_registered_after_it_was_gone_is_kept(world: World) -> None:
    world.now = 10
    await world.register()
    assert await world.devices.drop_gone([gone(when=9.999)]) == 0
    assert await world.tokens(ADA) == ["token-1"]


async def test_registering_again_saves_a_token_from_an_older_declaration(world: World) -> None:
    await world.register()
    world.now = 10
    await world.register()
    assert await world.devices.drop_gone([gone(when=5)]) == 0


async def test_a_deleted_recipient_takes_their_devices_along(world: World) -> None:
    await world.recipients.put("acme", recipient("ada", email()))
    await world.register()
    await world.register("bob", "token-2")
    assert (await world.reachability.resolve([ADA]))[0].found
    await world.recipients.delete("acme", "ada")
    assert await world.reachability.resolve([ADA]) == [UNKNOWN]
    assert await world.tokens(BOB) == ["token-2"]
    with pytest.raises(NotFound):
        await world.recipients.delete("acme", "ada")


async def test_someone_with_devices_alone_can_be_forgotten(world: World) -> None:
    await world.register()
    await world.recipients.delete("acme", "ada")
    assert await world.reachability.resolve([ADA]) == [UNKNOWN]


async def test_a_stored_recipient_replaces_the_former_and_what_was_cached(world: World) -> None:
    await world.recipients.put("acme", recipient("ada", phone(), email()))
    assert (await world.reachability.resolve([ADA]))[0].phone
    await world.recipients.put("acme", recipient("ada", email("new@example.com")))
    answer = (await world.reachability.resolve([ADA]))[0]
    assert (answer.phone, answer.email) == ("", "new@example.com")
    assert (await world.recipients.get("acme", "ada")).contact_points == (email("new@example.com"),)


async def test_answers_come_in_the_users_order_with_one_query_for_each_store(world: World) -> None:
    users = [UserKey(f"tenant-{number % 3}", f"user-{number}") for number in range(300)]
    for user in users[::2]:
        await world.recipients.put(user.tenant, recipient(user.user_id, email(f"{user.user_id}@example.com")))
    asked = [*users, users[0], users[1]]
    answers = await world.reachability.resolve(asked)
    assert [answer.email for answer in answers] == [
        f"{user.user_id}@example.com" if at % 2 == 0 else "" for at, user in enumerate(asked)
    ]
    assert (world.recipient_store.queries, world.device_store.queries) == (1, 1)


async def test_what_was_answered_once_comes_from_the_cache_unknown_users_too(world: World) -> None:
    await world.recipients.put("acme", recipient())
    first = await world.reachability.resolve([ADA, BOB])
    assert await world.reachability.resolve([ADA, BOB]) == first
    assert world.recipient_store.queries == 1


async def test_an_answer_read_before_a_write_is_not_cached_after_it(world: World) -> None:
    await world.recipients.put("acme", recipient("ada", email("old@example.com")))
    world.recipient_store.let.clear()
    slow = asyncio.create_task(world.reachability.resolve([ADA]))
    await world.recipient_store.reading.wait()
    await world.recipients.put("acme", recipient("ada", email("new@example.com")))
    world.recipient_store.let.set()
    assert (await slow)[0].email == "old@example.com"
    assert (await world.reachability.resolve([ADA]))[0].email == "new@example.com"


async def test_without_the_cache_everything_is_answered_and_written(world: World) -> None:
    world.cache.down = True
    await world.recipients.put("acme", recipient("ada", email()))
    device = await world.register()
    assert (await world.reachability.resolve([ADA]))[0].email == "ada@example.com"
    assert await world.tokens(ADA) == ["token-1"]
    await world.devices.delete("acme", "ada", device.device_id)
    assert await world.tokens(ADA) == []


async def test_a_write_that_may_have_failed_is_forgotten_all_the_same(world: World) -> None:
    await world.recipients.put("acme", recipient("ada", email("old@example.com")))
    await world.reachability.resolve([ADA])
    world.recipient_store.unconfirmed = True
    with pytest.raises(Unavailable):
        await world.recipients.put("acme", recipient("ada", email("new@example.com")))
    assert (await world.reachability.resolve([ADA]))[0].email == "new@example.com"


async def test_a_write_whose_caller_hung_up_is_forgotten_all_the_same(world: World) -> None:
    await world.recipients.put("acme", recipient("ada", email("old@example.com")))
    await world.reachability.resolve([ADA])
    world.recipient_store.confirm.clear()
    world.recipient_store.written.clear()
    write = asyncio.create_task(world.recipients.put("acme", recipient("ada", email("new@example.com"))))
    await world.recipient_store.written.wait()
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write
    assert (await world.reachability.resolve([ADA]))[0].email == "new@example.com"
