from __future__ import annotations

import asyncio
from datetime import timedelta

import jwt
import pytest

from services.auth.adapters.es256 import Es256
from services.auth.attempts import BURST, Attempts
from services.auth.domain import Role
from services.auth.keyring import Keyring
from services.auth.tokens import CONCURRENT_CHECKS, MAX_WAITING, Tokens
from services.runtime.errors import RateLimited, Unauthenticated, Unavailable
from tests.unit.auth.builders import NOON, Clock, client, numbered
from tests.unit.auth.fakes import MemoryClients, MemorySigningKeys, MemoryStore, QuickHashing


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.clients["shop"] = client("shop", Role.SENDER, Role.VIEWER)
    return store


@pytest.fixture
def hashing() -> QuickHashing:
    return QuickHashing()


async def tokens_of(store: MemoryStore, hashing: QuickHashing) -> Tokens:
    clock = Clock()
    keyring = Keyring(
        MemorySigningKeys(store), Es256(), publish_for=timedelta(0), clock=clock, new_id=numbered("entry")
    )
    await keyring.load()
    return Tokens(
        issuer="https://issuer.test/",
        audience="clarion",
        token_seconds=900,
        clients=MemoryClients(store),
        hashing=hashing,
        decoy_hash="decoy",
        attempts=Attempts(now=lambda: 0.0),
        keyring=keyring,
        clock=clock,
        new_id=numbered("jti"),
    )


@pytest.fixture
async def tokens(store: MemoryStore, hashing: QuickHashing) -> Tokens:
    return await tokens_of(store, hashing)


async def test_the_right_secret_gives_a_token_with_the_claims_of_rfc_9068(tokens: Tokens) -> None:
    grant = await tokens.grant("shop", "secret")
    claims = jwt.decode(grant.access_token, options={"verify_signature": False})
    now = int(NOON.timestamp())
    assert grant.expires_in == 900
    assert claims == {
        "iss": "https://issuer.test",
        "sub": "shop",
        "aud": "clarion",
        "iat": now,
        "exp": now + 900,
        "jti": "jti-001",
        "client_id": "shop",
        "tenant": "acme",
        "roles": ["sender", "viewer"],
    }


async def test_an_unknown_client_and_a_wrong_secret_get_the_same_answer_for_the_same_work(
    tokens: Tokens, hashing: QuickHashing
) -> None:
    answers = []
    for client_id in ("shop", "nobody"):
        with pytest.raises(Unauthenticated) as caught:
            await tokens.grant(client_id, "wrong")
        answers.append((str(caught.value), caught.value.reason))
    assert answers[0] == answers[1]
    assert hashing.checked == ["hash 0 of secret", "decoy"]


@pytest.mark.parametrize("client_id", ["shop", "nobody"])
async def test_guessing_is_slowed_down_for_known_and_unknown_clients(
    tokens: Tokens, hashing: QuickHashing, client_id: str
) -> None:
    for _ in range(BURST):
        with pytest.raises(Unauthenticated):
            await tokens.grant(client_id, "wrong")
    with pytest.raises(RateLimited):
        await tokens.grant(client_id, "secret")
    assert len(hashing.checked) == BURST


async def test_guesses_at_the_same_time_are_counted_too(store: MemoryStore) -> None:
    class Yielding(QuickHashing):
        async def matches(self, secret_hash: str, secret: str) -> bool:
            await asyncio.sleep(0)
            return await super().matches(secret_hash, secret)

    hashing = Yielding()
    tokens = await tokens_of(store, hashing)
    await asyncio.gather(*(tokens.grant("shop", "wrong") for _ in range(50)), return_exceptions=True)
    assert len(hashing.checked) < BURST + CONCURRENT_CHECKS


async def test_when_too_many_wait_more_are_turned_away_at_once(store: MemoryStore) -> None:
    release = asyncio.Event()

    class Stuck(QuickHashing):
        async def matches(self, secret_hash: str, secret: str) -> bool:
            await release.wait()
            return True

    tokens = await tokens_of(store, Stuck())
    waiting = [asyncio.create_task(tokens.grant("shop", "secret")) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as caught:
        await tokens.grant("shop", "secret")
    assert caught.value.reason == "OVERLOADED"
    release.set()
    assert len(await asyncio.gather(*waiting)) == MAX_WAITING


async def test_while_the_store_is_away_there_are_no_tokens(tokens: Tokens, store: MemoryStore) -> None:
    store.down = True
    with pytest.raises(Unavailable):
        await tokens.grant("shop", "secret")
