from __future__ import annotations

import pytest

from services.auth.domain import Role
from services.auth.service import Administration
from services.runtime.errors import Denied, NotFound
from tests.unit.auth.builders import ADMIN, NOON, PLATFORM, Clock, client, numbered
from tests.unit.auth.fakes import MemoryAuditLog, MemoryClients, MemoryStore, QuickHashing

PRIVILEGED = [Role.PLATFORM_ADMIN, Role.SERVICE]


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    for each in (
        client("shop", Role.SENDER),
        client("clarion-device", Role.SERVICE),
        client("other-shop", Role.SENDER, tenant="globex"),
    ):
        store.clients[each.client_id] = each
    return store


@pytest.fixture
def administration(store: MemoryStore) -> Administration:
    return Administration(
        clients=MemoryClients(store),
        audit=MemoryAuditLog(store),
        hashing=QuickHashing(),
        clock=Clock(),
        new_id=numbered("id"),
        new_secret=numbered("secret"),
    )


async def test_a_new_client_belongs_to_its_creators_tenant(administration: Administration, store: MemoryStore) -> None:
    created, secret = await administration.create(
        ADMIN, tenant="", display_name="billing", roles=frozenset({Role.SENDER})
    )
    assert (created.tenant, created.created_at, secret) == ("acme", NOON, "secret-001")
    assert store.clients[created.client_id].secret_hash == "hash 1 of secret-001"


@pytest.mark.parametrize("role", PRIVILEGED)
async def test_a_tenants_administrator_grants_no_role_above_its_own(
    administration: Administration, store: MemoryStore, role: Role
) -> None:
    roles = frozenset({Role.SENDER, role})
    with pytest.raises(Denied, match=role):
        await administration.create(ADMIN, tenant="", display_name="", roles=roles)
    with pytest.raises(Denied, match=role):
        await administration.set_roles(ADMIN, "shop", roles)
    assert store.audit == []


async def test_only_a_platform_administrator_names_another_tenant(
    administration: Administration, store: MemoryStore
) -> None:
    roles = frozenset({Role.ADMIN})
    with pytest.raises(Denied):
        await administration.create(ADMIN, tenant="globex", display_name="", roles=roles)
    created, _ = await administration.create(PLATFORM, tenant="globex", display_name="", roles=roles)
    assert created.tenant == "globex"
    assert store.audit[-1].tenants == ("clarion", "globex")


async def test_another_tenants_client_is_as_if_it_were_not_there(
    administration: Administration, store: MemoryStore
) -> None:
    before = dict(store.clients)
    for client_id in ("other-shop", "nobody"):
        for act in (
            administration.get(ADMIN, client_id),
            administration.set_roles(ADMIN, client_id, frozenset({Role.VIEWER})),
            administration.rotate_secret(ADMIN, client_id),
            administration.delete(ADMIN, client_id),
        ):
            with pytest.raises(NotFound, match="there is no such client"):
                await act
    assert store.clients == before
    assert store.audit == []


async def test_a_client_with_a_role_above_ones_own_is_not_touched(
    administration: Administration, store: MemoryStore
) -> None:
    for act in (
        administration.set_roles(ADMIN, "clarion-device", frozenset({Role.VIEWER})),
        administration.rotate_secret(ADMIN, "clarion-device"),
        administration.delete(ADMIN, "clarion-device"),
    ):
        with pytest.raises(Denied, match="above your own"):
            await act
    assert store.audit == []


async def test_a_platform_administrator_reaches_every_tenant(
    administration: Administration, store: MemoryStore
) -> None:
    changed = await administration.set_roles(PLATFORM, "other-shop", frozenset({Role.SERVICE}))
    assert changed.roles == {Role.SERVICE}
    await administration.delete(PLATFORM, "other-shop")
    assert "other-shop" not in store.clients


async def test_a_new_secret_replaces_the_old_one(administration: Administration, store: MemoryStore) -> None:
    secret = await administration.rotate_secret(ADMIN, "shop")
    assert store.clients["shop"].secret_hash.endswith(f"of {secret}")


async def test_every_change_is_audited_without_secrets(administration: Administration, store: MemoryStore) -> None:
    created, _ = await administration.create(
        ADMIN, tenant="", display_name="billing", roles=frozenset({Role.SENDER, Role.VIEWER})
    )
    await administration.set_roles(ADMIN, created.client_id, frozenset({Role.VIEWER}))
    await administration.rotate_secret(ADMIN, created.client_id)
    await administration.delete(ADMIN, created.client_id)
    assert [(entry.actor, entry.action, entry.subject, dict(entry.details)) for entry in store.audit] == [
        ("ada", "client.create", created.client_id, {"roles": "sender, viewer", "display_name": "billing"}),
        ("ada", "client.set_roles", created.client_id, {"roles": "viewer"}),
        ("ada", "client.rotate_secret", created.client_id, {}),
        ("ada", "client.delete", created.client_id, {}),
    ]
    assert "secret-00" not in repr(store.audit)


async def test_what_a_platform_administrator_does_to_a_tenant_both_may_read(administration: Administration) -> None:
    await administration.delete(PLATFORM, "shop")
    for actor in (ADMIN, PLATFORM):
        (entry,) = await administration.audit(actor, before=None, limit=10)
        assert (entry.actor, entry.subject) == ("root", "shop")
