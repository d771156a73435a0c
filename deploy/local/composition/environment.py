"""Every environment variable that a process of the local stack is given, and nothing else decides on one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.local.machine.ports import LOOPBACK
from deploy.local.supervision.spec import Rank

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deploy.local.composition.credentials import Secrets
    from services.simulators.certificates import ServerCertificate

DRAIN_SECONDS = 10
SIMULATORS = "simulators"
PEERS = ("fcm", "apns", "sms", "smtp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A deployable of the repository: `python -m services.<name>`."""

    name: str
    rank: Rank
    ports: tuple[str, ...] = ("grpc", "metrics")

    def port_names(self) -> tuple[str, ...]:
        """Give the names under which its ports are kept."""
        return tuple(f"{self.name}.{port}" for port in self.ports)


SERVICES = (
    Service(name="auth", rank=Rank.SERVICE, ports=("grpc", "metrics", "http")),
    Service(name="notification", rank=Rank.SERVICE),
    Service(name="device", rank=Rank.SERVICE),
    Service(name="delivery", rank=Rank.SERVICE),
    Service(name="retry", rank=Rank.SERVICE),
    Service(name="analytics", rank=Rank.SERVICE),
    Service(name="processor", rank=Rank.WORKER),
    Service(name=SIMULATORS, rank=Rank.PEER, ports=("grpc", "metrics", *PEERS, "inspect")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the processes of one stack share."""

    mongo_url: str
    mongo_database: str
    redis_url: str
    kafka_bootstrap: str
    topic_prefix: str
    ports: Mapping[str, int]
    secrets: Secrets
    certificate: ServerCertificate
    peer_credentials_file: Path

    @property
    def outbound(self) -> str:
        """The one address that every outgoing gRPC call dials."""
        return f"{LOOPBACK}:{self.ports['outbound']}"

    @property
    def issuer(self) -> str:
        """The auth service's URL, which is also the issuer in its tokens."""
        return f"http://{LOOPBACK}:{self.ports['auth.http']}"


def environment(service: Service, of: Surroundings) -> dict[str, str]:
    """Give the variables of one service."""
    client = of.secrets.services[service.name]
    shared = {
        "CLARION_BIND_ADDRESS": LOOPBACK,
        "CLARION_GRPC_PORT": str(of.ports[f"{service.name}.grpc"]),
        "CLARION_METRICS_PORT": str(of.ports[f"{service.name}.metrics"]),
        "CLARION_DRAIN_SECONDS": str(DRAIN_SECONDS),
        "CLARION_MONGO_URL": of.mongo_url,
        "CLARION_MONGO_DATABASE": of.mongo_database,
        "CLARION_REDIS_URL": of.redis_url,
        "CLARION_KAFKA_BOOTSTRAP": of.kafka_bootstrap,
        "CLARION_TOPIC_PREFIX": of.topic_prefix,
        "CLARION_OUTBOUND": of.outbound,
        "CLARION_ISSUER": of.issuer,
        "CLARION_CLIENT_ID": client.client_id,
        "CLARION_CLIENT_SECRET": client.client_secret,
        "CLARION_PAGE_TOKEN_KEY": of.secrets.page_token_key,
    }
    return {**shared, **_OWN.get(service.name, _nothing)(of)}


def _nothing(_: Surroundings) -> dict[str, str]:
    return {}


def _auth(of: Surroundings) -> dict[str, str]:
    return {
        "CLARION_AUTH_HTTP_PORT": str(of.ports["auth.http"]),
        "CLARION_BOOTSTRAP_CLIENTS_FILE": str(of.secrets.clients_file),
        "CLARION_CREDENTIAL_KEY_FILE": str(of.secrets.credential_key_file),
    }


def _delivery(of: Surroundings) -> dict[str, str]:
    fcm, apns, sms, smtp = (of.ports[f"{SIMULATORS}.{peer}"] for peer in PEERS)
    return {
        "CLARION_CREDENTIAL_KEY_FILE": str(of.secrets.credential_key_file),
        "CLARION_FCM_URL": f"https://{LOOPBACK}:{fcm}",
        "CLARION_FCM_TOKEN_URL": f"https://{LOOPBACK}:{fcm}/token",
        "CLARION_APNS_URL": f"https://{LOOPBACK}:{apns}",
        "CLARION_APNS_SANDBOX_URL": f"https://{LOOPBACK}:{apns}",
        "CLARION_TWILIO_URL": f"https://{LOOPBACK}:{sms}",
        "CLARION_SMTP_HOST": LOOPBACK,
        "CLARION_SMTP_PORT": str(smtp),
        "CLARION_PROVIDER_CA_FILE": str(of.certificate.ca_file),
    }


def _simulators(of: Surroundings) -> dict[str, str]:
    ports = {f"CLARION_SIM_{peer.upper()}_PORT": str(of.ports[f"{SIMULATORS}.{peer}"]) for peer in PEERS}
    return {
        **ports,
        "CLARION_SIM_INSPECT_PORT": str(of.ports[f"{SIMULATORS}.inspect"]),
        "CLARION_SIM_CERT_FILE": str(of.certificate.cert_file),
        "CLARION_SIM_KEY_FILE": str(of.certificate.key_file),
        "CLARION_SIM_CREDENTIALS_FILE": str(of.peer_credentials_file),
        "CLARION_SIM_CALLBACK_CA_FILE": str(of.certificate.ca_file),
    }


_OWN = {"auth": _auth, "delivery": _delivery, SIMULATORS: _simulators}
