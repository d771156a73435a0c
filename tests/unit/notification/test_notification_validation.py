"""Which requests are valid, and how the others are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from clarion.notification.v1 import (
    NOTIFICATION_STATE_ACCEPTED,
    DeliveryOptions,
    ListNotificationsRequest,
    ProgressReport,
    Recipient,
    SendNotificationRequest,
    TemplateReference,
)
from clarion.type.v1 import (
    CHANNEL_EMAIL,
    CHANNEL_PUSH,
    CHANNEL_SMS,
    DELIVERY_STATE_RETRYING,
    DELIVERY_STATE_SENT,
    PLATFORM_ANDROID,
    ROUTING_ESCALATE,
    Address,
    Content,
    DeviceAddress,
    EmailContent,
    Progress,
    PushContent,
    SmsContent,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.notification.reports import MAX_DELIVERIES, reports_of
from services.notification.validation import MAX_NAMED, MAX_RECIPIENTS, check_id, check_send, filter_of
from services.runtime.errors import InvalidInput, Unimplemented
from tests.unit.notification.builders import NOW, send_request

if TYPE_CHECKING:
    from collections.abc import Callable


def refused(check: Callable[[], object]) -> list[str]:
    """The fields for which it is refused."""
    with pytest.raises(InvalidInput) as caught:
        check()
    return [violation.field for violation in caught.value.violations]


def fields_of(request: SendNotificationRequest) -> list[str]:
    return refused(lambda: check_send(request, NOW))


def with_content(**content: Any) -> SendNotificationRequest:
    return SendNotificationRequest(recipients=[Recipient(user_id="ada")], content=Content(**content))


def with_recipient(recipient: Recipient) -> SendNotificationRequest:
    return SendNotificationRequest(recipients=[recipient], content=Content(push=PushContent(title="Hello")))


def device(**fields: Any) -> Recipient:
    known: dict[str, Any] = {"platform": PLATFORM_ANDROID, "app": "shop", "token": "abc"}
    return Recipient(address=Address(device=DeviceAddress(**known | fields)))


EVERYTHING = SendNotificationRequest(
    recipients=[
        Recipient(user_id="ada"),
        device(),
        Recipient(address=Address(phone="+351211234567")),
        Recipient(address=Address(email="ada@example.com")),
    ],
    content=Content(
        push=PushContent(
            title="Hello", body="Line\nline", data={"order": "1"}, image_url="https://example.com/i.png", badge=0
        ),
        sms=SmsContent(body="Hello"),
        email=EmailContent(subject="Hello ☀", text="Text", html="<p>Text</p>"),
    ),
    options=DeliveryOptions(
        channels=[CHANNEL_EMAIL, CHANNEL_PUSH],
        category="security",
        ttl=Duration(seconds=1),
        collapse_key="order-1",
        send_at=Timestamp(seconds=int(NOW.timestamp()) - 5),
        escalate_after=Duration(seconds=60),
    ),
    idempotency_key="a/b:c",
)


def test_a_request_with_everything_is_valid() -> None:
    check_send(EVERYTHING, NOW)


def test_an_empty_request_names_what_it_lacks() -> None:
    assert fields_of(SendNotificationRequest()) == ["recipients", "content"]


def test_every_offending_field_is_named_at_once() -> None:
    request = with_content(push=PushContent(), sms=SmsContent(), email=EmailContent(subject="a\r\nBcc: b"))
    request.recipients.add(user_id="a b")
    request.recipients.add()
    request.options.priority = 9  # type: ignore[assignment]
    assert fields_of(request) == [
        "recipients[1].user_id",
        "recipients[2]",
        "content.push",
        "content.sms.body",
        "content.email.subject",
        "content.email",
        "options.priority",
    ]


@pytest.mark.parametrize(
    ("recipient", "field"),
    [
        (Recipient(), "recipients[0]"),
        (Recipient(user_id=""), "recipients[0].user_id"),
        (Recipient(user_id="x" * 129), "recipients[0].user_id"),
        (Recipient(user_id="ada\n"), "recipients[0].user_id"),
        (Recipient(address=Address()), "recipients[0].address"),
        (Recipient(address=Address(phone="0211234567")), "recipients[0].address.phone"),
        (Recipient(address=Address(phone="+999")), "recipients[0].address.phone"),
        (Recipient(address=Address(email="ada")), "recipients[0].address.email"),
        (Recipient(address=Address(email="ada@example.com\r\nBcc: b@example.com")), "recipients[0].address.email"),
        (Recipient(address=Address(email="a" * 250 + "@example.com")), "recipients[0].address.email"),
        (device(platform=0), "recipients[0].address.device.platform"),
        (device(platform=77), "recipients[0].address.device.platform"),
        (device(app=""), "recipients[0].address.device.app"),
        (device(app="a/b"), "recipients[0].address.device.app"),
        (device(token=""), "recipients[0].address.device.token"),
        (device(token="a\x00b"), "recipients[0].address.device.token"),
        (device(token="x" * 4097), "recipients[0].address.device.token"),
    ],
)
def test_a_bad_recipient_is_named(recipient: Recipient, field: str) -> None:
    assert fields_of(with_recipient(recipient)) == [field]


def test_recipients_are_limited() -> None:
    most = send_request(*(f"user-{number}" for number in range(MAX_RECIPIENTS)))
    check_send(most, NOW)
    most.recipients.add(user_id="one-too-many")
    assert fields_of(most) == ["recipients"]


def test_no_more_is_looked_for_than_an_answer_can_hold() -> None:
    assert len(fields_of(send_request(*[" "] * 5_000))) == MAX_NAMED + 1


def test_a_request_as_a_whole_is_limited() -> None:
    request = SendNotificationRequest(recipients=[device(token="x" * 4096)] * 1_100, content=EVERYTHING.content)
    assert fields_of(request) == ["request"]


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({}, "content"),
        ({"push": PushContent(badge=1)}, "content.push"),
        ({"push": PushContent(title="x" * 257)}, "content.push.title"),
        ({"push": PushContent(body="x" * 2049)}, "content.push.body"),
        ({"push": PushContent(title="a\x07")}, "content.push.title"),
        ({"push": PushContent(title="a", badge=-1)}, "content.push.badge"),
        ({"push": PushContent(title="a", sound="a\nb")}, "content.push.sound"),
        ({"push": PushContent(title="a", image_url="http://example.com/i.png")}, "content.push.image_url"),
        ({"push": PushContent(title="a", image_url="https://example.com/\n")}, "content.push.image_url"),
        ({"push": PushContent(data={"from": "a"})}, "content.push.data[from]"),
        ({"push": PushContent(data={"gcm": "a"})}, "content.push.data[gcm]"),
        ({"push": PushContent(data={"gcm.notification.title": "a"})}, "content.push.data[gcm.notification.title]"),
        ({"push": PushContent(data={"message_type": "a"})}, "content.push.data[message_type]"),
        ({"push": PushContent(data={"google.x": "a"})}, "content.push.data[google.x]"),
        ({"push": PushContent(data={"aps": "a"})}, "content.push.data[aps]"),
        ({"push": PushContent(data={"": "a"})}, "content.push.data[]"),
        ({"push": PushContent(data={"a\n": "a"})}, "content.push.data[?]"),
        ({"push": PushContent(data={f"k{number}": "" for number in range(101)})}, "content.push.data"),
        ({"push": PushContent(data={"k": "x" * 4_090})}, "content.push"),
        ({"push": PushContent(title="a", data={"k": '"' * 2_100})}, "content.push"),
        ({"sms": SmsContent(body="")}, "content.sms.body"),
        ({"sms": SmsContent(body="x" * 1_601)}, "content.sms.body"),
        ({"email": EmailContent(text="a")}, "content.email.subject"),
        ({"email": EmailContent(subject="x" * 256, text="a")}, "content.email.subject"),
        ({"email": EmailContent(subject="a\nBcc: b@example.com", text="a")}, "content.email.subject"),
        ({"email": EmailContent(subject="a")}, "content.email"),
        ({"email": EmailContent(subject="a", text="x" * 65_537)}, "content.email.text"),
        ({"email": EmailContent(subject="a", text="é" * 40_000)}, "content.email.text"),
        ({"email": EmailContent(subject="a", html="x" * 262_145)}, "content.email.html"),
    ],
)
def test_bad_content_is_named(content: dict[str, Any], field: str) -> None:
    assert fields_of(with_content(**content)) == [field]


@pytest.mark.parametrize(
    "content",
    [
        {"push": PushContent(title="é" * 256, body="é" * 1_500)},
        {"push": PushContent(data={"k": "x" * 3_900})},
        {"sms": SmsContent(body="x" * 1_600)},
        {"email": EmailContent(subject="a", text="x" * 65_536, html="x" * 262_144)},
    ],
)
def test_content_may_be_as_large_as_its_limit(content: dict[str, Any]) -> None:
    check_send(with_content(**content), NOW)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"channels": [CHANNEL_PUSH, CHANNEL_PUSH]}, "options.channels[1]"),
        ({"channels": [CHANNEL_SMS]}, "options.channels[0]"),
        ({"channels": [0]}, "options.channels[0]"),
        ({"channels": [9]}, "options.channels[0]"),
        ({"channels": [CHANNEL_PUSH] * 4}, "options.channels"),
        ({"routing": 9}, "options.routing"),
        ({"priority": -1}, "options.priority"),
        ({"category": "x" * 65}, "options.category"),
        ({"category": "a\nb"}, "options.category"),
        ({"ttl": Duration()}, "options.ttl"),
        ({"ttl": Duration(seconds=28 * 86_400, nanos=1_000)}, "options.ttl"),
        ({"ttl": Duration(seconds=-(2**62))}, "options.ttl"),
        ({"collapse_key": "é" * 33}, "options.collapse_key"),
        ({"collapse_key": "a\r\nb"}, "options.collapse_key"),
        ({"escalate_after": Duration(seconds=-1)}, "options.escalate_after"),
        ({"send_at": Timestamp(seconds=-62_167_219_200)}, "options.send_at"),
        ({"send_at": Timestamp(seconds=253_402_300_799)}, "options.send_at"),
        ({"send_at": Timestamp(seconds=2**62, nanos=-1)}, "options.send_at"),
        ({"send_at": Timestamp(seconds=int((NOW + timedelta(days=367)).timestamp()))}, "options.send_at"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], field: str) -> None:
    assert fields_of(send_request(**options)) == [field]


@pytest.mark.parametrize("key", ["x" * 129, "a b", "a\n", "é"])
def test_an_idempotency_key_is_short_printable_ascii(key: str) -> None:
    assert fields_of(send_request(key=key)) == ["idempotency_key"]


def test_content_and_template_exclude_each_other() -> None:
    request = send_request()
    request.template.template_id = "welcome"
    assert fields_of(request) == ["content"]


def test_a_bad_template_reference_is_named() -> None:
    reference = TemplateReference(template_id="", version=-1)
    reference.variables["name"] = "x" * 70_000
    request = SendNotificationRequest(recipients=[Recipient(user_id="ada")], template=reference)
    assert fields_of(request) == ["template.template_id", "template.version", "template.variables"]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (
            SendNotificationRequest(
                recipients=[Recipient(user_id="ada")], template=TemplateReference(template_id="welcome")
            ),
            "TEMPLATES_NOT_SERVED",
        ),
        (send_request(send_at=Timestamp(seconds=int(NOW.timestamp()) + 1)), "SCHEDULING_NOT_SERVED"),
        (send_request(routing=ROUTING_ESCALATE, escalate_after=Duration(seconds=60)), "ESCALATION_NOT_SERVED"),
    ],
)
def test_what_is_valid_but_not_served_is_said(request_: SendNotificationRequest, reason: str) -> None:
    with pytest.raises(Unimplemented) as caught:
        check_send(request_, NOW)
    assert caught.value.reason == reason


def test_what_is_wrong_is_said_before_what_is_not_served() -> None:
    assert fields_of(send_request(routing=ROUTING_ESCALATE, category="x" * 65)) == ["options.category"]


def test_a_list_asks_for_what_it_says() -> None:
    request = ListNotificationsRequest(states=[NOTIFICATION_STATE_ACCEPTED], category="security", page_size=7)
    request.created_after.FromDatetime(NOW)
    wanted, size = filter_of(request)
    assert (wanted.states, wanted.category, size) == (frozenset({NOTIFICATION_STATE_ACCEPTED}), "security", 7)
    assert (wanted.created_after, wanted.created_before) == (NOW, None)
    assert filter_of(ListNotificationsRequest())[1] == 50


def test_a_bad_list_names_every_field() -> None:
    request = ListNotificationsRequest(page_size=501, category="x" * 65)
    request.states.extend([0, 99])  # type: ignore[list-item]
    request.created_after.seconds = 253_402_300_799
    request.created_before.FromDatetime(datetime(1, 1, 1, tzinfo=UTC))
    assert refused(lambda: filter_of(request)) == [
        "page_size",
        "states[0]",
        "states[1]",
        "category",
        "created_after",
        "created_before",
    ]


@pytest.mark.parametrize("notification_id", ["", "x" * 65, "a b", "é", "$ne"])
def test_an_id_is_an_id(notification_id: str) -> None:
    assert refused(lambda: check_id(notification_id)) == ["notification_id"]


def report(**phase: Any) -> ProgressReport:
    return ProgressReport(tenant="acme", notification_id="n1", **phase)


def test_reports_are_read() -> None:
    done = ProgressReport.Processed(progress=Progress(sent=2), retrying_delivery_ids=["d1", "d2", "d1"], reason="WHY")
    ends = [ProgressReport.Settlement(delivery_id="d1", state=DELIVERY_STATE_SENT)]
    read = reports_of([report(processed=done, chunk=3), report(settled=ProgressReport.Settled(settlements=ends))])
    assert [type(each.phase).__name__ for each in read] == ["Processed", "Settled"]
    assert read[0].chunk == 3
    assert read[0].phase.retrying == ("d1", "d2")  # type: ignore[union-attr]
    assert read[1].phase.endings == {"d1": "sent"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (
            ProgressReport(chunk=-1),
            ["reports[0].tenant", "reports[0].notification_id", "reports[0].chunk", "reports[0]"],
        ),
        (
            report(processed=ProgressReport.Processed(progress=Progress(sent=-1), retrying_delivery_ids=["a b"])),
            ["reports[0].processed.progress.sent", "reports[0].processed.retrying_delivery_ids[0]"],
        ),
        (
            report(processed=ProgressReport.Processed(retrying_delivery_ids=["d"] * (MAX_DELIVERIES + 1))),
            ["reports[0].processed.retrying_delivery_ids"],
        ),
        (report(processed=ProgressReport.Processed(reason="x" * 129)), ["reports[0].processed.reason"]),
        (report(settled=ProgressReport.Settled()), ["reports[0].settled.settlements"]),
        (
            report(
                settled=ProgressReport.Settled(
                    settlements=[
                        ProgressReport.Settlement(delivery_id="", state=DELIVERY_STATE_RETRYING),
                        ProgressReport.Settlement(delivery_id="d"),
                        ProgressReport.Settlement(delivery_id="d", state=99),  # type: ignore[arg-type]
                    ]
                )
            ),
            [
                "reports[0].settled.settlements[0].delivery_id",
                "reports[0].settled.settlements[0].state",
                "reports[0].settled.settlements[1].state",
                "reports[0].settled.settlements[2].state",
            ],
        ),
    ],
)
def test_a_bad_report_names_every_field(message: ProgressReport, fields: list[str]) -> None:
    assert refused(lambda: reports_of([message])) == fields


@pytest.mark.parametrize("number", [0, 1001])
def test_reports_are_limited(number: int) -> None:
    assert refused(lambda: reports_of([report(started=ProgressReport.Started())] * number)) == ["reports"]
