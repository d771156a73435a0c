"""OpenTelemetry: set up once, carried through Kafka headers, free of cost where no endpoint is set."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import propagate, trace
from opentelemetry.trace import Link, SpanKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MAX_LINKS = 128
"""Links on one batch's span, at most: what OpenTelemetry's SDK keeps by default."""

_tracer = trace.get_tracer("clarion")


@contextmanager
def exported(service: str, endpoint: str) -> Iterator[bool]:
    """Export spans to an OTLP endpoint while the context lasts; an empty endpoint leaves tracing off."""
    if not endpoint:
        yield False
        return
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: f"clarion-{service}"}))
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=endpoint.startswith("http://"))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    try:
        yield True
    finally:
        provider.shutdown()


def headers() -> dict[str, str]:
    """The current trace context, as Kafka headers."""
    carrier: dict[str, str] = {}
    if trace.get_current_span().get_span_context().is_valid:
        propagate.inject(carrier)
    return carrier


@contextmanager
def batch_span(name: str, sources: Iterable[Mapping[str, str]], **attributes: str | int) -> Iterator[None]:
    """One span for a whole batch, linked to the traces that its messages came from."""
    links = []
    for carrier in sources:
        if "traceparent" not in carrier:
            continue
        context = trace.get_current_span(propagate.extract(dict(carrier))).get_span_context()
        if context.is_valid:
            links.append(Link(context))
        if len(links) == MAX_LINKS:
            break
    with _tracer.start_as_current_span(name, kind=SpanKind.CONSUMER, links=links, attributes=attributes):
        yield
