from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import grpc
import pytest
from clarion.auth import v1
from pydantic import SecretStr

from services.auth.adapters.es256 import Es256
from services.auth.api import AuthApi
from services.auth.domain import Role
from services.auth.keyring import Keyring
from services.auth.service import Administration
from services.runtime.clock import utc_now
from services.runtime.pages import PageTokens
from services.runtime.settings import PageSettings
from tests.serving import Issuer, refusal, served
from tests.unit.auth.builders import client, numbered
from tests.unit.auth.fakes import MemoryAuditLog, MemoryClients, MemorySigningKeys, MemoryStore, QuickHashing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from clarion.auth.v1.auth_service_pb2_grpc import AuthServiceAsyncStub

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    for each in (
        client("a-shop", Role.SENDER),
        client("b-shop", Role.SENDER),
        client("clarion-device", Role.SERVICE),
        client("other", Role.SENDER, tenant="globex"),
    ):
        store.clients[each.client_id] = each
    return store


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
async def auth(store: MemoryStore, issuer: Issuer) -> AsyncIterator[AuthServiceAsyncStub]:
    new_id = numbered("id")
    keyring = Keyring(MemorySigningKeys(store), Es256(), publish_for=timedelta(0), clock=utc_now, new_id=new_id)
    await keyring.load()
    administration = Administration(
        clients=MemoryClients(store),
        audit=MemoryAuditLog(store),
        hashing=QuickHashing(),
        clock=utc_now,
        new_id=new_id,
        new_secret=numbered("secret"),
    )
    pages = PageTokens(PageSettings(page_token_key=SecretStr("0123456789abcdef")))
    api = AuthApi(administration, keyring, pages)
    add = partial(v1.add_AuthServiceServicer_to_server, api)
    async with served({"clarion.auth.v1.AuthService": add}, issuer) as channel:
        yield v1.AuthServiceStub(channel)


async def test_a_client_is_created_and_read(auth: AuthServiceAsyncStub, issuer: Issuer) -> None:
    admin = issuer.metadata("admin")
    request = v1.CreateClientRequest(display_name="billing", roles=[v1.ROLE_VIEWER, v1.ROLE_SENDER])
    created = await auth.CreateClient(request, metadata=admin)
    assert created.client_secret == "secret-001"
    assert (created.client.tenant, list(created.client.roles)) == ("acme", [v1.ROLE_VIEWER, v1.ROLE_SENDER])
    read = await auth.GetClient(v1.GetClientRequest(client_id=created.client.client_id), metadata=admin)
    assert read.client == created.client


async def test_every_wrong_field_is_named_and_nothing_is_stored(
    auth: AuthServiceAsyncStub, issuer: Issuer, store: MemoryStore
) -> None:
    before = dict(store.clients)
    request = v1.CreateClientRequest(
        display_name="line\nbreak",
        roles=[v1.ROLE_UNSPECIFIED, v1.ROLE_SENDER, 99],  # type: ignore[list-item]  # a value of a later release
        tenant="not a tenant",
    )
    refused = await refusal(auth.CreateClient(request, metadata=issuer.metadata("platform_admin")))
    assert refused.code is INVALID
    assert refused.fields == ("display_name", "roles[0]", "roles[2]", "tenant")
    assert store.clients == before


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (v1.CreateClientRequest(), ("roles",)),
        (v1.CreateClientRequest(roles=[v1.ROLE_SENDER] * 9), ("roles",)),
        (v1.CreateClientRequest(roles=[v1.ROLE_SENDER], display_name="x" * 201), ("display_name",)),
    ],
)
async def test_sizes_are_bounded(
    auth: AuthServiceAsyncStub, issuer: Issuer, request_: v1.CreateClientRequest, fields: tuple[str, ...]
) -> None:
    refused = await refusal(auth.CreateClient(request_, metadata=issuer.metadata("admin")))
    assert (refused.code, refused.fields) == (INVALID, fields)


@pytest.mark.parametrize("client_id", ["", "x" * 129, "a b", "a\0b"])
async def test_what_is_no_client_id_is_said_to_be_none(
    auth: AuthServiceAsyncStub, issuer: Issuer, client_id: str
) -> None:
    admin = issuer.metadata("admin")
    for call in (
        auth.GetClient(v1.GetClientRequest(client_id=client_id), metadata=admin),
        auth.SetClientRoles(v1.SetClientRolesRequest(client_id=client_id, roles=[v1.ROLE_VIEWER]), metadata=admin),
        auth.RotateClientSecret(v1.RotateClientSecretRequest(client_id=client_id), metadata=admin),
        auth.DeleteClient(v1.DeleteClientRequest(client_id=client_id), metadata=admin),
    ):
        refused = await refusal(call)
        assert (refused.code, refused.fields) == (INVALID, ("client_id",))


async def test_another_tenants_client_is_not_found(
    auth: AuthServiceAsyncStub, issuer: Issuer, store: MemoryStore
) -> None:
    admin = issuer.metadata("admin")
    for call in (
        auth.GetClient(v1.GetClientRequest(client_id="other"), metadata=admin),
        auth.SetClientRoles(v1.SetClientRolesRequest(client_id="other", roles=[v1.ROLE_VIEWER]), metadata=admin),
        auth.RotateClientSecret(v1.RotateClientSecretRequest(client_id="other"), metadata=admin),
        auth.DeleteClient(v1.DeleteClientRequest(client_id="other"), metadata=admin),
    ):
        assert (await refusal(call)).code is grpc.StatusCode.NOT_FOUND
    assert store.clients["other"] == client("other", tenant="globex")


async def test_privilege_is_not_escalated(auth: AuthServiceAsyncStub, issuer: Issuer) -> None:
    admin = issuer.metadata("admin")
    for call in (
        auth.CreateClient(v1.CreateClientRequest(roles=[v1.ROLE_SERVICE]), metadata=admin),
        auth.CreateClient(v1.CreateClientRequest(roles=[v1.ROLE_SENDER], tenant="globex"), metadata=admin),
        auth.SetClientRoles(
            v1.SetClientRolesRequest(client_id="a-shop", roles=[v1.ROLE_PLATFORM_ADMIN]), metadata=admin
        ),
        auth.RotateClientSecret(v1.RotateClientSecretRequest(client_id="clarion-device"), metadata=admin),
        auth.DeleteClient(v1.DeleteClientRequest(client_id="clarion-device"), metadata=admin),
        auth.RotateSigningKey(v1.RotateSigningKeyRequest(), metadata=admin),
    ):
        assert (await refusal(call)).code is grpc.StatusCode.PERMISSION_DENIED


async def test_roles_and_secret_change_and_the_client_ends(
    auth: AuthServiceAsyncStub, issuer: Issuer, store: MemoryStore
) -> None:
    admin = issuer.metadata("admin")
    changed = await auth.SetClientRoles(
        v1.SetClientRolesRequest(client_id="a-shop", roles=[v1.ROLE_EDITOR]), metadata=admin
    )
    assert list(changed.client.roles) == [v1.ROLE_EDITOR]
    rotated = await auth.RotateClientSecret(v1.RotateClientSecretRequest(client_id="a-shop"), metadata=admin)
    assert store.clients["a-shop"].secret_hash.endswith(rotated.client_secret)
    await auth.DeleteClient(v1.DeleteClientRequest(client_id="a-shop"), metadata=admin)
    assert "a-shop" not in store.clients


async def test_clients_are_listed_page_by_page(auth: AuthServiceAsyncStub, issuer: Issuer) -> None:
    admin = issuer.metadata("admin")
    first = await auth.ListClients(v1.ListClientsRequest(page_size=2), metadata=admin)
    rest = await auth.ListClients(v1.ListClientsRequest(page_size=2, page_token=first.next_page_token), metadata=admin)
    names = [[each.client_id for each in page.clients] for page in (first, rest)]
    assert names == [["a-shop", "b-shop"], ["clarion-device"]]
    assert rest.next_page_token == ""


async def test_the_audit_log_is_listed_page_by_page(auth: AuthServiceAsyncStub, issuer: Issuer) -> None:
    admin = issuer.metadata("admin")
    for client_id in ("a-shop", "b-shop"):
        await auth.DeleteClient(v1.DeleteClientRequest(client_id=client_id), metadata=admin)
    subjects, token = [], ""
    for _ in range(2):
        page = await auth.ListAuditEntries(v1.ListAuditEntriesRequest(page_size=1, page_token=token), metadata=admin)
        (entry,) = page.entries
        subjects.append(entry.subject)
        assert (entry.actor, entry.action) == ("tester", "client.delete")
        token = page.next_page_token
    assert subjects == ["b-shop", "a-shop"]
    assert token == ""


async def test_a_page_token_of_another_tenant_or_made_up_is_refused(auth: AuthServiceAsyncStub, issuer: Issuer) -> None:
    page = await auth.ListClients(v1.ListClientsRequest(page_size=1), metadata=issuer.metadata("admin"))
    elsewhere = issuer.metadata("admin", tenant="globex")
    for call in (
        auth.ListClients(v1.ListClientsRequest(page_token=page.next_page_token), metadata=elsewhere),
        auth.ListClients(v1.ListClientsRequest(page_token="made-up"), metadata=elsewhere),
        auth.ListAuditEntries(v1.ListAuditEntriesRequest(page_token=page.next_page_token), metadata=elsewhere),
    ):
        refused = await refusal(call)
        assert (refused.code, refused.fields) == (INVALID, ("page_token",))


@pytest.mark.parametrize("size", [-1, 501])
async def test_page_sizes_are_bounded(auth: AuthServiceAsyncStub, issuer: Issuer, size: int) -> None:
    refused = await refusal(auth.ListClients(v1.ListClientsRequest(page_size=size), metadata=issuer.metadata("admin")))
    assert (refused.code, refused.fields) == (INVALID, ("page_size",))


async def test_while_the_store_is_away_the_answer_is_to_come_again(
    auth: AuthServiceAsyncStub, issuer: Issuer, store: MemoryStore
) -> None:
    store.down = True
    refused = await refusal(auth.ListClients(v1.ListClientsRequest(), metadata=issuer.metadata("admin")))
    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert refused.retry_after


async def test_the_signing_key_is_rotated_by_platform_administrators(
    auth: AuthServiceAsyncStub, issuer: Issuer, store: MemoryStore
) -> None:
    answer = await auth.RotateSigningKey(v1.RotateSigningKeyRequest(), metadata=issuer.metadata("platform_admin"))
    assert answer.key_id in store.keys
