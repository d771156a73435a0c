"""One trace is followed from the call over Kafka to the provider, by links where batches join many."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from deploy.local.demo.letters import Peer
from deploy.local.demo.waiting import until
from tests.e2e.world import SECONDS, phone

if TYPE_CHECKING:
    from tests.e2e.collector import Collector, Span
    from tests.e2e.world import World


async def test_a_trace_leads_from_the_call_to_the_delivery(world: World, collector: Collector) -> None:
    trace_id = secrets.token_hex(16)
    parent = ("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01")
    _, content = world.content(Peer.SMS)
    answer = await world.send(phone(world.stranger().phone), content=content, metadata=(parent,))
    await world.final(answer.notification_id)

    async def whole() -> bool:
        return all((_accepting(collector, trace_id), _batches(collector, trace_id), _delivering(collector, trace_id)))

    assert await until(whole, seconds=SECONDS), (
        f"accepting: {_accepting(collector, trace_id)}, batches: {_batches(collector, trace_id)}, "
        f"delivering: {_delivering(collector, trace_id)}"
    )


def _accepting(collector: Collector, trace_id: str) -> list[Span]:
    return [
        span
        for span in collector.spans()
        if span.service == "clarion-notification" and span.trace_id == trace_id and "SendNotification" in span.name
    ]


def _batches(collector: Collector, trace_id: str) -> list[Span]:
    return [span for span in collector.spans() if span.service == "clarion-processor" and trace_id in span.links]


def _delivering(collector: Collector, trace_id: str) -> list[Span]:
    batches = {span.trace_id for span in _batches(collector, trace_id)}
    return [span for span in collector.spans() if span.service == "clarion-delivery" and span.trace_id in batches]
