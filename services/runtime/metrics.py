"""Prometheus metrics that every process has, each declared once with its meaning, and the port they are read from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from services.runtime.errors import StartupError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

RPCS = Counter("clarion_rpcs_total", "Calls served.", ["method", "code"])
RPC_SECONDS = Histogram("clarion_rpc_seconds", "Time to serve a call.", ["method"], buckets=LATENCY_BUCKETS)
RPCS_IN_FLIGHT = Gauge("clarion_rpcs_in_flight", "Calls being served.")
CONSUMED = Counter("clarion_consumed_total", "Kafka messages whose offsets were committed.", ["topic"])
CONSUME_RETRIES = Counter("clarion_consume_retries_total", "Batches that were read again after a failure.", ["topic"])
DEAD_LETTERED = Counter("clarion_dead_lettered_total", "Kafka messages put on dead-letters.", ["topic", "reason"])
PUBLISH_FAILURES = Counter("clarion_publish_failures_total", "Kafka messages not acknowledged.", ["topic"])


def serve(address: str, port: int) -> AbstractContextManager[int]:
    """Serve /metrics for as long as the context lasts; gives the port that was bound.

    Raises StartupError if the port is taken.
    """
    return _Exporter(address, port)


class _Exporter:
    def __init__(self, address: str, port: int) -> None:
        self._address, self._port = address, port

    def __enter__(self) -> int:
        try:
            self._server, self._thread = start_http_server(self._port, addr=self._address)
        except OSError as exc:
            raise StartupError(
                f"metrics port {self._port} on {self._address} cannot be bound ({exc.strerror}): "
                "free it or set CLARION_METRICS_PORT"
            ) from exc
        return self._server.server_port

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
