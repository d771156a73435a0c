"""What every implementation of the auth service's repositories does: the fakes of the unit tests, and MongoDB."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from argon2 import PasswordHasher
from pydantic import SecretStr

from services.auth.adapters.argon2 import Argon2
from services.auth.adapters.mongo import MongoAuditLog, MongoClients, MongoSigningKeys, create_indexes
from services.auth.domain import PRIVILEGED, Role
from services.runtime import mongo
from services.runtime.errors import AlreadyExists, PreconditionFailed
from services.runtime.sealing import Sealer
from services.runtime.settings import MongoSettings, SealingSettings
from tests.unit.auth.builders import NOON, client, entry, key
from tests.unit.auth.fakes import MemoryAuditLog, MemoryClients, MemorySigningKeys, MemoryStore, QuickHashing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from motor.motor_asyncio import AsyncIOMotorDatabase

    from services.auth.domain import Client
    from services.auth.ports import AuditLog, Clients, SecretHashing, SigningKeys


@dataclass(frozen=True, kw_only=True)
class Repositories:
    clients: Clients
    keys: SigningKeys
    audit: AuditLog


def sealer(letter: bytes = b"k") -> Sealer:
    return Sealer(
        SealingSettings(credential_key_file="", credential_key=SecretStr(base64.b64encode(letter * 32).decode()))
    )


@pytest.fixture
async def database(mongo_url: str, mongo_database: str) -> AsyncIterator[AsyncIOMotorDatabase[mongo.Document]]:
    settings = MongoSettings(mongo_url=SecretStr(mongo_url), mongo_database=mongo_database)
    async with mongo.opened(settings) as opened:
        yield opened


@pytest.fixture(params=["memory", "mongodb"])
async def repositories(request: pytest.FixtureRequest, database: AsyncIOMotorDatabase[mongo.Document]) -> Repositories:
    if request.param == "memory":
        store = MemoryStore()
        return Repositories(clients=MemoryClients(store), keys=MemorySigningKeys(store), audit=MemoryAuditLog(store))
    await create_indexes(database)
    return Repositories(
        clients=MongoClients(database), keys=MongoSigningKeys(database, sealer()), audit=MongoAuditLog(database)
    )


async def audited(repositories: Repositories, tenant: str = "acme") -> list[str]:
    return [each.entry_id for each in await repositories.audit.page(tenant=tenant, before=None, limit=100)]


async def add(repositories: Repositories, *clients: Client) -> None:
    for number, each in enumerate(clients):
        await repositories.clients.add(each, entry(f"added-{number}"))


async def test_a_client_is_found_as_it_was_added(repositories: Repositories) -> None:
    shop = client("shop", Role.SENDER, Role.ADMIN)
    await add(repositories, shop)
    assert await repositories.clients.find("shop") == shop
    assert await repositories.clients.get("shop", tenant="acme") == shop
    assert await audited(repositories) == ["added-0"]


async def test_another_tenants_client_is_not_there(repositories: Repositories) -> None:
    await add(repositories, client("shop"))
    assert await repositories.clients.get("shop", tenant="globex") is None
    assert await repositories.clients.page(tenant="globex", after="", limit=10) == []


async def test_an_id_that_is_taken_is_not_added_again_and_not_audited(repositories: Repositories) -> None:
    shop = client("shop")
    await add(repositories, shop)
    with pytest.raises(AlreadyExists):
        await repositories.clients.add(replace(shop, tenant="globex"), entry("again", "globex"))
    assert await repositories.clients.find("shop") == shop
    assert await audited(repositories, "globex") == []


async def test_of_many_who_add_the_same_id_one_does(repositories: Repositories) -> None:
    results = await asyncio.gather(
        *(repositories.clients.add(client("shop"), entry(f"entry-{number}")) for number in range(5)),
        return_exceptions=True,
    )
    assert [type(each) for each in results if each is not None] == [AlreadyExists] * 4
    assert len(await audited(repositories)) == 1


async def test_pages_go_through_a_tenants_clients_in_order(repositories: Repositories) -> None:
    await add(repositories, client("c"), client("a"), client("x", tenant="globex"), client("b"))
    first = await repositories.clients.page(tenant="acme", after="", limit=2)
    rest = await repositories.clients.page(tenant="acme", after="b", limit=2)
    assert [[each.client_id for each in page] for page in (first, rest)] == [["a", "b"], ["c"]]


async def test_roles_are_replaced(repositories: Repositories) -> None:
    await add(repositories, client("shop"))
    roles = frozenset({Role.VIEWER, Role.EDITOR})
    changed = await repositories.clients.set_roles("shop", roles, entry("changed"), tenant="acme", barred=PRIVILEGED)
    assert changed == replace(client("shop"), roles=roles)
    assert await repositories.clients.find("shop") == changed
    assert set(await audited(repositories)) == {"added-0", "changed"}


async def test_a_secrets_hash_is_replaced(repositories: Repositories) -> None:
    await add(repositories, client("shop"))
    assert await repositories.clients.set_secret_hash(
        "shop", "new", entry("changed"), tenant="acme", barred=frozenset()
    )
    found = await repositories.clients.find("shop")
    assert found is not None
    assert found.secret_hash == "new"


async def test_a_client_is_removed(repositories: Repositories) -> None:
    await add(repositories, client("shop"))
    assert await repositories.clients.remove("shop", entry("removed"), tenant="acme", barred=PRIVILEGED)
    assert await repositories.clients.find("shop") is None
    assert not await repositories.clients.remove("shop", entry("again"), tenant="acme", barred=PRIVILEGED)
    assert set(await audited(repositories)) == {"added-0", "removed"}


@pytest.mark.parametrize("tenant", ["acme", "globex"])
async def test_what_may_not_be_touched_is_neither_changed_nor_audited(repositories: Repositories, tenant: str) -> None:
    device = client("device", Role.SERVICE, Role.VIEWER)
    await add(repositories, device)
    change = entry("changed", "acme", "globex")
    clients, barred = repositories.clients, PRIVILEGED if tenant == "acme" else frozenset[Role]()
    assert not await clients.set_roles("device", frozenset({Role.VIEWER}), change, tenant=tenant, barred=barred)
    assert not await clients.set_secret_hash("device", "new", change, tenant=tenant, barred=barred)
    assert not await clients.remove("device", change, tenant=tenant, barred=barred)
    assert await clients.find("device") == device
    assert await audited(repositories) == ["added-0"]


async def test_a_client_is_put_in_anothers_place(repositories: Repositories) -> None:
    await add(repositories, client("shop"))
    other = client("shop", Role.VIEWER, tenant="globex")
    await repositories.clients.replace(other, entry("replaced", "globex"))
    assert await repositories.clients.find("shop") == other
    assert await audited(repositories, "globex") == ["replaced"]


async def test_the_audit_log_is_read_newest_first_by_those_it_concerns(repositories: Repositories) -> None:
    moments = [NOON, NOON + timedelta(seconds=1), NOON + timedelta(seconds=1), NOON + timedelta(seconds=2)]
    for number, time in enumerate(moments):
        tenants = ("acme", "clarion") if number else ("globex",)
        await repositories.clients.replace(client(f"{number}"), entry(f"entry-{number}", *tenants, time=time))
    log = repositories.audit
    first = await log.page(tenant="acme", before=None, limit=2)
    rest = await log.page(tenant="acme", before=(first[-1].time, first[-1].entry_id), limit=2)
    assert [each.entry_id for each in (*first, *rest)] == ["entry-3", "entry-2", "entry-1"]
    assert first[0] == entry("entry-3", "acme", "clarion", time=moments[3])
    assert [each.entry_id for each in await log.page(tenant="globex", before=None, limit=9)] == ["entry-0"]


async def test_keys_are_read_as_they_were_added_in_order(repositories: Repositories) -> None:
    keys = [key(2, signs_from=NOON + timedelta(seconds=9)), key(1)]
    for each in keys:
        await repositories.keys.add(each, entry(each.key_id))
    assert await repositories.keys.all() == keys[::-1]
    await repositories.keys.remove(["key-1", "unknown"])
    assert await repositories.keys.all() == keys[:1]
    await repositories.keys.remove([])


async def test_there_is_one_key_of_a_generation(repositories: Repositories) -> None:
    results = await asyncio.gather(
        *(repositories.keys.add(replace(key(1), key_id=each), entry(each)) for each in "abc"), return_exceptions=True
    )
    assert [type(each) for each in results if each is not None] == [AlreadyExists] * 2
    assert len(await audited(repositories)) == 1


async def test_private_keys_are_encrypted_where_they_are_stored(
    database: AsyncIOMotorDatabase[mongo.Document],
) -> None:
    await create_indexes(database)
    await MongoSigningKeys(database, sealer()).add(key(1), entry())
    stored = await database["keys"].find_one()
    assert key(1).private not in repr(stored).encode()
    with pytest.raises(PreconditionFailed):
        await MongoSigningKeys(database, sealer(b"x")).all()


async def test_a_private_key_cannot_be_moved_to_another_id(database: AsyncIOMotorDatabase[mongo.Document]) -> None:
    keys = MongoSigningKeys(database, sealer())
    await keys.add(key(1), entry())
    document = await database["keys"].find_one_and_delete({})
    assert document is not None
    await database["keys"].insert_one({**document, "_id": "key-9"})
    with pytest.raises(PreconditionFailed):
        await keys.all()


async def test_indexes_may_be_created_again(database: AsyncIOMotorDatabase[mongo.Document]) -> None:
    await asyncio.gather(*(create_indexes(database) for _ in range(3)))
    assert "generation_1" in await database["keys"].index_information()


@pytest.fixture(params=["memory", "argon2id"])
def hashing(request: pytest.FixtureRequest) -> SecretHashing:
    cheap = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    return QuickHashing() if request.param == "memory" else Argon2(cheap)


async def test_a_hash_matches_its_secret_only(hashing: SecretHashing) -> None:
    hashed = await hashing.hash("secret")
    assert await hashing.matches(hashed, "secret")
    assert not await hashing.matches(hashed, "another")
    assert not await hashing.matches("not a hash", "secret")


async def test_hashes_are_salted(hashing: SecretHashing) -> None:
    assert await hashing.hash("secret") != await hashing.hash("secret")


async def test_secrets_are_hashed_with_argon2id_by_default() -> None:
    hashed = await Argon2().hash("secret")
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
