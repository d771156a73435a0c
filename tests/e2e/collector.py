"""An OpenTelemetry collector that keeps the spans it is sent, over the real protocol."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One span: ids in hexadecimal, links by the trace that they lead to."""

    service: str
    name: str
    trace_id: str
    links: frozenset[str]
    attributes: str
    """All of them, and those of its events, as text."""


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes spans on a port of its own while it runs."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._lock = threading.Lock()
        self.endpoint = ""

    def spans(self) -> list[Span]:
        with self._lock:
            return list(self._spans)

    def Export(  # noqa: N802 - the contract's name
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        received = []
        for resource in request.resource_spans:
            named = {each.key: each.value.string_value for each in resource.resource.attributes}
            received += [
                Span(
                    service=named.get("service.name", ""),
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    links=frozenset(link.trace_id.hex() for link in span.links),
                    attributes=" ".join(
                        f"{each.key}={each.value.string_value}"
                        for each in chain(span.attributes, *(event.attributes for event in span.events))
                    ),
                )
                for scope in resource.scope_spans
                for span in scope.spans
            ]
        with self._lock:
            self._spans += received
        return ExportTraceServiceResponse()


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector in threads, so that it needs no event loop."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()
