"""Requests that must be refused, each with the fields that the answer must name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from clarion.auth import v1 as auth
from clarion.delivery import v1 as delivery
from clarion.device import v1 as device
from clarion.notification import v1 as notification
from clarion.type.v1 import (
    CHANNEL_EMAIL,
    CHANNEL_SMS,
    PLATFORM_ANDROID,
    Address,
    Content,
    DeviceAddress,
    EmailContent,
    PushContent,
    SmsContent,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

if TYPE_CHECKING:
    from google.protobuf.message import Message

USER: Final = "e2e-bad-input"
"""Whoever a bad request is about; no such user, device or client must ever come to be."""
PHONE: Final = "+447700911911"
UNKNOWN: Final = 99
"""A number that no enum of the contract has."""
YEAR_0, YEAR_9999 = Timestamp(seconds=-62_167_219_200), Timestamp(seconds=253_402_300_799)
MEGABYTE: Final = "x" * 1_000_000
INJECTED: Final = "Hello\r\nBcc: eve@evil.example"
_TOKEN: Final = "e2e-bad-token"
_SMS: Final = Content(sms=SmsContent(body="Hello"))
_TO: Final = notification.Recipient(address=Address(phone=PHONE))


@dataclass(frozen=True, kw_only=True)
class Bad:
    """One bad request: which method of which of the tenant's stubs, and every field that is wrong."""

    name: str
    stub: str
    method: str
    request: Message
    fields: frozenset[str] = field(default_factory=frozenset)


def _send(name: str, *fields: str, **parts: object) -> Bad:
    request = notification.SendNotificationRequest(**{"recipients": [_TO], "content": _SMS, **parts})  # type: ignore[arg-type]
    return Bad(
        name=f"send: {name}",
        stub="notifications",
        method="SendNotification",
        request=request,
        fields=frozenset(fields),
    )


def _sent_to(name: str, wrong: str, recipient: notification.Recipient) -> Bad:
    return _send(name, f"recipients[1]{wrong}", recipients=[_TO, recipient])


def _device(token: str = _TOKEN, app: str = "e2e", platform: int = PLATFORM_ANDROID) -> DeviceAddress:
    return DeviceAddress(platform=platform, app=app, token=token)  # type: ignore[arg-type]


def _direct(**address: object) -> notification.Recipient:
    return notification.Recipient(address=Address(**address))  # type: ignore[arg-type]


def _email(**parts: str) -> Content:
    return Content(email=EmailContent(**{"subject": "Hello", "text": "Hello", **parts}))


def _options(name: str, wrong: str, **parts: object) -> Bad:
    return _send(name, wrong, options=notification.DeliveryOptions(**parts))  # type: ignore[arg-type]


def _other(name: str, stub: str, request: Message, *fields: str) -> Bad:
    method = type(request).__name__.removesuffix("Request")
    return Bad(name=f"{method}: {name}", stub=stub, method=method, request=request, fields=frozenset(fields))


SENDS: Final = [
    _send("nobody", "recipients", recipients=[]),
    _send("10,001 recipients", "recipients", recipients=[_TO] * 10_001),
    _sent_to("a recipient without a target", "", notification.Recipient()),
    _sent_to("a user id with a control character", ".user_id", notification.Recipient(user_id="ada\x00")),
    _sent_to("a user id of 129 characters", ".user_id", notification.Recipient(user_id="a" * 129)),
    _sent_to("an address of no kind", ".address", _direct()),
    _sent_to("a phone number without '+'", ".address.phone", _direct(phone="447700900001")),
    _sent_to("a phone number that is too long", ".address.phone", _direct(phone="+4477009000011111")),
    _sent_to("a phone number in words", ".address.phone", _direct(phone="+44 CALL ME")),
    _sent_to("header injection in a mail address", ".address.email", _direct(email="a@b.example\r\nBcc: e@f.example")),
    _sent_to("two mail addresses in one", ".address.email", _direct(email="a@b.example, e@f.example")),
    _sent_to("a mail address of a megabyte", ".address.email", _direct(email=MEGABYTE + "@b.example")),
    _sent_to("a device token with a line break", ".address.device.token", _direct(device=_device("token\r\nx"))),
    _sent_to("a device token of 4,097 characters", ".address.device.token", _direct(device=_device("t" * 4097))),
    _sent_to("a device of an unknown platform", ".address.device.platform", _direct(device=_device(platform=UNKNOWN))),
    _sent_to("a device of no app", ".address.device.app", _direct(device=_device(app=""))),
    _send("neither content nor template", "content", content=None),
    _send("content for no channel", "content", content=Content()),
    _send("an empty SMS", "content.sms.body", content=Content(sms=SmsContent())),
    _send("an SMS of 1,601 characters", "content.sms.body", content=Content(sms=SmsContent(body="x" * 1601))),
    _send(
        "a push of a megabyte", "content.push", "content.push.body", content=Content(push=PushContent(body=MEGABYTE))
    ),
    _send("a push over 4 KB", "content.push", content=Content(push=PushContent(title="x", data={"k": "x" * 4096}))),
    _send("an empty push", "content.push", content=Content(push=PushContent())),
    _send("a reserved data key", "content.push.data[gcm]", content=Content(push=PushContent(data={"gcm": "x"}))),
    _send("header injection in a subject", "content.email.subject", content=_email(subject=INJECTED)),
    _send("an empty subject", "content.email.subject", content=_email(subject="")),
    _send("a mail without a body", "content.email", content=_email(text="")),
    _send("a mail of a megabyte", "content.email.html", content=_email(html=MEGABYTE)),
    _send("an idempotency key with a space", "idempotency_key", idempotency_key="a b"),
    _send("an idempotency key of 129 characters", "idempotency_key", idempotency_key="k" * 129),
    _options("an unknown channel", "options.channels[0]", channels=[UNKNOWN]),
    _options("a channel twice", "options.channels[1]", channels=[CHANNEL_SMS, CHANNEL_SMS]),
    _options("a channel without content", "options.channels[0]", channels=[CHANNEL_EMAIL]),
    _options("an unknown routing", "options.routing", routing=UNKNOWN),
    _options("an unknown priority", "options.priority", priority=UNKNOWN),
    _options("a category with a line break", "options.category", category="a\nb"),
    _options("a time to live below a second", "options.ttl", ttl=Duration(nanos=500_000_000)),
    _options("a time to live of 29 days", "options.ttl", ttl=Duration(seconds=29 * 86_400)),
    _options("a collapse key of 65 bytes", "options.collapse_key", collapse_key="é" * 33),
    _options("a time in the year 0", "options.send_at", send_at=YEAR_0),
    _options("a time in the year 9999", "options.send_at", send_at=YEAR_9999),
    Bad(
        name="send: everything wrong at once",
        stub="notifications",
        method="SendNotification",
        request=notification.SendNotificationRequest(
            recipients=[notification.Recipient(), _direct(phone="911")],
            content=_email(subject=INJECTED),
            options=notification.DeliveryOptions(priority=UNKNOWN, category="c" * 65),  # type: ignore[arg-type]
            idempotency_key="a\x7f",
        ),
        fields=frozenset(
            {
                "recipients[0]",
                "recipients[1].address.phone",
                "content.email.subject",
                "options.priority",
                "options.category",
                "idempotency_key",
            }
        ),
    ),
]

_BATCH = notification.SendNotificationRequest(recipients=[_TO], content=_SMS)
NOTIFICATIONS: Final = [
    _other("nothing", "notifications", notification.BatchSendNotificationsRequest(), "requests"),
    _other(
        "1,001 items",
        "notifications",
        notification.BatchSendNotificationsRequest(requests=[_BATCH] * 1001),
        "requests",
    ),
    *(
        _other(name, "notifications", request, *fields)
        for name, request, *fields in (
            ("a made-up page token", notification.ListNotificationsRequest(page_token="bm9ib2R5"), "page_token"),
            ("a page token of a megabyte", notification.ListNotificationsRequest(page_token=MEGABYTE), "page_token"),
            ("pages of -1", notification.ListNotificationsRequest(page_size=-1), "page_size"),
            ("pages of 501", notification.ListNotificationsRequest(page_size=501), "page_size"),
            ("the year 0", notification.ListNotificationsRequest(created_after=YEAR_0), "created_after"),
            ("the year 9999", notification.ListNotificationsRequest(created_before=YEAR_9999), "created_before"),
            ("an unknown state", notification.ListNotificationsRequest(states=[UNKNOWN]), "states[0]"),  # type: ignore[list-item]
            ("no id", notification.GetNotificationRequest(), "notification_id"),
            ("an id with a null", notification.GetNotificationRequest(notification_id="\x00"), "notification_id"),
            ("no id", notification.CancelNotificationRequest(), "notification_id"),
        )
    ),
]

_POINT = device.ContactPoint(phone=PHONE)
DEVICES: Final = [
    *(
        _other(name, "devices", request, *fields)
        for name, request, *fields in (
            ("no user", device.RegisterDeviceRequest(address=_device()), "user_id"),
            (
                "everything wrong at once",
                device.RegisterDeviceRequest(
                    user_id=USER, address=_device("t\x01", "two words", UNKNOWN), locale="en GB"
                ),
                "address.platform",
                "address.app",
                "address.token",
                "locale",
            ),
            (
                "a token of a megabyte",
                device.RegisterDeviceRequest(user_id=USER, address=_device(MEGABYTE)),
                "address.token",
            ),
            (
                "no address",
                device.RegisterDeviceRequest(user_id=USER),
                "address.platform",
                "address.app",
                "address.token",
            ),
            ("no user", device.ListDevicesRequest(), "user_id"),
            ("pages of 101", device.ListDevicesRequest(user_id=USER, page_size=101), "page_size"),
            ("a made-up page token", device.ListDevicesRequest(user_id=USER, page_token="bm9ib2R5"), "page_token"),
            ("no device", device.GetDeviceRequest(user_id=USER), "device_id"),
            ("no user and no device", device.DeleteDeviceRequest(), "user_id", "device_id"),
        )
    ),
    *(
        _other(name, "recipients", request, *fields)
        for name, request, *fields in (
            ("nobody", device.UpsertRecipientRequest(), "recipient.user_id"),
            (
                "everything wrong at once",
                device.UpsertRecipientRequest(
                    recipient=device.Recipient(
                        user_id=USER,
                        contact_points=[
                            device.ContactPoint(phone="07700 900000"),
                            device.ContactPoint(email="a@b.example\nBcc: e@f.example"),
                            device.ContactPoint(),
                        ],
                        locale="en GB",
                        time_zone="Mars/Olympus_Mons",
                    )
                ),
                "recipient.contact_points[0].phone",
                "recipient.contact_points[1].email",
                "recipient.contact_points[2]",
                "recipient.locale",
                "recipient.time_zone",
            ),
            (
                "21 contact points",
                device.UpsertRecipientRequest(recipient=device.Recipient(user_id=USER, contact_points=[_POINT] * 21)),
                "recipient.contact_points",
            ),
            ("nobody", device.GetRecipientRequest(), "user_id"),
            ("a control character", device.DeleteRecipientRequest(user_id="a\x1b"), "user_id"),
        )
    ),
]


def _account(**parts: object) -> delivery.CreateProviderAccountRequest:
    account = delivery.ProviderAccount(**{"provider_account_id": "e2e-bad", **parts})  # type: ignore[arg-type]
    return delivery.CreateProviderAccountRequest(provider_account=account)


DELIVERIES: Final = [
    _other(name, "deliveries", request, *(f"provider_account.{each}" for each in fields))
    for name, request, *fields in (
        ("no credentials", _account(), "credentials"),
        ("a bad id", _account(provider_account_id="two words", smtp=delivery.SmtpCredentials(from_address="a@b.example")),
         "provider_account_id"),
        ("a key file that is none", _account(app="e2e", fcm=delivery.FcmCredentials(project_id="X", service_account_json="{}")),
         "fcm.project_id", "fcm.service_account_json"),
        ("a signing key that is none",
         _account(app="e2e", apns=delivery.ApnsCredentials(team_id="x", key_id="y", signing_key_pem="z", topic="a b")),
         "apns.team_id", "apns.key_id", "apns.signing_key_pem", "apns.topic"),
        ("bad gateway credentials",
         _account(twilio=delivery.TwilioCredentials(account_sid="x", auth_token="y", sender="+1 500")),
         "twilio.account_sid", "twilio.auth_token", "twilio.sender"),
        ("header injection in the sender", _account(smtp=delivery.SmtpCredentials(from_address="a@b.example\r\nBcc: x", from_name=INJECTED)),
         "smtp.from_address", "smtp.from_name"),
        ("a relay inside the network", _account(smtp=delivery.SmtpCredentials(host="mongodb.svc", port=27017, from_address="a@b.example")),
         "smtp.host", "smtp.port"),
    )
] + [
    _other(name, "deliveries", request, *fields)
    for name, request, *fields in (
        ("no id", delivery.ListDeliveriesRequest(), "notification_id"),
        ("pages of 1,001", delivery.ListDeliveriesRequest(notification_id="n", page_size=1001), "page_size"),
        ("a made-up page token", delivery.ListDeliveriesRequest(notification_id="n", page_token="bm9ib2R5"), "page_token"),
        ("a made-up page token", delivery.ListProviderAccountsRequest(page_token="bm9ib2R5"), "page_token"),
        ("pages of -1", delivery.ListProviderAccountsRequest(page_size=-1), "page_size"),
        ("no id", delivery.DeleteProviderAccountRequest(), "provider_account_id"),
    )
]  # fmt: skip

CLIENTS: Final = [
    _other(name, "auth", request, *fields)
    for name, request, *fields in (
        (
            "everything wrong at once",
            auth.CreateClientRequest(display_name="d" * 201, roles=[UNKNOWN, auth.ROLE_UNSPECIFIED]),  # type: ignore[list-item]
            "display_name",
            "roles[0]",
            "roles[1]",
        ),
        ("no role", auth.CreateClientRequest(display_name=USER), "roles"),
        ("a line break", auth.CreateClientRequest(display_name="a\nb", roles=[auth.ROLE_VIEWER]), "display_name"),
        ("a tenant of a megabyte", auth.CreateClientRequest(tenant=MEGABYTE, roles=[auth.ROLE_VIEWER]), "tenant"),
        ("no id", auth.GetClientRequest(), "client_id"),
        ("an unknown role", auth.SetClientRolesRequest(client_id="x", roles=[UNKNOWN]), "roles[0]"),  # type: ignore[list-item]
        ("no id", auth.RotateClientSecretRequest(), "client_id"),
        ("a null", auth.DeleteClientRequest(client_id="\x00"), "client_id"),
        ("a made-up page token", auth.ListClientsRequest(page_token="bm9ib2R5"), "page_token"),
        ("pages of 501", auth.ListClientsRequest(page_size=501), "page_size"),
        ("a made-up page token", auth.ListAuditEntriesRequest(page_token="bm9ib2R5"), "page_token"),
    )
]

ALL: Final = [*SENDS, *NOTIFICATIONS, *DEVICES, *DELIVERIES, *CLIENTS]
