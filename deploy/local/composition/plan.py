"""What a stack is made of, as a planner decides it and as its users see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from deploy.local.composition.credentials import Secrets
    from deploy.local.machine.folder import StackFolder
    from deploy.local.machine.portbook import PortBook
    from deploy.local.supervision.spec import ProcessSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where everything of a stack is; `grpc` and `metrics` go by service."""

    grpc: Mapping[str, str]
    metrics: Mapping[str, str]
    outbound: str
    auth_url: str
    simulators_url: str
    """The inspection API of the provider peers."""
    peer_ports: Mapping[str, int]
    """The provider peers themselves: `fcm`, `apns`, `sms`, `smtp`."""
    authority_file: Path
    """The certificate authority under which the peers answer."""
    mongo_url: str
    mongo_database: str
    redis_url: str
    kafka_bootstrap: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The processes of a stack; a stack of other processes than Clarion's has no addresses and secrets."""

    specs: tuple[ProcessSpec, ...]
    addresses: Addresses | None = None
    secrets: Secrets | None = None
    environments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Each service's environment, for running one elsewhere (in a debugger, say)."""


Planner: TypeAlias = "Callable[[StackFolder, PortBook], Plan]"
"""Decides on a stack; blocks, and raises Problem for what is missing."""
