"""From a valid request to a draft: defaults filled in, repetition removed, cut into chunks."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from clarion.notification.v1 import SendNotificationRequest
from clarion.type.v1 import Channel, Priority, Routing

from services.notification.domain import DEFAULT_TTL, Caller, Draft, Ids, keyed_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from clarion.notification.v1 import DeliveryOptions, Recipient
    from clarion.type.v1 import Content

CHUNK_RECIPIENTS: Final = 500
CHUNK_BYTES: Final = 850_000
"""Content, options and recipients of one chunk: with its headers, a message stays below what Kafka takes."""
_FRAMING_BYTES: Final = 6
"""The tag and length that each recipient has around it, at most."""
_KEPT_AFTER_EXPIRY: Final = timedelta(days=1)


def canonical(request: SendNotificationRequest) -> SendNotificationRequest:
    """The same in one form: nothing unknown, no default left open, each recipient once, no idempotency key."""
    spec = SendNotificationRequest()
    spec.CopyFrom(request)
    spec.DiscardUnknownFields()
    spec.ClearField("idempotency_key")
    if len(spec.recipients) > 1:
        _collapse(spec)
    _complete(spec.options, spec.content if spec.HasField("content") else None)
    return spec


def draft(request: SendNotificationRequest, *, caller: Caller, now: datetime, ids: Ids, retention: timedelta) -> Draft:
    """Make a draft of a request that was found valid."""
    request_, key = canonical(request), request.idempotency_key
    spec = request_.SerializeToString(deterministic=True)
    expire_at = now + request_.options.ttl.ToTimedelta()
    return Draft(
        notification_id=keyed_id(caller.tenant, key) if key else ids(now),
        tenant=caller.tenant,
        idempotency_key=key,
        request=request_,
        spec=spec,
        content_hash=hashlib.sha256(spec).digest(),
        chunks=chunks(request_, len(spec)),
        created_at=now,
        expire_at=expire_at,
        purge_at=max(now + retention, expire_at + _KEPT_AFTER_EXPIRY),
        trace=caller.trace,
    )


def chunks(request: SendNotificationRequest, size: int) -> Sequence[range]:
    """Cut the recipients into ranges that each fit in one message; `size` is the request's, in bytes."""
    recipients = request.recipients
    if len(recipients) <= CHUNK_RECIPIENTS and size <= CHUNK_BYTES:
        return (range(len(recipients)),)
    sizes = [recipient.ByteSize() + _FRAMING_BYTES for recipient in recipients]
    room = CHUNK_BYTES - (size - sum(sizes) + _FRAMING_BYTES * len(sizes))
    cut, start, used = [], 0, 0
    for index, each in enumerate(sizes):
        if index - start == CHUNK_RECIPIENTS or (used + each > room and index > start):
            cut.append(range(start, index))
            start, used = index, 0
        used += each
    cut.append(range(start, len(sizes)))
    return cut


def _collapse(spec: SendNotificationRequest) -> None:
    unique: dict[bytes, Recipient] = {each.SerializeToString(deterministic=True): each for each in spec.recipients}
    if len(unique) < len(spec.recipients):
        kept = SendNotificationRequest(recipients=unique.values())
        spec.ClearField("recipients")
        spec.recipients.MergeFrom(kept.recipients)


def _complete(options: DeliveryOptions, content: Content | None) -> None:
    if not options.channels and content is not None:
        options.channels.extend(_channels(content))
    options.routing = options.routing or Routing.ROUTING_FIRST
    options.priority = options.priority or Priority.PRIORITY_NORMAL
    options.ttl.FromTimedelta(options.ttl.ToTimedelta() if options.HasField("ttl") else DEFAULT_TTL)


def _channels(content: Content) -> Iterator[Channel.ValueType]:
    if content.HasField("push"):
        yield Channel.CHANNEL_PUSH
    if content.HasField("sms"):
        yield Channel.CHANNEL_SMS
    if content.HasField("email"):
        yield Channel.CHANNEL_EMAIL
