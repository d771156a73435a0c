"""The contract's messages, read into the domain with every offending field named, and written back."""

from __future__ import annotations

import functools
import zoneinfo
from typing import TYPE_CHECKING

from clarion.device.v1 import ContactPoint as ContactPointMessage
from clarion.device.v1 import Device as DeviceMessage
from clarion.device.v1 import GoneToken as GoneTokenMessage
from clarion.device.v1 import Recipient as RecipientMessage
from clarion.device.v1 import ResolvedRecipient
from clarion.device.v1 import UserKey as UserKeyMessage
from clarion.type.v1 import DeviceAddress as DeviceAddressMessage
from clarion.type.v1 import Platform as PlatformMessage
from google.protobuf.timestamp_pb2 import Timestamp

from services.device.domain import (
    MAX_BATCH,
    MAX_CONTACT_POINTS,
    ContactKind,
    ContactPoint,
    Device,
    DeviceAddress,
    GoneToken,
    Platform,
    Reach,
    Recipient,
    UserKey,
)
from services.runtime.validation import Violations

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

MAX_TOKEN_CHARS = 4096


@functools.cache
def time_zones() -> frozenset[str]:
    """The IANA time zones that this machine knows; read once, which takes a moment."""
    return frozenset(zoneinfo.available_timezones())


def check_address(violations: Violations, field: str, message: DeviceAddressMessage) -> None:
    """Note what is wrong with a device's address."""
    violations.enumerated(f"{field}.platform", message.platform, PlatformMessage, required=True)
    violations.name(f"{field}.app", message.app, most=100)
    violations.printable(f"{field}.token", message.token, most=MAX_TOKEN_CHARS)


def to_address(message: DeviceAddressMessage) -> DeviceAddress:
    """The address, once it was checked."""
    return DeviceAddress(platform=Platform(message.platform), app=message.app, token=message.token)


def from_address(address: DeviceAddress) -> DeviceAddressMessage:
    """The address as a message."""
    return DeviceAddressMessage(
        platform=PlatformMessage.ValueType(address.platform), app=address.app, token=address.token
    )


def from_device(device: Device) -> DeviceMessage:
    """The device as a message."""
    return DeviceMessage(
        device_id=device.device_id,
        user_id=device.user_id,
        address=from_address(device.address),
        locale=device.locale,
        register_time=_timestamp(device.register_time),
        last_seen_time=_timestamp(device.last_seen_time),
    )


def to_recipient(message: RecipientMessage, *, field: str, now: datetime) -> Recipient:
    """The recipient, updated now. Raises InvalidInput."""
    violations = Violations()
    violations.identifier(f"{field}.user_id", message.user_id)
    violations.locale(f"{field}.locale", message.locale)
    if message.time_zone and message.time_zone not in time_zones():
        violations.add(f"{field}.time_zone", "must be an IANA time zone, such as Europe/Lisbon")
    if violations.count(f"{field}.contact_points", len(message.contact_points), least=0, most=MAX_CONTACT_POINTS):
        for at, point in enumerate(message.contact_points):
            _check_contact_point(violations, f"{field}.contact_points[{at}]", point)
    violations.check()
    return Recipient(
        user_id=message.user_id,
        contact_points=tuple(_to_contact_point(point) for point in message.contact_points),
        locale=message.locale,
        time_zone=message.time_zone,
        update_time=now,
    )


def from_recipient(recipient: Recipient) -> RecipientMessage:
    """The recipient as a message."""
    return RecipientMessage(
        user_id=recipient.user_id,
        contact_points=[_from_contact_point(point) for point in recipient.contact_points],
        locale=recipient.locale,
        time_zone=recipient.time_zone,
        update_time=_timestamp(recipient.update_time),
    )


def to_users(messages: Sequence[UserKeyMessage]) -> list[UserKey]:
    """The users. Raises InvalidInput."""
    violations = Violations()
    if violations.count("users", len(messages), most=MAX_BATCH):
        for at, message in enumerate(messages):
            violations.identifier(f"users[{at}].tenant", message.tenant)
            violations.identifier(f"users[{at}].user_id", message.user_id)
    violations.check()
    return [UserKey(message.tenant, message.user_id) for message in messages]


def to_gone(messages: Sequence[GoneTokenMessage]) -> list[GoneToken]:
    """The gone tokens. Raises InvalidInput."""
    violations = Violations()
    times = []
    if violations.count("tokens", len(messages), most=MAX_BATCH):
        for at, message in enumerate(messages):
            violations.identifier(f"tokens[{at}].tenant", message.tenant)
            check_address(violations, f"tokens[{at}].address", message.address)
            times.append(violations.timestamp(f"tokens[{at}].gone_time", message.gone_time))
    violations.check()
    return [
        GoneToken(tenant=message.tenant, address=to_address(message.address), gone_time=time)
        for message, time in zip(messages, times, strict=True)
        if time is not None
    ]


def from_reach(reach: Reach) -> ResolvedRecipient:
    """The answer as a message."""
    return ResolvedRecipient(
        found=reach.found,
        devices=[from_address(address) for address in reach.devices],
        phone=reach.phone,
        email=reach.email,
        locale=reach.locale,
        time_zone=reach.time_zone,
    )


def to_reach(message: ResolvedRecipient) -> Reach:
    """The answer that `from_reach` wrote. Raises ValueError for a platform that is not known."""
    return Reach(
        found=message.found,
        devices=tuple(to_address(address) for address in message.devices),
        phone=message.phone,
        email=message.email,
        locale=message.locale,
        time_zone=message.time_zone,
    )


def _timestamp(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def _check_contact_point(violations: Violations, field: str, message: ContactPointMessage) -> None:
    match message.WhichOneof("kind"):
        case "phone":
            violations.phone(f"{field}.phone", message.phone)
        case "email":
            violations.email(f"{field}.email", message.email)
        case _:
            violations.add(field, "must have a phone or an email")


def _to_contact_point(message: ContactPointMessage) -> ContactPoint:
    if message.HasField("phone"):
        return ContactPoint(kind=ContactKind.PHONE, value=message.phone, verified=message.verified)
    return ContactPoint(kind=ContactKind.EMAIL, value=message.email, verified=message.verified)


def _from_contact_point(point: ContactPoint) -> ContactPointMessage:
    if point.kind is ContactKind.PHONE:
        return ContactPointMessage(phone=point.value, verified=point.verified)
    return ContactPointMessage(email=point.value, verified=point.verified)
