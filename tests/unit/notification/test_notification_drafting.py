"""From a valid request to a draft, and on to the events that tell of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from clarion.notification.v1 import DeliveryOptions, Recipient, SendNotificationRequest
from clarion.type.v1 import (
    CHANNEL_EMAIL,
    CHANNEL_PUSH,
    CHANNEL_SMS,
    PLATFORM_IOS,
    PRIORITY_BULK,
    PRIORITY_CRITICAL,
    PRIORITY_NORMAL,
    ROUTING_FIRST,
    Address,
    Content,
    DeviceAddress,
    EmailContent,
    PushContent,
    SmsContent,
)
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from services import topics
from services.notification.adapters.kafka import KafkaEvents
from services.notification.domain import keyed_id, random_id
from services.notification.drafting import CHUNK_BYTES, CHUNK_RECIPIENTS, canonical, draft
from services.notification.events import accepted_event, chunk_events, key
from services.runtime.kafka import MESSAGE_MAX_BYTES, Record
from tests.unit.notification.builders import NOW, RETENTION, caller, ids, in_chunks, made, send_request

EMAIL = EmailContent(subject="Hello", text="x" * 65_536, html="x" * 262_144)


def test_defaults_are_filled_in() -> None:
    options = canonical(
        SendNotificationRequest(
            recipients=[Recipient(user_id="ada")],
            content=Content(email=EMAIL, sms=SmsContent(body="a"), push=PushContent(title="a")),
        )
    ).options
    assert options == DeliveryOptions(
        channels=[CHANNEL_PUSH, CHANNEL_SMS, CHANNEL_EMAIL],
        routing=ROUTING_FIRST,
        priority=PRIORITY_NORMAL,
        ttl=Duration(seconds=86_400),
    )


def test_what_was_asked_for_stays() -> None:
    asked: dict[str, Any] = {
        "channels": [CHANNEL_PUSH],
        "priority": PRIORITY_BULK,
        "ttl": Duration(seconds=5),
        "collapse_key": "k",
    }
    options = canonical(send_request(**asked)).options
    assert options == DeliveryOptions(routing=ROUTING_FIRST, **asked)


def test_a_recipient_twice_is_one() -> None:
    spec = canonical(send_request("ada", "bob", "ada", "cleo", "bob"))
    assert [each.user_id for each in spec.recipients] == ["ada", "bob", "cleo"]


def test_the_request_itself_is_left_alone() -> None:
    request = send_request("ada", "ada", key="k")
    before = request.SerializeToString(deterministic=True)
    made(request)
    assert request.SerializeToString(deterministic=True) == before


def test_fields_that_we_do_not_know_are_dropped() -> None:
    request = SendNotificationRequest.FromString(send_request().SerializeToString() + b"\xfa\x3f\x03abc")
    assert made(request).content_hash == made(send_request()).content_hash


def test_the_same_content_said_in_two_ways_has_one_hash() -> None:
    plain = send_request("ada", "bob")
    spelled_out = send_request("ada", "bob", "ada", key="k", routing=ROUTING_FIRST, ttl=Duration(seconds=86_400))
    other = send_request("ada", "bob", title="Other")
    assert made(plain).content_hash == made(spelled_out).content_hash != made(other).content_hash


def test_a_keyed_id_stands_for_tenant_and_key() -> None:
    assert keyed_id("acme", "k") == keyed_id("acme", "k")
    different = {
        keyed_id(*each) for each in (("acme", "k"), ("globex", "k"), ("acme", "l"), ("acm", "ek"), ("a", "cmek"))
    }
    assert len(different) == 5
    assert made(send_request(key="k")).notification_id == keyed_id("acme", "k")


def test_ids_without_a_key_differ_and_sort_by_time() -> None:
    made_ids = [random_id(NOW + timedelta(milliseconds=number), bytes([255 - number] * 14)) for number in range(50)]
    assert made_ids == sorted(set(made_ids))
    assert {len(each) for each in made_ids} == {len(keyed_id("acme", "k"))}
    assert made().notification_id != made().notification_id


def test_it_expires_after_its_ttl_and_is_kept_beyond() -> None:
    short = made(send_request(ttl=Duration(seconds=90)))
    assert (short.expire_at, short.purge_at) == (NOW + timedelta(seconds=90), NOW + RETENTION)
    long = draft(
        send_request(ttl=Duration(seconds=28 * 86_400)), caller=caller(), now=NOW, ids=ids, retention=timedelta(days=1)
    )
    assert long.purge_at == NOW + timedelta(days=29)


@pytest.mark.parametrize(("recipients", "chunks"), [(1, 1), (500, 1), (501, 2), (10_000, 20)])
def test_recipients_travel_in_chunks(recipients: int, chunks: int) -> None:
    request = send_request(*(f"user-{number}" for number in range(recipients)))
    events = list(chunk_events(made(request)))
    assert [event.chunk for event in events] == list(range(chunks))
    assert max(len(event.recipients) for event in events) <= CHUNK_RECIPIENTS
    assert [each.user_id for event in events for each in event.recipients] == [
        each.user_id for each in request.recipients
    ]


@given(st.lists(st.integers(1, 4096), min_size=1, max_size=900))
def test_every_chunk_fits_in_a_message(sizes: list[int]) -> None:
    recipients = [
        Recipient(
            address=Address(device=DeviceAddress(platform=PLATFORM_IOS, app="shop", token=f"{number:06}" + "x" * size))
        )
        for number, size in enumerate(sizes)
    ]
    request = SendNotificationRequest(
        recipients=recipients, content=Content(email=EMAIL, sms=SmsContent(body="☀" * 1_600))
    )
    one = made(request)
    events = list(chunk_events(one))
    assert len(events) == len(one.chunks)
    assert [each for event in events for each in event.recipients] == recipients
    assert all(event.ByteSize() < 900_000 for event in events)
    assert all(len(event.recipients) > 0 for event in events)
    assert CHUNK_BYTES < MESSAGE_MAX_BYTES


def test_an_event_has_all_that_a_worker_needs() -> None:
    one = made(send_request("ada", priority=PRIORITY_CRITICAL))
    (event,) = chunk_events(one)
    assert (event.tenant, event.notification_id, event.chunk) == ("acme", one.notification_id, 0)
    assert (event.content, event.options) == (one.request.content, one.request.options)
    assert event.accept_time.ToDatetime(tzinfo=NOW.tzinfo) == NOW
    assert event.expire_time.ToDatetime(tzinfo=NOW.tzinfo) == one.expire_at


def test_one_recipients_notifications_share_a_key_that_hides_the_address() -> None:
    def to(phone: str, tenant: str = "acme") -> bytes:
        recipient = Recipient(address=Address(phone=phone))
        request = SendNotificationRequest(recipients=[recipient], content=Content(sms=SmsContent(body="a")))
        return key(made(request, tenant=tenant), 0)

    assert to("+351211234567") == to("+351211234567")
    assert len({to("+351211234567"), to("+351211234568"), to("+351211234567", "globex")}) == 3
    assert b"351211234567" not in to("+351211234567")


def test_chunks_of_many_recipients_spread() -> None:
    one = in_chunks(3)
    assert {key(one, chunk) for chunk in range(3)} == {f"{one.notification_id}:{chunk}".encode() for chunk in range(3)}


def test_analytics_hears_of_the_acceptance_once_a_notification() -> None:
    event = accepted_event(made(send_request(key="k", category="security")))
    assert event.event_id == accepted_event(made(send_request(key="k"))).event_id
    assert (event.tenant, event.category, event.reason) == ("acme", "security", "ACCEPTED")
    assert event.delivery_id == ""


class Records:
    def __init__(self) -> None:
        self.flushes: list[list[Record]] = []

    async def publish(self, records: list[Record]) -> None:
        self.flushes.append(records)


async def test_everything_goes_out_in_one_flush_on_the_lane_of_its_priority() -> None:
    records = Records()
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    drafts = [
        made(send_request(priority=PRIORITY_CRITICAL), trace=trace),
        made(),
        made(send_request(priority=PRIORITY_BULK)),
    ]
    await KafkaEvents(records).publish([*drafts, in_chunks(2)])  # type: ignore[arg-type]
    (flush,) = records.flushes
    lanes = [record.topic for record in flush if record.topic != topics.ANALYTICS_EVENTS]
    assert lanes == [
        topics.NOTIFICATIONS_CRITICAL,
        topics.NOTIFICATIONS_NORMAL,
        topics.NOTIFICATIONS_BULK,
        topics.NOTIFICATIONS_NORMAL,
        topics.NOTIFICATIONS_NORMAL,
    ]
    assert len(flush) == len(lanes) + 4
    assert flush[0].headers == {"tenant": "acme", **trace}
