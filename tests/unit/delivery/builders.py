"""Messages, records and accounts for tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from services.delivery.credentials import (
    Account,
    ApnsCredentials,
    FcmCredentials,
    SmtpCredentials,
    TwilioCredentials,
)
from services.delivery.domain import begun
from services.delivery.message import (
    DeviceAddress,
    EmailAddress,
    EmailContent,
    Message,
    PhoneAddress,
    Platform,
    Priority,
    PushContent,
    SmsContent,
    delivery_id,
)
from services.simulators.credentials import ApnsKey, ServiceAccount

if TYPE_CHECKING:
    from services.delivery.credentials import Credentials
    from services.delivery.domain import Delivery
    from services.delivery.message import Address, Content

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
RETENTION = timedelta(days=30)
TENANT, NOTIFICATION, APP = "acme", "n-1", "shop"


def phone(number: str = "+351211234567", **fields: Any) -> Message:
    return message(PhoneAddress(number=number), SmsContent(body="Your code is 1234"), **fields)


def email(mailbox: str = "ada@example.com", content: EmailContent | None = None, **fields: Any) -> Message:
    given = content or EmailContent(subject="Hello", text="Plain words", html="<p>Marked words</p>")
    return message(EmailAddress(mailbox=mailbox), given, **fields)


def android(registration: str = "fcm-token-0001", *, platform: Platform = Platform.ANDROID, **fields: Any) -> Message:
    return message(
        DeviceAddress(platform=platform, app=APP, token=registration),
        PushContent(title="Hello", body="Out for delivery", data={"order": "7"}),
        **fields,
    )


def ios(registration: str = "ab" * 32, **fields: Any) -> Message:
    return android(registration, platform=Platform.IOS, **fields)


def message(address: Address | None, content: Content | None, **fields: Any) -> Message:
    tenant = fields.get("tenant", TENANT)
    user = fields.get("user_id", "ada")
    notification = fields.get("notification_id", NOTIFICATION)
    made = Message(
        delivery_id=delivery_id(tenant=tenant, notification_id=notification, user_id=user, address=address),
        tenant=tenant,
        notification_id=notification,
        chunk=0,
        user_id=user,
        address=address,
        content=content,
        category="orders",
        template_id="t-1",
        priority=Priority.NORMAL,
        collapse_key="",
        expire_at=NOW + timedelta(hours=1),
        accepted_at=NOW - timedelta(seconds=2),
    )
    return replace(made, **fields)


def record(of: Message | None = None, **fields: Any) -> Delivery:
    return replace(begun(of or phone(), NOW, RETENTION), **fields)


@cache
def service_account() -> ServiceAccount:
    return ServiceAccount.generate(project_id="clarion-test")


@cache
def apns_key() -> ApnsKey:
    return ApnsKey.generate(team_id="TEAM123456", key_id="KEY1234567", topic="org.clarion.app")


def account(credentials: Credentials | None = None, **fields: Any) -> Account:
    given = credentials or twilio()
    made = Account(
        tenant=TENANT,
        account_id="main",
        version="v1",
        app=APP if isinstance(given, FcmCredentials | ApnsCredentials) else "",
        credentials=given,
        created_at=NOW,
    )
    return replace(made, **fields)


def twilio(**fields: Any) -> TwilioCredentials:
    made = TwilioCredentials(account_sid="AC" + "0" * 32, sender="+15005550006", auth_token="secret-auth-token")
    return replace(made, **fields)


def smtp(**fields: Any) -> SmtpCredentials:
    made = SmtpCredentials(
        host="",
        port=0,
        username="clarion",
        password="secret-password",
        from_address="shop@example.com",
        from_name="The Shop",
    )
    return replace(made, **fields)


def apns(**fields: Any) -> ApnsCredentials:
    key = apns_key()
    made = ApnsCredentials(
        team_id=key.team_id, key_id=key.key_id, topic=key.topic, sandbox=False, signing_key_pem=key.private_key
    )
    return replace(made, **fields)
