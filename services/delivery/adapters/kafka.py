"""What happened to deliveries and tokens, on Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from clarion.events.v1 import AnalyticsEvent, DeviceEvent
from clarion.type import v1 as wire

from services import topics
from services.delivery.domain import Outcome, Verdict
from services.delivery.message import DeviceAddress
from services.runtime import tracing
from services.runtime.kafka import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.delivery.ports import Step


class Publisher(Protocol):
    """Where records go."""

    async def publish(self, records: Sequence[Record]) -> None:
        """Return once all are acknowledged."""


class KafkaEvents:
    """An AnalyticsEvent for each step, and a DeviceEvent for each token that is gone; keyed by recipient."""

    def __init__(self, publisher: Publisher) -> None:
        """The publisher waits for acknowledgement."""
        self._publisher = publisher

    async def publish(self, steps: Sequence[Step]) -> None:
        """Tell of these steps."""
        trace = tracing.headers()
        records: list[Record] = []
        for step in steps:
            headers = {"tenant": step.delivery.tenant, **trace}
            key = (step.delivery.user_id or step.delivery.delivery_id).encode()
            analytics = _analytics(step).SerializeToString()
            records.append(Record(topic=topics.ANALYTICS_EVENTS, key=key, value=analytics, headers=headers))
            if step.outcome is not None and step.outcome.verdict is Verdict.GONE:
                gone = _token_gone(step, step.outcome).SerializeToString()
                records.append(Record(topic=topics.DEVICE_EVENTS, key=key, value=gone, headers=headers))
        await self._publisher.publish(records)


def _analytics(step: Step) -> AnalyticsEvent:
    delivery = step.delivery
    event = AnalyticsEvent(
        event_id=f"{delivery.delivery_id}:{delivery.attempt_count}:{delivery.state}",
        tenant=delivery.tenant,
        notification_id=delivery.notification_id,
        delivery_id=delivery.delivery_id,
        channel=wire.Channel.Value(f"CHANNEL_{delivery.channel}")
        if delivery.channel
        else wire.Channel.CHANNEL_UNSPECIFIED,
        provider=delivery.provider.lower() if delivery.provider else "",
        state=wire.DeliveryState.Value(f"DELIVERY_STATE_{delivery.state}"),
        reason=delivery.reason,
        category=step.message.category,
        template_id=step.message.template_id,
    )
    event.time.FromDatetime(delivery.updated_at)
    if step.outcome is not None:
        waited = delivery.updated_at - step.message.accepted_at
        event.latency_ms = max(0, int(waited.total_seconds() * 1000))
    return event


def _token_gone(step: Step, outcome: Outcome) -> DeviceEvent:
    event = DeviceEvent(tenant=step.delivery.tenant)
    event.time.FromDatetime(step.delivery.updated_at)
    address = step.message.address
    if isinstance(address, DeviceAddress):
        event.token_gone.address.CopyFrom(
            wire.DeviceAddress(
                platform=wire.Platform.Value(f"PLATFORM_{address.platform}"), app=address.app, token=address.token
            )
        )
    event.token_gone.gone_time.FromDatetime(outcome.gone_at or step.delivery.updated_at)
    return event
