"""The way out is the delivery service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clarion.delivery.v1 import DeliverItem, DeliverRequest, DeliverResult, DeliveryServiceStub
from clarion.type.v1 import (
    DELIVERY_STATE_DEAD,
    DELIVERY_STATE_DELIVERED,
    DELIVERY_STATE_FAILED,
    DELIVERY_STATE_OPENED,
    DELIVERY_STATE_QUEUED,
    DELIVERY_STATE_RETRYING,
    DELIVERY_STATE_SENT,
    DELIVERY_STATE_SUPPRESSED,
    Address,
    Content,
    DeviceAddress,
    Platform,
    Priority,
)
from google.protobuf.timestamp_pb2 import Timestamp

from services.processor.adapters.calls import each_of
from services.processor.domain import EXPIRED, Channel, End, Outcome
from services.runtime.channels import answered
from services.runtime.errors import PeerFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    import grpc

    from services.processor.domain import Address as Target
    from services.processor.domain import Message

MOST_BYTES = 4 * 1024 * 1024
_FRAME_BYTES = 16
"""More than what framing adds to an item or a content: two tags, a length and an index."""

_OUTCOMES = {
    DELIVERY_STATE_QUEUED: Outcome.QUEUED,
    DELIVERY_STATE_SENT: Outcome.SENT,
    DELIVERY_STATE_DELIVERED: Outcome.SENT,
    DELIVERY_STATE_OPENED: Outcome.SENT,
    DELIVERY_STATE_RETRYING: Outcome.RETRYING,
    DELIVERY_STATE_FAILED: Outcome.FAILED,
    DELIVERY_STATE_DEAD: Outcome.FAILED,
    DELIVERY_STATE_SUPPRESSED: Outcome.SUPPRESSED,
}


class DeliveryOut:
    """Sends over Deliver."""

    def __init__(self, channel: grpc.aio.Channel, *, most_items: int, concurrent: int) -> None:
        """At most `most_items` in a call, and `concurrent` calls at once for one batch."""
        self._stub = DeliveryServiceStub(channel)
        self._most_items, self._concurrent = most_items, concurrent

    async def deliver(self, messages: Sequence[Message]) -> Sequence[End]:
        """See the port."""
        requests = packed(messages, most_items=self._most_items, most_bytes=MOST_BYTES)
        answers = await each_of(requests, self._call, concurrent=self._concurrent)
        return [_end(result) for answer in answers for result in answer]

    async def _call(self, request: DeliverRequest) -> Sequence[DeliverResult]:
        answer = await answered(self._stub.Deliver(request))
        return answer.results


def packed(messages: Sequence[Message], *, most_items: int, most_bytes: int) -> Iterator[DeliverRequest]:
    """Put messages, in their order, into requests of bounded size, each text once a request.

    A message that is larger by itself travels alone.
    """
    request, indexes, total = DeliverRequest(), dict[bytes, int](), 0
    for message in messages:
        content = message.chunk.contents[message.address.channel]
        item = _item(message)
        weight = item.ByteSize() + _FRAME_BYTES
        added = weight + (0 if content in indexes else len(content) + _FRAME_BYTES)
        if request.items and (len(request.items) == most_items or total + added > most_bytes):
            yield request
            request, indexes, total = DeliverRequest(), {}, 0
            added = weight + len(content) + _FRAME_BYTES
        if content not in indexes:
            indexes[content] = len(indexes)
            request.contents.append(Content.FromString(content))
        item.content_index = indexes[content]
        request.items.append(item)
        total += added
    if request.items:
        yield request


def _item(message: Message) -> DeliverItem:
    chunk = message.chunk
    return DeliverItem(
        tenant=chunk.tenant,
        notification_id=chunk.notification_id,
        chunk=chunk.number,
        user_id=message.user_id,
        address=_address(message.address),
        category=chunk.category,
        priority=Priority.ValueType(chunk.priority),
        collapse_key=chunk.collapse_key,
        expire_time=_timestamp(chunk.expire_time),
        accept_time=_timestamp(chunk.accept_time),
        template_id=chunk.template_id,
    )


def _timestamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def _address(target: Target) -> Address:
    match target.channel:
        case Channel.PUSH:
            platform = Platform.ValueType(target.platform)
            return Address(device=DeviceAddress(platform=platform, app=target.app, token=target.value))
        case Channel.SMS:
            return Address(phone=target.value)
        case Channel.EMAIL:
            return Address(email=target.value)


def _end(result: DeliverResult) -> End:
    outcome = _OUTCOMES.get(result.state)
    if outcome is None:
        raise PeerFailed("the delivery service answered a state that is not known here")
    if outcome is Outcome.SUPPRESSED and result.reason == EXPIRED:
        outcome = Outcome.EXPIRED
    return End(outcome=outcome, reason=result.reason, delivery_id=result.delivery_id)
