"""One provider token for each signing key, whoever asks, for as long as APNs takes it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import jwt
import pytest
from pydantic import SecretStr

from services.delivery.adapters.apns_tokens import CHECK_SECONDS, RENEW_SECONDS, ApnsTokens, SharedTokens
from services.runtime import redis
from services.runtime.sealing import Sealer
from services.runtime.settings import RedisSettings, SealingSettings
from services.simulators.credentials import ApnsKey
from tests.integration.delivery.conftest import CREDENTIAL_KEY
from tests.unit.delivery.builders import apns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OTHER_CREDENTIAL_KEY = CREDENTIAL_KEY.replace("AAAA", "BBBB", 1)
NOW = 1_900_000_000.0


class Seconds:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@asynccontextmanager
async def replica(url: str, clock: Seconds, *, key: str = CREDENTIAL_KEY) -> AsyncIterator[ApnsTokens]:
    sealer = Sealer(SealingSettings(credential_key_file="", credential_key=SecretStr(key)))
    async with redis.opened(RedisSettings(redis_url=SecretStr(url))) as client:
        yield ApnsTokens(SharedTokens(client, sealer), now=clock)


def issued_at(token: str) -> float:
    return float(jwt.decode(token, options={"verify_signature": False})["iat"])


async def test_all_who_ask_get_the_same_token(redis_url: str, clock: Seconds) -> None:
    async with replica(redis_url, clock) as one, replica(redis_url, clock) as two:
        found = await asyncio.gather(*(each.get(apns()) for each in (one, two) * 20))
        assert len(set(found)) == 1
        header = jwt.get_unverified_header(found[0])
        claims = jwt.decode(found[0], options={"verify_signature": False})
        assert (header["kid"], header["alg"], claims) == (
            "KEY1234567",
            "ES256",
            {"iss": "TEAM123456", "iat": int(NOW)},
        )


async def test_it_is_kept_for_45_minutes_and_then_all_change_to_the_same_new_one(
    redis_url: str, clock: Seconds
) -> None:
    async with replica(redis_url, clock) as one, replica(redis_url, clock) as two:
        first = await one.get(apns())
        clock.now += RENEW_SECONDS - 1
        assert await two.get(apns()) == await one.get(apns()) == first
        clock.now += 1
        second = await two.get(apns())
        assert second != first
        assert await one.get(apns()) == second
        assert issued_at(second) == clock.now


async def test_a_process_that_finds_another_token_standing_adopts_it(redis_url: str, clock: Seconds) -> None:
    async with replica("redis://127.0.0.1:1/0", clock) as cut_off, replica(redis_url, clock) as two:
        shared, own = await two.get(apns()), await cut_off.get(apns())
        assert own != shared
        async with replica(redis_url, clock) as three:
            cut_off._shared = three._shared
            clock.now += CHECK_SECONDS
            assert await cut_off.get(apns()) == shared


async def test_without_redis_a_process_goes_on_with_one_token_of_its_own(clock: Seconds) -> None:
    async with replica("redis://127.0.0.1:1/0", clock) as alone:
        first = await alone.get(apns())
        clock.now += RENEW_SECONDS - 1
        assert await alone.get(apns()) == first
        clock.now += 1
        assert await alone.get(apns()) != first


async def test_a_token_sealed_with_another_key_is_replaced(redis_url: str, clock: Seconds) -> None:
    async with replica(redis_url, clock, key=OTHER_CREDENTIAL_KEY) as before, replica(redis_url, clock) as after:
        await before.get(apns())
        fresh = await after.get(apns())
    async with replica(redis_url, clock) as another:
        assert await another.get(apns()) == fresh


async def test_a_token_that_apns_refuses_is_replaced_only_once_it_is_old_enough(redis_url: str, clock: Seconds) -> None:
    async with replica(redis_url, clock) as one:
        token = await one.get(apns())
        clock.now += 20 * 60
        assert await one.instead_of(token, apns()) == token
        clock.now += 1
        assert await one.instead_of(token, apns()) != token


async def test_who_knows_a_team_but_not_its_key_gets_no_token_of_it(redis_url: str, clock: Seconds) -> None:
    stolen = ApnsKey.generate(team_id="TEAM123456", key_id="KEY1234567", topic="org.clarion.app")
    async with replica(redis_url, clock) as one:
        assert await one.get(apns()) != await one.get(apns(signing_key_pem=stolen.private_key))
