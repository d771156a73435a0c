from __future__ import annotations

import asyncio
from datetime import timedelta

import jwt
import pytest

from services.auth.adapters.es256 import Es256
from services.auth.adapters.local_keys import LocalKeys
from services.auth.domain import CLOCK_SKEW, MAX_TOKEN_SECONDS, AuditEntry, SigningKey
from services.auth.keyring import Keyring
from services.runtime.errors import Unauthenticated, Unavailable
from tests.unit.auth.builders import PLATFORM, Clock, numbered
from tests.unit.auth.fakes import MemorySigningKeys, MemoryStore

PUBLISH = timedelta(minutes=10)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def replica(store: MemoryStore, clock: Clock, publish_for: timedelta = PUBLISH) -> Keyring:
    return Keyring(
        MemorySigningKeys(store), Es256(), publish_for=publish_for, clock=clock, new_id=numbered(f"entry-{id(store)}")
    )


def signer(keyring: Keyring) -> str:
    return str(jwt.get_unverified_header(keyring.sign({"sub": "shop"}))["kid"])


def published(keyring: Keyring) -> set[str]:
    return {each["kid"] for each in keyring.published()}


async def test_the_first_key_signs_at_once_and_is_published(store: MemoryStore, clock: Clock) -> None:
    keyring = replica(store, clock)
    await keyring.load()
    assert published(keyring) == {signer(keyring)}
    assert [entry.actor for entry in store.audit] == ["bootstrap"]


async def test_a_token_verifies_with_what_is_published(store: MemoryStore, clock: Clock) -> None:
    keyring = replica(store, clock)
    await keyring.load()
    token = keyring.sign({"sub": "shop", "roles": ["sender"]})
    header = jwt.get_unverified_header(token)
    assert (header["typ"], header["alg"]) == ("at+jwt", "ES256")
    key = await LocalKeys(keyring).key(header["kid"])
    assert jwt.decode(token, key, algorithms=["ES256"])["roles"] == ["sender"]


async def test_an_unknown_key_id_is_refused(store: MemoryStore, clock: Clock) -> None:
    keyring = replica(store, clock)
    await keyring.load()
    with pytest.raises(Unauthenticated):
        await LocalKeys(keyring).key("made-up")


async def test_replicas_that_start_together_share_one_key(store: MemoryStore, clock: Clock) -> None:
    class Slow(MemorySigningKeys):
        async def add(self, key: SigningKey, entry: AuditEntry) -> None:
            await asyncio.sleep(0)
            await super().add(key, entry)

    keyrings = [
        Keyring(Slow(store), Es256(), publish_for=PUBLISH, clock=clock, new_id=numbered(f"{each}")) for each in "ab"
    ]
    await asyncio.gather(*(each.load() for each in keyrings))
    assert len(store.keys) == 1
    assert signer(keyrings[0]) == signer(keyrings[1])


async def test_a_new_key_is_published_before_it_signs(store: MemoryStore, clock: Clock) -> None:
    keyring = replica(store, clock)
    await keyring.load()
    old = signer(keyring)
    new = await keyring.rotate(PLATFORM)
    assert published(keyring) == {old, new}
    assert signer(keyring) == old
    clock.forward(minutes=10)
    assert signer(keyring) == new


async def test_an_old_key_stays_published_until_its_last_token_has_expired(store: MemoryStore, clock: Clock) -> None:
    keyring = replica(store, clock)
    await keyring.load()
    old = signer(keyring)
    new = await keyring.rotate(PLATFORM)
    clock.forward(seconds=(PUBLISH + CLOCK_SKEW).total_seconds() + MAX_TOKEN_SECONDS)
    assert published(keyring) == {old, new}
    clock.forward(seconds=0.001)
    assert published(keyring) == {new}


async def test_keys_that_are_of_no_use_are_deleted_by_the_next_rotation(store: MemoryStore, clock: Clock) -> None:
    keyring = replica(store, clock)
    await keyring.load()
    old = signer(keyring)
    await keyring.rotate(PLATFORM)
    clock.forward(days=1)
    await keyring.rotate(PLATFORM)
    assert old not in store.keys
    assert len(store.keys) == 2


async def test_rotating_again_before_the_new_key_signs_makes_no_other(store: MemoryStore, clock: Clock) -> None:
    keyring = replica(store, clock)
    await keyring.load()
    assert await keyring.rotate(PLATFORM) == await keyring.rotate(PLATFORM)
    assert len(store.keys) == 2


async def test_without_a_time_of_publication_a_new_key_signs_at_once(store: MemoryStore, clock: Clock) -> None:
    keyring = replica(store, clock, timedelta(0))
    await keyring.load()
    assert await keyring.rotate(PLATFORM) == signer(keyring)


async def test_another_replica_sees_the_new_key_when_it_refreshes(store: MemoryStore, clock: Clock) -> None:
    one, other = replica(store, clock), replica(store, clock)
    await one.load()
    await other.load()
    new = await one.rotate(PLATFORM)
    assert new not in published(other)
    await other.refresh()
    assert new in published(other)


async def test_rotation_is_audited_with_its_actor(store: MemoryStore, clock: Clock) -> None:
    keyring = replica(store, clock)
    await keyring.load()
    new = await keyring.rotate(PLATFORM)
    last = store.audit[-1]
    assert (last.actor, last.action, last.subject, last.tenants) == ("root", "signing_key.rotate", new, ("clarion",))


def test_nothing_is_signed_before_a_key_is_there(store: MemoryStore, clock: Clock) -> None:
    with pytest.raises(Unavailable):
        replica(store, clock).sign({})


async def test_known_keys_stay_in_use_while_the_store_is_away(
    store: MemoryStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.auth.keyring.REFRESH_SECONDS", 0.0)
    tries = asyncio.Event()

    class Counted(MemorySigningKeys):
        async def all(self) -> list[SigningKey]:
            if store.down:
                tries.set()
            return await super().all()

    keyring = Keyring(Counted(store), Es256(), publish_for=PUBLISH, clock=clock, new_id=numbered("entry"))
    await keyring.load()
    before = signer(keyring)
    running = asyncio.create_task(keyring.run())
    store.down = True
    await tries.wait()
    assert signer(keyring) == before
    keyring.stop()
    await running
