"""Clients, roles, signing keys and the audit log, and the rules that hold for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

MAX_TOKEN_SECONDS = 3600
CLOCK_SKEW = timedelta(minutes=1)
"""How far the clocks of replicas and verifiers may be apart."""
MAX_DISPLAY_NAME_CHARS, MAX_TENANT_CHARS, MAX_CLIENT_ID_CHARS = 200, 64, 128
MIN_SECRET_CHARS, MAX_SECRET_CHARS = 16, 256


class Role(StrEnum):
    """What a client may do; the values stand in access tokens."""

    VIEWER = "viewer"
    SENDER = "sender"
    REGISTRAR = "registrar"
    EDITOR = "editor"
    OPERATOR = "operator"
    ADMIN = "admin"
    PLATFORM_ADMIN = "platform_admin"
    SERVICE = "service"


PRIVILEGED = frozenset({Role.PLATFORM_ADMIN, Role.SERVICE})
"""Roles that reach past one tenant: only a platform administrator grants or touches them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program that may ask for access tokens."""

    client_id: str
    tenant: str
    display_name: str
    roles: frozenset[Role]
    created_at: datetime
    secret_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The client that administers."""

    client_id: str
    tenant: str
    roles: frozenset[str]

    @property
    def barred(self) -> frozenset[Role]:
        """The roles that it may neither grant nor touch."""
        return frozenset() if Role.PLATFORM_ADMIN in self.roles else PRIVILEGED

    @property
    def crosses_tenants(self) -> bool:
        """Whether it administers every tenant's clients."""
        return Role.PLATFORM_ADMIN in self.roles


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what to whom. `tenants` may read it: the one acted upon and the one that acted."""

    entry_id: str
    time: datetime
    tenants: tuple[str, ...]
    actor: str
    action: str
    subject: str
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key pair on P-256. `generation` counts up by one from key to key."""

    key_id: str
    generation: int
    private: bytes = field(repr=False)
    created_at: datetime
    signs_from: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """An access token that was given."""

    access_token: str = field(repr=False)
    expires_in: int


def signing(keys: Sequence[SigningKey], now: datetime) -> SigningKey | None:
    """The newest key whose time to sign has come."""
    return max((key for key in keys if key.signs_from <= now), key=lambda key: key.generation, default=None)


def outlived(keys: Sequence[SigningKey], now: datetime) -> list[SigningKey]:
    """The keys with which no token that is still valid can have been signed."""
    ordered = sorted(keys, key=lambda key: key.generation)
    overlap = timedelta(seconds=MAX_TOKEN_SECONDS) + CLOCK_SKEW
    return [key for key, successor in pairwise(ordered) if successor.signs_from + overlap < now]
