"""The clients that a deployment brings along: read from a file, registered at start by every replica."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from services.auth.domain import (
    MAX_CLIENT_ID_CHARS,
    MAX_DISPLAY_NAME_CHARS,
    MAX_SECRET_CHARS,
    MAX_TENANT_CHARS,
    MIN_SECRET_CHARS,
    AuditEntry,
    Client,
    Role,
)
from services.runtime.errors import AlreadyExists, StartupError
from services.runtime.validation import Violations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from pathlib import Path

    from services.auth.ports import Clients, SecretHashing
    from services.runtime.clock import Clock

log = structlog.get_logger()
BOOTSTRAP = "bootstrap"
MAX_FILE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A client as the file names it."""

    client_id: str
    secret: str = field(repr=False)
    tenant: str
    roles: frozenset[Role]
    display_name: str


def read(file: Path) -> list[Registration]:
    """The clients in the file.

    Raises StartupError that names everything wrong with it, without a secret.
    """
    try:
        text = file.read_bytes()
        entries = json.loads(text) if len(text) <= MAX_FILE_BYTES else None
    except (OSError, ValueError) as exc:
        raise StartupError(f"CLARION_BOOTSTRAP_CLIENTS_FILE: {file} cannot be read ({type(exc).__name__})") from exc
    wrong = Violations()
    if isinstance(entries, list):
        registrations = [_registration(wrong, f"[{index}]", entry) for index, entry in enumerate(entries)]
        if len({each.client_id for each in registrations}) < len(registrations):
            wrong.add("file", "names a client_id twice")
    else:
        registrations = []
        wrong.add("file", f"must be a JSON list of at most {MAX_FILE_BYTES} bytes")
    if wrong.found:
        problems = "; ".join(f"{each.field} {each.description}" for each in wrong.found)
        raise StartupError(f"CLARION_BOOTSTRAP_CLIENTS_FILE: {file}: {problems}")
    return registrations


def _registration(wrong: Violations, at: str, entry: Any) -> Registration:
    entry = entry if isinstance(entry, dict) else {}
    texts = {
        name: value if isinstance(value := entry.get(name, ""), str) else ""
        for name in ("client_id", "client_secret", "tenant", "display_name")
    }
    wrong.identifier(f"{at}.client_id", texts["client_id"], most=MAX_CLIENT_ID_CHARS)
    wrong.identifier(f"{at}.tenant", texts["tenant"], most=MAX_TENANT_CHARS)
    wrong.text(f"{at}.display_name", texts["display_name"], most=MAX_DISPLAY_NAME_CHARS, one_line=True)
    if not MIN_SECRET_CHARS <= len(texts["client_secret"]) <= MAX_SECRET_CHARS:
        wrong.add(f"{at}.client_secret", f"must have {MIN_SECRET_CHARS} to {MAX_SECRET_CHARS} characters")
    known = list(Role)
    roles = entry.get("roles")
    if not isinstance(roles, list) or not roles or not all(role in known for role in roles):
        wrong.add(f"{at}.roles", f"must be a list of {', '.join(Role)}")
        roles = []
    return Registration(
        client_id=texts["client_id"],
        secret=texts["client_secret"],
        tenant=texts["tenant"],
        roles=frozenset(Role(role) for role in roles),
        display_name=texts["display_name"],
    )


class Registrar:
    """Makes the stored clients what the file says. Replicas that start together agree, and each change is made once."""

    def __init__(self, *, clients: Clients, hashing: SecretHashing, clock: Clock, new_id: Callable[[], str]) -> None:
        """The same ports as the use cases have."""
        self._clients, self._hashing = clients, hashing
        self._clock, self._new_id = clock, new_id

    async def register(self, registrations: Iterable[Registration]) -> None:
        """Add what is missing, replace what differs, leave the rest; clients not named here are not touched."""
        for registration in registrations:
            await self._register(registration)

    async def _register(self, wanted: Registration) -> None:
        current = await self._clients.find(wanted.client_id)
        if current is None:
            try:
                await self._clients.add(await self._client(wanted, self._clock()), self._entry("client.create", wanted))
            except AlreadyExists:
                # Another replica starts at the same time, from the same file.
                log.info("client_registered_elsewhere", client_id=wanted.client_id)
        elif not await self._same(current, wanted):
            client = await self._client(wanted, current.created_at)
            await self._clients.replace(client, self._entry("client.update", wanted))

    async def _same(self, current: Client, wanted: Registration) -> bool:
        return (current.tenant, current.roles, current.display_name) == (
            wanted.tenant,
            wanted.roles,
            wanted.display_name,
        ) and await self._hashing.matches(current.secret_hash, wanted.secret)

    async def _client(self, wanted: Registration, created_at: datetime) -> Client:
        return Client(
            client_id=wanted.client_id,
            tenant=wanted.tenant,
            display_name=wanted.display_name,
            roles=wanted.roles,
            created_at=created_at,
            secret_hash=await self._hashing.hash(wanted.secret),
        )

    def _entry(self, action: str, wanted: Registration) -> AuditEntry:
        return AuditEntry(
            entry_id=self._new_id(),
            time=self._clock(),
            tenants=(wanted.tenant,),
            actor=BOOTSTRAP,
            action=action,
            subject=wanted.client_id,
            details={"roles": ", ".join(sorted(wanted.roles)), "display_name": wanted.display_name},
        )
