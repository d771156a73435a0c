"""From a Kafka message to a job."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clarion.events.v1 import NotificationEvent
from clarion.type.v1 import ROUTING_ALL, Content
from clarion.type.v1 import Routing as ContractRouting

from services.processor.domain import Address, Channel, Chunk, Job, Lane, Recipient, Routing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clarion.notification.v1 import Recipient as EventRecipient
    from clarion.type.v1 import Address as EventAddress
    from google.protobuf.timestamp_pb2 import Timestamp

    from services.runtime.kafka import Received


class Parser:
    """Reads one lane's messages."""

    def __init__(self, lane: Lane) -> None:
        """What is read belongs to this lane."""
        self._lane = lane

    def __call__(self, message: Received) -> Job:
        """Read a message. Raises DecodeError or ValueError where it is not a notification that can be processed."""
        event = NotificationEvent.FromString(message.value)
        if not event.tenant or not event.notification_id:
            raise ValueError("names no tenant or no notification")
        contents = _contents(event.content)
        # Somebody who is named twice is one recipient.
        recipients = dict.fromkeys(_recipient(each) for each in event.recipients)
        return Job(
            chunk=Chunk(
                tenant=event.tenant,
                notification_id=event.notification_id,
                number=event.chunk,
                lane=self._lane,
                contents=contents,
                channels=tuple(Channel(number) for number in event.options.channels) or tuple(Channel),
                routing=_routing(event.options.routing),
                priority=event.options.priority,
                category=event.options.category,
                collapse_key=event.options.collapse_key,
                template_id=event.template.template_id,
                accept_time=_moment(event.accept_time),
                expire_time=_moment(event.expire_time),
            ),
            recipients=tuple(recipients),
        )


def _contents(content: Content) -> Mapping[Channel, bytes]:
    # Each channel's part for itself, so that no call carries what its items do not show.
    parts = {
        Channel.PUSH: Content(push=content.push) if content.HasField("push") else None,
        Channel.SMS: Content(sms=content.sms) if content.HasField("sms") else None,
        Channel.EMAIL: Content(email=content.email) if content.HasField("email") else None,
    }
    return {channel: part.SerializeToString(deterministic=True) for channel, part in parts.items() if part}


def _recipient(recipient: EventRecipient) -> Recipient:
    match recipient.WhichOneof("target"):
        case "user_id" if recipient.user_id:
            return Recipient(user_id=recipient.user_id)
        case "address":
            return Recipient(addresses=(_address(recipient.address),))
    raise ValueError("a recipient is neither a user nor an address")


def _address(address: EventAddress) -> Address:
    match address.WhichOneof("kind"):
        case "device":
            device = address.device
            return Address(channel=Channel.PUSH, value=device.token, platform=device.platform, app=device.app)
        case "phone":
            return Address(channel=Channel.SMS, value=address.phone)
        case "email":
            return Address(channel=Channel.EMAIL, value=address.email)
    raise ValueError("an address is of no known kind")


def _routing(number: int) -> Routing:
    if number not in ContractRouting.values():
        raise ValueError("unknown routing")
    # Escalation begins with the first channel; unset stands for FIRST in the contract.
    return Routing.ALL if number == ROUTING_ALL else Routing.FIRST


def _moment(timestamp: Timestamp) -> datetime:
    if not timestamp.seconds:
        raise ValueError("a time is missing")
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except OverflowError as exc:
        raise ValueError("a time is out of range") from exc
