"""The stack's secrets: made once, kept in files that only their owner reads, the same after a restart."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deploy.local.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

DEMO_TENANT = "demo"
OPERATOR_TENANT = "clarion"
_TENANT_ROLES = ("viewer", "sender", "registrar", "editor", "operator", "admin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """An OAuth client as the auth service registers it at its first start."""

    client_id: str
    client_secret: str = field(repr=False)
    tenant: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What the processes of a stack are given; files have mode 0600."""

    credential_key_file: Path
    page_token_key: str = field(repr=False)
    clients_file: Path
    admin: Client
    demo: Client
    services: dict[str, Client]
    demo_secret_file: Path


def stack_secrets(folder: Path, *, services: Sequence[str]) -> Secrets:
    """Read the stack's secrets, making those that are not there yet. Raises Problem for what cannot be read."""
    clients_file = folder / "clients.json"
    try:
        known = _kept_clients(clients_file)
        admin = _client(known, "clarion-admin", OPERATOR_TENANT, ("admin", "platform_admin"))
        demo = _client(known, "demo", DEMO_TENANT, _TENANT_ROLES)
        internal = {name: _client(known, f"clarion-{name}", OPERATOR_TENANT, ("service",)) for name in services}
        registered = [admin, demo, *internal.values()]
        write_private(clients_file, json.dumps([_document(client) for client in registered], indent=2))
        demo_secret_file = folder / "demo-client-secret"
        write_private(demo_secret_file, demo.client_secret)
        return Secrets(
            credential_key_file=kept(folder / "credential-key", _credential_key),
            page_token_key=kept(folder / "page-token-key", secrets.token_urlsafe).read_text(),
            clients_file=clients_file,
            admin=admin,
            demo=demo,
            services=internal,
            demo_secret_file=demo_secret_file,
        )
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise Problem(f"the secrets in {folder} cannot be read", remedy="remove the stack's folder") from exc


def _credential_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _kept_clients(file: Path) -> dict[str, str]:
    if not file.exists():
        return {}
    return {str(each["client_id"]): str(each["client_secret"]) for each in json.loads(file.read_bytes())}


def _client(known: dict[str, str], client_id: str, tenant: str, roles: tuple[str, ...]) -> Client:
    secret = known.get(client_id) or secrets.token_urlsafe(32)
    return Client(client_id=client_id, client_secret=secret, tenant=tenant, roles=roles)


def _document(client: Client) -> dict[str, object]:
    return {
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "tenant": client.tenant,
        "roles": list(client.roles),
    }


def kept(file: Path, make: Callable[[], str]) -> Path:
    """Give the file, writing what `make` says if there is none."""
    if not file.exists():
        write_private(file, make())
    return file


def write_private(file: Path, text: str) -> None:
    """Write a file, whole or not at all, that only its owner reads."""
    beside = file.with_name(file.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text)
    beside.replace(file)
