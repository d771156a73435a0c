"""The use cases of AuthService: administration of clients and the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.auth.domain import Actor, AuditEntry, Client, Role
from services.runtime.errors import Denied, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from services.auth.ports import AuditLog, Clients, SecretHashing
    from services.runtime.clock import Clock


class Administration:
    """What administrators do. Another tenant's client is as if it were not there."""

    def __init__(
        self,
        *,
        clients: Clients,
        audit: AuditLog,
        hashing: SecretHashing,
        clock: Clock,
        new_id: Callable[[], str],
        new_secret: Callable[[], str],
    ) -> None:
        """`new_id` and `new_secret` give what cannot be guessed."""
        self._clients, self._audit, self._hashing = clients, audit, hashing
        self._clock, self._new_id, self._new_secret = clock, new_id, new_secret

    async def create(
        self, actor: Actor, *, tenant: str, display_name: str, roles: frozenset[Role]
    ) -> tuple[Client, str]:
        """A new client and its secret, which is nowhere else; an empty tenant is the actor's own.

        Raises Denied for a role above the actor's own, or another tenant.
        """
        _check_grant(actor, roles)
        tenant = tenant or actor.tenant
        if tenant != actor.tenant and not actor.crosses_tenants:
            raise Denied("only a platform administrator may name another tenant", reason="OTHER_TENANT")
        secret = self._new_secret()
        client = Client(
            client_id=self._new_id(),
            tenant=tenant,
            display_name=display_name,
            roles=roles,
            created_at=self._clock(),
            secret_hash=await self._hashing.hash(secret),
        )
        details = {"roles": _listed(roles), "display_name": display_name}
        await self._clients.add(client, self._entry(actor, "client.create", client.client_id, tenant, details))
        return client, secret

    async def get(self, actor: Actor, client_id: str) -> Client:
        """Raise NotFound if there is none that the actor may see."""
        client = await self._clients.get(client_id, tenant=await self._tenant(actor, client_id))
        if client is None:
            raise _no_client()
        return client

    async def page(self, actor: Actor, *, after: str, limit: int) -> list[Client]:
        """The clients of the actor's tenant, from the one after `after`."""
        return await self._clients.page(tenant=actor.tenant, after=after, limit=limit)

    async def set_roles(self, actor: Actor, client_id: str, roles: frozenset[Role]) -> Client:
        """The client with its new roles.

        Raises NotFound, or Denied for a role above the actor's own, now or before.
        """
        _check_grant(actor, roles)
        tenant = await self._tenant(actor, client_id)
        entry = self._entry(actor, "client.set_roles", client_id, tenant, {"roles": _listed(roles)})
        client = await self._clients.set_roles(client_id, roles, entry, tenant=tenant, barred=actor.barred)
        return client or await self._refuse(client_id, tenant)

    async def rotate_secret(self, actor: Actor, client_id: str) -> str:
        """The client's new secret; the old one ends.

        Raises NotFound, or Denied if the client has a role above the actor's own.
        """
        client = await self.get(actor, client_id)
        secret = self._new_secret()
        secret_hash = await self._hashing.hash(secret)
        entry = self._entry(actor, "client.rotate_secret", client_id, client.tenant, {})
        if not await self._clients.set_secret_hash(
            client_id, secret_hash, entry, tenant=client.tenant, barred=actor.barred
        ):
            await self._refuse(client_id, client.tenant)
        return secret

    async def delete(self, actor: Actor, client_id: str) -> None:
        """End a client.

        Raises NotFound, or Denied if the client has a role above the actor's own.
        """
        tenant = await self._tenant(actor, client_id)
        entry = self._entry(actor, "client.delete", client_id, tenant, {})
        if not await self._clients.remove(client_id, entry, tenant=tenant, barred=actor.barred):
            await self._refuse(client_id, tenant)

    async def audit(self, actor: Actor, *, before: tuple[datetime, str] | None, limit: int) -> list[AuditEntry]:
        """What was done by or to the actor's tenant, newest first."""
        return await self._audit.page(tenant=actor.tenant, before=before, limit=limit)

    async def _tenant(self, actor: Actor, client_id: str) -> str:
        if not actor.crosses_tenants:
            return actor.tenant
        client = await self._clients.find(client_id)
        return client.tenant if client else actor.tenant

    async def _refuse(self, client_id: str, tenant: str) -> Client:
        if await self._clients.get(client_id, tenant=tenant) is None:
            raise _no_client()
        raise Denied("the client has a role above your own", reason="ROLE_ABOVE_OWN")

    def _entry(self, actor: Actor, action: str, subject: str, tenant: str, details: Mapping[str, str]) -> AuditEntry:
        return AuditEntry(
            entry_id=self._new_id(),
            time=self._clock(),
            tenants=tuple(sorted({tenant, actor.tenant})),
            actor=actor.client_id,
            action=action,
            subject=subject,
            details=details,
        )


def _check_grant(actor: Actor, roles: frozenset[Role]) -> None:
    if above := roles & actor.barred:
        raise Denied(f"only a platform administrator grants {_listed(above)}", reason="ROLE_ABOVE_OWN")


def _no_client() -> NotFound:
    return NotFound("there is no such client", reason="CLIENT_NOT_FOUND")


def _listed(roles: frozenset[Role]) -> str:
    return ", ".join(sorted(roles))
