"""Kafka: Apache's own broker where Java and Maven are at hand, else an emulator of its protocol."""

from __future__ import annotations

import base64
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.local.engines import artifacts
from deploy.local.engines.engine import Found, Origin
from deploy.local.engines.executables import dotted, in_wheel, on_path, version_of
from deploy.local.machine.ports import LOOPBACK
from deploy.local.problem import Problem
from deploy.local.supervision.command import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

URL_VARIABLE = "CLARION_KAFKA_BOOTSTRAP"
OLDEST_JAVA = (17,)
_PROBE_SECONDS = 2.0
_FORMAT_SECONDS = 60
_LOGGING: Final = Path(__file__).with_name("log4j2.properties")
_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
log.dirs={data}
num.partitions=3
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundKafka(Found):
    """A Kafka that can be used; `jars` is set for Apache's own, None for the emulator."""

    jars: Path | None = None


def find(environ: Mapping[str, str], *, cache: Path) -> FoundKafka:
    """Find Kafka: the servers you set, Apache's by Java and Maven, or the emulator. Raises Problem."""
    if bootstrap := environ.get(URL_VARIABLE):
        return FoundKafka(origin=Origin.URL, description=f"Kafka at {URL_VARIABLE}", address=bootstrap)
    try:
        return _apache(environ, cache)
    except Problem as problem:
        emulator = in_wheel("noida_db", "noida-db")
        if emulator is None:
            raise Problem(
                f"Kafka was not found ({problem})",
                remedy=f"run `make setup`, install Java {dotted(OLDEST_JAVA)} and Maven, or set {URL_VARIABLE}",
            ) from problem
        return FoundKafka(
            origin=Origin.WHEEL,
            description=f"noida-db, an emulator and not Apache Kafka, because {problem.what}",
            executable=emulator,
        )


def _apache(environ: Mapping[str, str], cache: Path) -> FoundKafka:
    java, maven = on_path("java", environ), on_path("mvn", environ)
    if java is None or maven is None:
        lacking = " and ".join(name for name, at in (("java", java), ("mvn", maven)) if at is None)
        raise Problem(f"PATH has no {lacking}", remedy=f"install Java {dotted(OLDEST_JAVA)} and Maven")
    version = version_of(java, ("-version",), r'version "([\d.]+)', name="java")
    if version < OLDEST_JAVA:
        raise Problem(f"Java {dotted(version)} is too old", remedy=f"install {dotted(OLDEST_JAVA)} or newer")
    folder = artifacts.jars(cache, maven=maven)
    release = next(folder.glob("kafka_*.jar")).stem.rpartition("-")[2]
    return FoundKafka(
        origin=Origin.PATH,
        description=f"Apache Kafka {release} on Java {dotted(version)}",
        executable=java,
        jars=folder,
    )


def cluster_id(random: Callable[[], uuid.UUID] = uuid.uuid4) -> str:
    """Make up a cluster's id: a UUID in base64url that does not begin with a hyphen, which would look like an option."""
    while (made := base64.urlsafe_b64encode(random().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return made


class Kafka:
    """One broker that is its own controller, or a reference to brokers that run elsewhere."""

    name = "kafka"

    def __init__(self, found: FoundKafka, *, port: int, controller_port: int, data: Path) -> None:
        """Take two ports and a folder for its data; all are ignored when it runs elsewhere."""
        self.found = found
        self._port = port
        self._controller_port = controller_port
        self._data = data
        self.address = found.address or f"{LOOPBACK}:{port}"

    def command(self) -> Command | None:
        """Write its settings, format its storage where that is due, and say how to run it. Raises Problem."""
        if self.found.executable is None:
            return None
        self._data.mkdir(parents=True, exist_ok=True)
        if self.found.jars is None:
            argv: tuple[str, ...] = (
                str(self.found.executable),
                *("start", "--only", "kafka", "--host", LOOPBACK, "--kafka-port", str(self._port)),
                *("--data-dir", str(self._data / "emulator")),
            )
            return Command(argv=argv, directory=self._data)
        settings = self._data / "server.properties"
        settings.write_text(
            _PROPERTIES.format(
                host=LOOPBACK, port=self._port, controller=self._controller_port, data=self._data / "log"
            )
        )
        if not (self._data / "log" / "meta.properties").exists():
            self._format(settings)
        return Command(argv=self._java("-Xmx512m", "kafka.Kafka", str(settings)), directory=self._data)

    def ready(self) -> bool:
        """Say whether it lists its brokers."""
        admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0, "reconnect.backoff.max.ms": 200})
        try:
            return bool(admin.list_topics(timeout=_PROBE_SECONDS).brokers)
        except KafkaException:
            return False

    def _java(self, heap: str, main: str, *arguments: str) -> tuple[str, ...]:
        # One compiler tier and the serial collector halve the start and leave the cores to the services.
        return (
            str(self.found.executable),
            *(heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            *(f"-Dlog4j2.configurationFile={_LOGGING}", "-cp", f"{self.found.jars}/*", main, *arguments),
        )

    def _format(self, settings: Path) -> None:
        argv = self._java("-Xmx128m", "kafka.tools.StorageTool", "format", "-t", cluster_id(), "-c", str(settings))
        answer = subprocess.run(  # noqa: S603 - Java, located on PATH
            argv, capture_output=True, text=True, timeout=_FORMAT_SECONDS, check=False
        )
        if answer.returncode != 0:
            said = (answer.stderr or answer.stdout).strip().splitlines()[-1:]
            raise Problem(
                f"Kafka did not format {self._data} ({' '.join(said)})",
                remedy="remove that folder and try again",
            )
