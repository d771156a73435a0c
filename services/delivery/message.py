"""What is sent: one message to one address, and how its delivery is named."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class Channel(StrEnum):
    """A way to reach a person."""

    PUSH = "PUSH"
    SMS = "SMS"
    EMAIL = "EMAIL"


class Platform(StrEnum):
    """What a device runs."""

    ANDROID = "ANDROID"
    IOS = "IOS"
    WEB = "WEB"


class ProviderName(StrEnum):
    """Who carries a message the rest of the way."""

    FCM = "FCM"
    APNS = "APNS"
    TWILIO = "TWILIO"
    SMTP = "SMTP"


class Priority(StrEnum):
    """How urgent a message is."""

    CRITICAL = "CRITICAL"
    NORMAL = "NORMAL"
    BULK = "BULK"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAddress:
    """One app on one device."""

    platform: Platform
    app: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneAddress:
    """A phone number in E.164."""

    number: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailAddress:
    """An addr-spec."""

    mailbox: str = field(repr=False)


Address = DeviceAddress | PhoneAddress | EmailAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class PushContent:
    """What a phone or a browser shows."""

    title: str = field(repr=False)
    body: str = field(repr=False)
    data: Mapping[str, str] = field(default_factory=dict, repr=False)
    image_url: str = field(default="", repr=False)
    badge: int | None = None
    sound: str = ""

    @property
    def silent(self) -> bool:
        """Whether nobody is to notice it: nothing but data for the app."""
        return not (self.title or self.body or self.sound) and self.badge is None


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsContent:
    """A text message."""

    body: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailContent:
    """A mail; at least one of text and HTML."""

    subject: str = field(repr=False)
    text: str = field(default="", repr=False)
    html: str = field(default="", repr=False)


Content = PushContent | SmsContent | EmailContent


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to one address. `fault` says why no provider can take it, if that is known beforehand."""

    delivery_id: str
    tenant: str
    notification_id: str
    chunk: int
    user_id: str
    address: Address | None
    content: Content | None
    category: str
    template_id: str
    priority: Priority
    collapse_key: str
    expire_at: datetime
    accepted_at: datetime
    fault: str = ""

    @property
    def channel(self) -> Channel | None:
        """The channel that the address is on."""
        match self.address:
            case DeviceAddress():
                return Channel.PUSH
            case PhoneAddress():
                return Channel.SMS
            case EmailAddress():
                return Channel.EMAIL
        return None

    @property
    def provider(self) -> ProviderName | None:
        """Who carries it: APNs for iOS, FCM for other devices."""
        match self.address:
            case DeviceAddress(platform=Platform.IOS):
                return ProviderName.APNS
            case DeviceAddress():
                return ProviderName.FCM
            case PhoneAddress():
                return ProviderName.TWILIO
            case EmailAddress():
                return ProviderName.SMTP
        return None

    @property
    def app(self) -> str:
        """The app whose credentials it needs; empty but for push."""
        return self.address.app if isinstance(self.address, DeviceAddress) else ""


def delivery_id(*, tenant: str, notification_id: str, user_id: str, address: Address | None) -> str:
    """The same for the same notification, recipient, channel and address: 32 hexadecimal digits."""
    where: tuple[str, ...]
    match address:
        case DeviceAddress():
            where = ("device", address.platform, address.app, address.token)
        case PhoneAddress():
            where = ("phone", address.number)
        case EmailAddress():
            where = ("email", address.mailbox)
        case _:
            where = ("none",)
    parts = (tenant, notification_id, user_id, *where)
    # Each part with its length, so that no two lists of parts read alike.
    named = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(named.encode()).hexdigest()[:32]


def as_uuid(identifier: str) -> str:
    """A delivery's id in the form that providers ask for."""
    return str(uuid.UUID(hex=identifier))
