"""One Envoy that stands for the mesh: a listener on loopback that routes by `:authority` to each service.

Configuration is built from the typed dataclasses of `envoy-data-plane` and handed over as static JSON. There are
no retries and no route timeouts here: a stream may last, and deadlines travel with the calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from envoy_data_plane.envoy.config.bootstrap.v3 import Bootstrap, BootstrapStaticResources
from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterDiscoveryType,
)
from envoy_data_plane.envoy.config.core.v3 import Address, Http2ProtocolOptions, Node, SocketAddress
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.config.listener.v3 import Filter, FilterChain, Listener
from envoy_data_plane.envoy.config.route.v3 import (
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerCodecType,
    HttpFilter,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.google.protobuf import Any

from deploy.local.engines.executables import in_wheel, on_path
from deploy.local.machine.ports import LOOPBACK
from deploy.local.problem import Problem
from deploy.local.supervision.command import Command

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_UNLIMITED = 2**32 - 1
_CONNECT = timedelta(seconds=1)


def authority(service: str) -> str:
    """Give the name by which a service is called, on one machine as in the cluster."""
    return f"{service}.clarion.svc.cluster.local"


def bootstrap(*, listen: int, services: Mapping[str, int]) -> str:
    """Write Envoy's configuration: listen on this port and route to each service's gRPC port."""
    names = sorted(services)
    return Bootstrap(
        node=Node(id="outbound", cluster="clarion"),
        static_resources=BootstrapStaticResources(
            listeners=[_listener(listen, names)],
            clusters=[_cluster(name, services[name]) for name in names],
        ),
    ).to_json(indent=2)


def _address(port: int) -> Address:
    return Address(socket_address=SocketAddress(address=LOOPBACK, port_value=port))


def _listener(port: int, services: list[str]) -> Listener:
    connections = HttpConnectionManager(
        stat_prefix="outbound",
        codec_type=HttpConnectionManagerCodecType.HTTP2,
        route_config=RouteConfiguration(name="outbound", virtual_hosts=[_host(name) for name in services]),
        # A stream may be silent for as long as its reader waits.
        stream_idle_timeout=timedelta(0),
        http_filters=[HttpFilter(name="envoy.filters.http.router", typed_config=Any.pack(Router()))],
    )
    manager = Filter(name="envoy.filters.network.http_connection_manager", typed_config=Any.pack(connections))
    return Listener(name="outbound", address=_address(port), filter_chains=[FilterChain(filters=[manager])])


def _host(service: str) -> VirtualHost:
    name = authority(service)
    return VirtualHost(
        name=service,
        domains=[name, f"{name}:*"],
        routes=[Route(match=RouteMatch(prefix="/"), route=RouteAction(cluster=service, timeout=timedelta(0)))],
    )


def _cluster(service: str, port: int) -> Cluster:
    options = HttpProtocolOptions(
        explicit_http_config=HttpProtocolOptionsExplicitHttpConfig(http2_protocol_options=Http2ProtocolOptions())
    )
    return Cluster(
        name=service,
        type=ClusterDiscoveryType.STATIC,
        connect_timeout=_CONNECT,
        load_assignment=ClusterLoadAssignment(
            cluster_name=service,
            endpoints=[LocalityLbEndpoints(lb_endpoints=[LbEndpoint(endpoint=Endpoint(address=_address(port)))])],
        ),
        # Envoy's own limit of 1,024 calls at a time would answer for a service that could take more.
        circuit_breakers=CircuitBreakers(
            thresholds=[
                CircuitBreakersThresholds(
                    max_connections=_UNLIMITED, max_pending_requests=_UNLIMITED, max_requests=_UNLIMITED
                )
            ]
        ),
        typed_extension_protocol_options={_HTTP_OPTIONS: Any.pack(options)},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Envoy:
    """The Envoy process of a stack."""

    executable: Path
    folder: Path
    listen: int
    services: Mapping[str, int]

    def command(self) -> Command:
        """Write its configuration and say how to run it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = self.folder / "envoy.json"
        settings.write_text(bootstrap(listen=self.listen, services=self.services))
        argv = (
            str(self.executable),
            *("-c", str(settings), "--use-dynamic-base-id", "--concurrency", "1"),
            *("--log-level", "warning", "--drain-time-s", "1"),
        )
        return Command(argv=argv, directory=self.folder)


def find(environ: Mapping[str, str]) -> Path:
    """Find Envoy on PATH or in the wheel. Raises Problem."""
    # The wheel first: what it puts on PATH is a script that only finds the same file.
    found = in_wheel("envoy", "_bin/envoy") or on_path("envoy", environ)
    if found is None:
        raise Problem("Envoy was not found", remedy="run `make setup`, or put envoy on PATH")
    return found
