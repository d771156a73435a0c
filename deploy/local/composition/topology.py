"""Clarion on one machine: which processes there are, who waits for whom, and where each is reached."""

from __future__ import annotations

import asyncio
import datetime
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deploy.local.composition import envoy
from deploy.local.composition.certificates import peer_certificate
from deploy.local.composition.credentials import stack_secrets, write_private
from deploy.local.composition.environment import (
    DRAIN_SECONDS,
    PEERS,
    SERVICES,
    SIMULATORS,
    Service,
    Surroundings,
    environment,
)
from deploy.local.composition.equipment import demo_accounts, known_to_peers
from deploy.local.composition.plan import Addresses, Plan
from deploy.local.composition.topics import create_topics
from deploy.local.engines import kafka, mongodb, redis
from deploy.local.engines.engine import Origin
from deploy.local.machine.places import cache_folder, project_folder
from deploy.local.machine.ports import LOOPBACK
from deploy.local.problem import Problem
from deploy.local.supervision.command import Command
from deploy.local.supervision.health import accepts, serving
from deploy.local.supervision.spec import ProcessSpec, Rank

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.local.engines.engine import Engine
    from deploy.local.machine.folder import StackFolder
    from deploy.local.machine.portbook import PortBook

_DEFAULT_STACK = "default"
_ENVOY = "envoy"
# A second more than a service takes to drain, for its last words.
_STOP_SECONDS = DRAIN_SECONDS + 2.0
_NEEDS = {
    "auth": ("mongodb",),
    SIMULATORS: (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClarionPlanner:
    """Plans the whole system, without the services named in `without` (run those yourself)."""

    environ: Mapping[str, str]
    without: frozenset[str] = frozenset()

    def __call__(self, folder: StackFolder, ports: PortBook) -> Plan:
        """Find the engines, make certificates and secrets, and lay everything out. Raises Problem."""
        unknown = sorted(self.without - {service.name for service in SERVICES})
        if unknown:
            known = ", ".join(service.name for service in SERVICES)
            raise Problem(f"there is no service named {', '.join(unknown)}", remedy=f"choose from {known}")
        engines = self._engines(folder, ports)
        mongo, cache, broker = engines
        for service in SERVICES:
            for name in service.port_names():
                ports.port(name)
        proxy = self._envoy(folder, ports)
        shared = folder.name != _DEFAULT_STACK
        peer_credentials = folder.secrets / "peer-credentials.json"
        write_private(peer_credentials, known_to_peers(demo_accounts(folder.secrets)))
        of = Surroundings(
            mongo_url=mongo.address,
            # Engines of one's own need no names of one's own; those that others use do.
            mongo_database=f"clarion-{folder.name}"[:38] if shared and _is_elsewhere(mongo) else "clarion",
            redis_url=cache.address,
            kafka_bootstrap=broker.address,
            topic_prefix=f"{folder.name}."[:40] if shared and _is_elsewhere(broker) else "",
            ports=ports.given(),
            secrets=stack_secrets(folder.secrets, services=[service.name for service in SERVICES]),
            peer_credentials_file=peer_credentials,
            certificate=peer_certificate(folder.certificates, now=datetime.datetime.now(datetime.UTC)),
        )
        environments = {service.name: environment(service, of) for service in SERVICES}
        services = [
            _service_spec(service, environments[service.name], of)
            for service in SERVICES
            if service.name not in self.without
        ]
        return Plan(
            specs=(*(_engine_spec(engine, of) for engine in engines), _envoy_spec(proxy), *services),
            addresses=_addresses(of),
            secrets=of.secrets,
            environments=environments,
        )

    def _engines(self, folder: StackFolder, ports: PortBook) -> tuple[Engine, Engine, Engine]:
        return (
            mongodb.MongoDB(mongodb.find(self.environ), port=ports.port("mongodb"), data=folder.data / "mongodb"),
            redis.Redis(redis.find(self.environ), port=ports.port("redis"), data=folder.data / "redis"),
            kafka.Kafka(
                kafka.find(self.environ, cache=cache_folder()),
                port=ports.port("kafka"),
                controller_port=ports.port("kafka.controller"),
                data=folder.data / "kafka",
            ),
        )

    def _envoy(self, folder: StackFolder, ports: PortBook) -> envoy.Envoy:
        return envoy.Envoy(
            executable=envoy.find(self.environ),
            folder=folder.data / "envoy",
            listen=ports.port("outbound"),
            services={
                service.name: ports.port(f"{service.name}.grpc") for service in SERVICES if "grpc" in service.ports
            },
        )


def _is_elsewhere(engine: Engine) -> bool:
    return engine.found.origin is Origin.URL


def _engine_spec(engine: Engine, of: Surroundings) -> ProcessSpec:
    prepared = partial(create_topics, of.kafka_bootstrap, prefix=of.topic_prefix)
    is_kafka = isinstance(engine, kafka.Kafka)
    return ProcessSpec(
        name=engine.name,
        rank=Rank.ENGINE,
        command=engine.command,
        ready=partial(asyncio.to_thread, engine.ready),
        once_ready=partial(asyncio.to_thread, prepared) if is_kafka else None,
        address="" if _is_elsewhere(engine) else urlsplit(engine.address).netloc or engine.address,
        description=f"{engine.found.description} ({engine.found.origin})",
        attempts=1,
    )


def _envoy_spec(proxy: envoy.Envoy) -> ProcessSpec:
    return ProcessSpec(
        name=_ENVOY,
        rank=Rank.PEER,
        command=proxy.command,
        ready=partial(accepts, proxy.listen),
        address=f"{LOOPBACK}:{proxy.listen}",
        description="routes calls between services by name",
        attempts=1,
    )


def _service_spec(service: Service, variables: Mapping[str, str], of: Surroundings) -> ProcessSpec:
    command = Command(
        argv=(sys.executable, "-m", f"services.{service.name}"),
        directory=project_folder(),
        environment=variables,
    )
    port = of.ports[f"{service.name}.grpc"]
    return ProcessSpec(
        name=service.name,
        rank=service.rank,
        command=lambda: command,
        ready=partial(serving, port),
        after=_NEEDS.get(service.name, ("mongodb", "redis", "kafka", _ENVOY)),
        address=f"{LOOPBACK}:{port}",
        metrics=f"http://{LOOPBACK}:{of.ports[f'{service.name}.metrics']}/metrics",
        stop_seconds=_STOP_SECONDS,
    )


def _addresses(of: Surroundings) -> Addresses:
    names = [service.name for service in SERVICES]
    return Addresses(
        grpc={name: f"{LOOPBACK}:{of.ports[f'{name}.grpc']}" for name in names},
        metrics={name: f"http://{LOOPBACK}:{of.ports[f'{name}.metrics']}/metrics" for name in names},
        outbound=of.outbound,
        auth_url=of.issuer,
        simulators_url=f"http://{LOOPBACK}:{of.ports[f'{SIMULATORS}.inspect']}",
        peer_ports={peer: of.ports[f"{SIMULATORS}.{peer}"] for peer in PEERS},
        authority_file=of.certificate.ca_file,
        mongo_url=of.mongo_url,
        mongo_database=of.mongo_database,
        redis_url=of.redis_url,
        kafka_bootstrap=of.kafka_bootstrap,
    )
