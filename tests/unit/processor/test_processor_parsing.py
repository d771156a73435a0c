from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from clarion.events.v1 import NotificationEvent
from clarion.notification.v1 import DeliveryOptions, Recipient, TemplateReference
from clarion.type.v1 import (
    CHANNEL_EMAIL,
    CHANNEL_PUSH,
    PLATFORM_IOS,
    PRIORITY_CRITICAL,
    ROUTING_ALL,
    ROUTING_ESCALATE,
    Address,
    Content,
    DeviceAddress,
    EmailContent,
    PushContent,
)
from clarion.type.v1 import (
    Channel as ContractChannel,
)
from clarion.type.v1 import (
    Routing as ContractRouting,
)
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from services.processor.consumer import Parser
from services.processor.domain import Channel, Lane, Routing
from services.processor.domain import Recipient as Told
from services.runtime.kafka import Received
from tests.unit.processor.fakes import device, mailbox, phone

if TYPE_CHECKING:
    from services.processor.domain import Job


def event(**changes: Any) -> NotificationEvent:
    fields: dict[str, Any] = {
        "tenant": "acme",
        "notification_id": "n1",
        "chunk": 3,
        "recipients": [Recipient(user_id="ada")],
        "content": Content(push=PushContent(title="Hi")),
        "options": DeliveryOptions(channels=[CHANNEL_EMAIL, CHANNEL_PUSH], routing=ROUTING_ALL),
        "accept_time": Timestamp(seconds=1_800_000_000),
        "expire_time": Timestamp(seconds=1_800_003_600),
    }
    return NotificationEvent(**(fields | changes))


def parsed(value: NotificationEvent | bytes, lane: Lane = Lane.BULK) -> Job:
    raw = value if isinstance(value, bytes) else value.SerializeToString()
    return Parser(lane)(Received(topic="t", partition=0, offset=0, key=None, value=raw, headers={}))


def test_an_event_becomes_a_job_with_all_that_it_said() -> None:
    options = DeliveryOptions(
        channels=[CHANNEL_EMAIL, CHANNEL_PUSH],
        routing=ROUTING_ALL,
        category="orders",
        priority=PRIORITY_CRITICAL,
        collapse_key="c",
    )
    chunk = parsed(event(options=options, template=TemplateReference(template_id="welcome"))).chunk
    assert chunk.key == ("acme", "n1", 3)
    assert (chunk.lane, chunk.channels, chunk.routing) == (Lane.BULK, (Channel.EMAIL, Channel.PUSH), Routing.ALL)
    assert (chunk.category, chunk.priority, chunk.collapse_key, chunk.template_id) == ("orders", 1, "c", "welcome")
    assert chunk.accept_time == datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
    assert (chunk.expire_time - chunk.accept_time).total_seconds() == 3600


def test_users_and_addresses_are_told_apart_and_repetition_is_left_out() -> None:
    ios = Address(device=DeviceAddress(platform=PLATFORM_IOS, app="shop", token="t"))
    recipients = [
        Recipient(user_id="ada"),
        Recipient(address=ios),
        Recipient(address=Address(phone="+351211111111")),
        Recipient(address=Address(email="a@example.com")),
        Recipient(user_id="ada"),
    ]
    told = parsed(event(recipients=recipients)).recipients
    assert [each.user_id for each in told] == ["ada", "", "", ""]
    assert told[1].addresses[0].platform == PLATFORM_IOS
    assert told[2:] == (Told(addresses=(phone("+351211111111"),)), Told(addresses=(mailbox("a@example.com"),)))


def test_each_channel_takes_its_own_content_along() -> None:
    content = Content(push=PushContent(title="Hi"), email=EmailContent(subject="Hello", text="Hello"))
    contents = parsed(event(content=content)).chunk.contents
    assert {channel: Content.FromString(raw) for channel, raw in contents.items()} == {
        Channel.PUSH: Content(push=content.push),
        Channel.EMAIL: Content(email=content.email),
    }


def test_defaults_are_those_of_the_contract() -> None:
    chunk = parsed(event(options=DeliveryOptions())).chunk
    assert chunk.channels == (Channel.PUSH, Channel.SMS, Channel.EMAIL)
    assert chunk.routing is Routing.FIRST
    assert parsed(event(options=DeliveryOptions(routing=ROUTING_ESCALATE))).chunk.routing is Routing.FIRST


@pytest.mark.parametrize(
    "bad",
    [
        b"\xff\xff\xff",
        b"",
        event(tenant=""),
        event(notification_id=""),
        event(recipients=[Recipient()]),
        event(recipients=[Recipient(address=Address())]),
        event(recipients=[Recipient(user_id="")]),
        event(options=DeliveryOptions(channels=[ContractChannel.ValueType(9)])),
        event(options=DeliveryOptions(channels=[ContractChannel.ValueType(0)])),
        event(options=DeliveryOptions(routing=ContractRouting.ValueType(9))),
        event(expire_time=None),
        event(accept_time=None),
        event(expire_time=Timestamp(seconds=10**13)),
    ],
)
def test_what_cannot_be_processed_by_any_release_is_not_parsed(bad: NotificationEvent | bytes) -> None:
    with pytest.raises((DecodeError, ValueError)):
        parsed(bad)


def test_what_is_said_of_a_job_names_no_address_and_no_text() -> None:
    recipients = [Recipient(address=Address(email="secret@example.com"))]
    job = parsed(event(recipients=recipients, content=Content(push=PushContent(title="private"))))
    assert "secret" not in repr(job)
    assert "private" not in repr(job)
    assert "token" not in repr(device("token"))
