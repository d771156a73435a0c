"""The gRPC face of the auth service: messages in, use cases, messages out."""
# ruff: noqa: N802 - the methods have the contract's names

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clarion.auth import v1
from google.protobuf.timestamp_pb2 import Timestamp

from services.auth.domain import (
    MAX_CLIENT_ID_CHARS,
    MAX_DISPLAY_NAME_CHARS,
    MAX_TENANT_CHARS,
    Actor,
    AuditEntry,
    Client,
    Role,
)
from services.runtime import identity
from services.runtime.validation import Violations

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.auth.keyring import Keyring
    from services.auth.service import Administration
    from services.runtime.pages import PageTokens
    from services.runtime.server import Context

DEFAULT_PAGE, MAX_PAGE = 50, 500
MAX_ROLES = len(Role)
_ROLES: dict[int, Role] = {v1.Role.Value(f"ROLE_{role.name}"): role for role in Role}
_NUMBERS = {role: v1.Role.Value(f"ROLE_{role.name}") for role in Role}


class AuthApi(v1.AuthServiceServicer):
    """clarion.auth.v1.AuthService."""

    def __init__(self, administration: Administration, keyring: Keyring, pages: PageTokens) -> None:
        """The use cases, and what page tokens are signed with."""
        self._administration, self._keyring, self._pages = administration, keyring, pages

    async def CreateClient(self, request: v1.CreateClientRequest, context: Context) -> v1.CreateClientResponse:
        """Create a client."""
        wrong = Violations()
        wrong.text("display_name", request.display_name, most=MAX_DISPLAY_NAME_CHARS, one_line=True)
        roles = _roles(wrong, request.roles)
        if request.tenant:
            wrong.identifier("tenant", request.tenant, most=MAX_TENANT_CHARS)
        wrong.check()
        client, secret = await self._administration.create(
            _actor(), tenant=request.tenant, display_name=request.display_name, roles=roles
        )
        return v1.CreateClientResponse(client=_client(client), client_secret=secret)

    async def GetClient(self, request: v1.GetClientRequest, context: Context) -> v1.GetClientResponse:
        """One client."""
        client = await self._administration.get(_actor(), _client_id(request.client_id))
        return v1.GetClientResponse(client=_client(client))

    async def ListClients(self, request: v1.ListClientsRequest, context: Context) -> v1.ListClientsResponse:
        """A page of the tenant's clients."""
        actor = _actor()
        size = _page_size(request.page_size)
        after = self._pages.open(request.page_token, tenant=actor.tenant, request=request)
        clients = await self._administration.page(actor, after=after, limit=size + 1)
        answer = v1.ListClientsResponse(clients=[_client(client) for client in clients[:size]])
        if len(clients) > size:
            cursor = clients[size - 1].client_id
            answer.next_page_token = self._pages.sign(cursor, tenant=actor.tenant, request=request)
        return answer

    async def SetClientRoles(self, request: v1.SetClientRolesRequest, context: Context) -> v1.SetClientRolesResponse:
        """Replace a client's roles."""
        wrong = Violations()
        wrong.identifier("client_id", request.client_id, most=MAX_CLIENT_ID_CHARS)
        roles = _roles(wrong, request.roles)
        wrong.check()
        client = await self._administration.set_roles(_actor(), request.client_id, roles)
        return v1.SetClientRolesResponse(client=_client(client))

    async def RotateClientSecret(
        self, request: v1.RotateClientSecretRequest, context: Context
    ) -> v1.RotateClientSecretResponse:
        """Give a client a new secret."""
        secret = await self._administration.rotate_secret(_actor(), _client_id(request.client_id))
        return v1.RotateClientSecretResponse(client_secret=secret)

    async def DeleteClient(self, request: v1.DeleteClientRequest, context: Context) -> v1.DeleteClientResponse:
        """End a client."""
        await self._administration.delete(_actor(), _client_id(request.client_id))
        return v1.DeleteClientResponse()

    async def RotateSigningKey(
        self, request: v1.RotateSigningKeyRequest, context: Context
    ) -> v1.RotateSigningKeyResponse:
        """Publish a new signing key."""
        return v1.RotateSigningKeyResponse(key_id=await self._keyring.rotate(_actor()))

    async def ListAuditEntries(
        self, request: v1.ListAuditEntriesRequest, context: Context
    ) -> v1.ListAuditEntriesResponse:
        """A page of the tenant's audit log."""
        actor = _actor()
        size = _page_size(request.page_size)
        cursor = self._pages.open(request.page_token, tenant=actor.tenant, request=request)
        entries = await self._administration.audit(actor, before=_position(cursor), limit=size + 1)
        answer = v1.ListAuditEntriesResponse(entries=[_entry(entry) for entry in entries[:size]])
        if len(entries) > size:
            last = entries[size - 1]
            cursor = f"{last.time.isoformat()} {last.entry_id}"
            answer.next_page_token = self._pages.sign(cursor, tenant=actor.tenant, request=request)
        return answer


def _actor() -> Actor:
    caller = identity.current()
    return Actor(client_id=caller.subject, tenant=caller.tenant, roles=caller.roles)


def _client_id(value: str) -> str:
    wrong = Violations()
    wrong.identifier("client_id", value, most=MAX_CLIENT_ID_CHARS)
    wrong.check()
    return value


def _roles(wrong: Violations, values: Iterable[int]) -> frozenset[Role]:
    values = list(values)
    if wrong.count("roles", len(values), most=MAX_ROLES):
        for index, value in enumerate(values):
            wrong.enumerated(f"roles[{index}]", value, v1.Role, required=True)
    return frozenset(_ROLES[value] for value in values if value in _ROLES)


def _page_size(value: int) -> int:
    wrong = Violations()
    size = wrong.page_size(value, default=DEFAULT_PAGE, most=MAX_PAGE)
    wrong.check()
    return size


def _position(cursor: str) -> tuple[datetime, str] | None:
    if not cursor:
        return None
    time, _, entry_id = cursor.partition(" ")
    return datetime.fromisoformat(time), entry_id


def _client(client: Client) -> v1.Client:
    return v1.Client(
        client_id=client.client_id,
        tenant=client.tenant,
        display_name=client.display_name,
        roles=[_NUMBERS[role] for role in Role if role in client.roles],
        create_time=_timestamp(client.created_at),
    )


def _entry(entry: AuditEntry) -> v1.AuditEntry:
    return v1.AuditEntry(
        time=_timestamp(entry.time),
        actor=entry.actor,
        action=entry.action,
        subject=entry.subject,
        details=entry.details,
    )


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment.astimezone(UTC))
    return stamp
