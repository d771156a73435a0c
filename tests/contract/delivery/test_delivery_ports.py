"""What the delivery service relies on in its stores and its claims: the fakes and the real ones do the same."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import pytest
from pydantic import SecretStr

from services.delivery.adapters.accounts import MongoAccounts
from services.delivery.adapters.mongo import MongoRecords
from services.delivery.adapters.redis import RedisClaims
from services.delivery.domain import Attempt, State
from services.delivery.message import Channel, ProviderName
from services.runtime import mongo, redis
from services.runtime.errors import AlreadyExists, LimitReached, NotFound
from services.runtime.sealing import Sealer
from services.runtime.settings import MongoSettings, RedisSettings, SealingSettings
from tests.unit.delivery.builders import NOW, account, android, apns, email, ios, phone, record, smtp, twilio
from tests.unit.delivery.fakes import MemoryAccounts, MemoryClaims, MemoryRecords

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.delivery.credentials import Credentials
    from services.delivery.ports import AccountStore, Claims, Records

KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
MESSAGE = phone()
SENT = record(state=State.SENT)
RETRYING = record(
    state=State.RETRYING,
    reason="THROTTLED",
    due_at=NOW + timedelta(minutes=1),
    attempts=(Attempt(time=NOW, code="20429", state=State.RETRYING),),
    attempt_count=1,
)


@pytest.fixture(params=["memory", "mongodb"])
async def records(request: pytest.FixtureRequest) -> AsyncIterator[Records]:
    if request.param == "memory":
        yield MemoryRecords()
        return
    async with mongo.opened(_mongo(request)) as database:
        made = MongoRecords(database)
        await made.create_indexes()
        yield made


@pytest.fixture(params=["memory", "mongodb"])
async def accounts(request: pytest.FixtureRequest) -> AsyncIterator[AccountStore]:
    if request.param == "memory":
        yield MemoryAccounts()
        return
    async with mongo.opened(_mongo(request)) as database:
        made = MongoAccounts(database, Sealer(SealingSettings(credential_key_file="", credential_key=SecretStr(KEY))))
        await made.create_indexes()
        yield made


class MakeClaims(Protocol):
    def __call__(self, *, seconds: int) -> Claims: ...


@pytest.fixture(params=["memory", "redis"])
async def make_claims(request: pytest.FixtureRequest) -> AsyncIterator[MakeClaims]:
    if request.param == "memory":
        yield lambda *, seconds: MemoryClaims(seconds=seconds, now=time.monotonic)
        return
    url: str = request.getfixturevalue("redis_url")
    async with redis.opened(RedisSettings(redis_url=SecretStr(url))) as client:
        yield lambda *, seconds: RedisClaims(client, seconds=seconds)


def _mongo(request: pytest.FixtureRequest) -> MongoSettings:
    url: str = request.getfixturevalue("mongo_url")
    return MongoSettings(mongo_url=SecretStr(url), mongo_database=request.getfixturevalue("mongo_database"))


class TestRecords:
    async def test_a_record_comes_back_as_it_was_kept(self, records: Records) -> None:
        nowhere = replace(record(android(notification_id="n-2")), channel=None, provider=None)
        await records.save([RETRYING, nowhere])
        found = await records.find([MESSAGE, android(notification_id="n-2"), ios()])
        assert found == {RETRYING.delivery_id: RETRYING, nowhere.delivery_id: nowhere}
        assert (found[MESSAGE.delivery_id].channel, found[MESSAGE.delivery_id].provider) == (
            Channel.SMS,
            ProviderName.TWILIO,
        )

    async def test_an_open_record_is_replaced(self, records: Records) -> None:
        await records.save([RETRYING])
        await records.save([SENT])
        assert (await records.find([MESSAGE]))[MESSAGE.delivery_id] == SENT

    async def test_a_settled_record_stands_and_the_others_are_kept(self, records: Records) -> None:
        await records.save([SENT])
        other = record(email(), state=State.FAILED)
        await records.save([RETRYING, other])
        found = await records.find([MESSAGE, email()])
        assert [found[each.delivery_id].state for each in (MESSAGE, email())] == [State.SENT, State.FAILED]

    async def test_saving_again_changes_nothing(self, records: Records) -> None:
        await records.save([RETRYING, record(email(), state=State.SENT)])
        await records.save([RETRYING, record(email(), state=State.SENT)])
        assert (await records.find([MESSAGE]))[MESSAGE.delivery_id].attempts == RETRYING.attempts

    async def test_nothing_to_find_or_to_keep_is_no_error(self, records: Records) -> None:
        await records.save([])
        assert await records.find([]) == {}

    async def test_pages_are_one_notifications_of_one_tenant_in_order(self, records: Records) -> None:
        mine = [record(phone(f"+35121123456{n}")) for n in range(5)]
        await records.save(
            [*mine, record(phone(tenant="globex")), record(phone(notification_id="n-2"))],
        )
        ids = sorted(each.delivery_id for each in mine)
        first = await records.page("acme", "n-1", after="", limit=3)
        second = await records.page("acme", "n-1", after=first[-1].delivery_id, limit=3)
        assert [each.delivery_id for each in (*first, *second)] == ids
        assert len(first) == 3


class TestClaims:
    async def test_a_claim_is_taken_once(self, make_claims: MakeClaims) -> None:
        claims = make_claims(seconds=60)
        assert await claims.take(["a", "b"], "one") == {"a", "b"}
        assert await claims.take(["b", "c"], "two") == {"c"}
        assert await claims.take(["a"], "one") == set()
        assert await claims.take([], "one") == set()

    async def test_of_many_at_once_one_gets_each(self, make_claims: MakeClaims) -> None:
        claims = make_claims(seconds=60)
        wanted = [f"d-{number}" for number in range(200)]
        taken = await asyncio.gather(*(claims.take(wanted, f"owner-{number}") for number in range(8)))
        assert sorted(each for got in taken for each in got) == sorted(wanted)

    async def test_what_is_given_back_can_be_taken_again(self, make_claims: MakeClaims) -> None:
        claims = make_claims(seconds=60)
        await claims.take(["a", "b"], "one")
        await claims.release(["a"], "one")
        await claims.release([], "one")
        assert await claims.take(["a", "b"], "two") == {"a"}

    async def test_anothers_claim_cannot_be_given_back(self, make_claims: MakeClaims) -> None:
        claims = make_claims(seconds=60)
        await claims.take(["a"], "one")
        await claims.release(["a", "never"], "two")
        assert await claims.take(["a"], "two") == set()

    async def test_a_claim_runs_out(self, make_claims: MakeClaims) -> None:
        claims = make_claims(seconds=1)
        await claims.take(["a"], "one")
        deadline = time.monotonic() + 5
        while not await claims.take(["a"], "two"):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


class TestAccounts:
    async def test_accounts_come_back_with_their_secrets_to_be_used_by(self, accounts: AccountStore) -> None:
        kinds: tuple[Credentials, ...] = (twilio(), smtp(), apns())
        made = [account(each, account_id=f"a-{n}") for n, each in enumerate(kinds)]
        for each in made:
            await accounts.add(each, most=9)
        found = await accounts.of_tenant("acme")
        assert sorted(found, key=lambda each: each.account_id) == made
        assert await accounts.of_tenant("globex") == []

    async def test_an_id_is_taken_once_in_each_tenant(self, accounts: AccountStore) -> None:
        await accounts.add(account(), most=9)
        with pytest.raises(AlreadyExists):
            await accounts.add(account(smtp()), most=9)
        await accounts.add(account(tenant="globex"), most=9)

    async def test_a_tenant_has_only_so_many(self, accounts: AccountStore) -> None:
        await accounts.add(account(), most=1)
        with pytest.raises(LimitReached):
            await accounts.add(account(account_id="another"), most=1)
        await accounts.add(account(tenant="globex"), most=1)

    async def test_only_ones_own_can_be_removed_and_once(self, accounts: AccountStore) -> None:
        await accounts.add(account(), most=9)
        with pytest.raises(NotFound):
            await accounts.remove("globex", "main")
        await accounts.remove("acme", "main")
        with pytest.raises(NotFound):
            await accounts.remove("acme", "main")
        assert await accounts.of_tenant("acme") == []

    async def test_pages_are_one_tenants_in_order(self, accounts: AccountStore) -> None:
        for name in ("c", "a", "b"):
            await accounts.add(account(account_id=name), most=9)
        await accounts.add(account(account_id="d", tenant="globex"), most=9)
        first = await accounts.page("acme", after="", limit=2)
        second = await accounts.page("acme", after="b", limit=2)
        assert [each.account_id for each in (*first, *second)] == ["a", "b", "c"]
