"""Devices, recipients, and how a user can be reached: what they are and what always holds of them."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_BATCH: Final = 1000
"""Users of one resolve, or tokens of one invalidation."""
MAX_DEVICES: Final = 50
"""Devices of one user."""
MAX_CONTACT_POINTS: Final = 20
MAX_REACH_BYTES: Final = 12_000
"""Device addresses in one answer, at most, so that MAX_BATCH answers fit into one gRPC message of 16 MiB even where
someone registered nothing but tokens of 4 KiB. MAX_DEVICES tokens of the usual 160 bytes fit."""
_ADDRESS_OVERHEAD_BYTES = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Platform(enum.IntEnum):
    """What a device runs; numbered as in the contract."""

    ANDROID = 1
    IOS = 2
    WEB = 3


class ContactKind(enum.Enum):
    """What a contact point is."""

    PHONE = "phone"
    EMAIL = "email"


@dataclass(frozen=True, slots=True)
class UserKey:
    """A user of a tenant."""

    tenant: str
    user_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAddress:
    """One app on one device."""

    platform: Platform
    app: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device as it is stored. Times are in UTC, cut to milliseconds."""

    device_id: str
    user_id: str
    address: DeviceAddress
    locale: str
    register_time: datetime
    last_seen_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPoint:
    """A phone number (E.164) or an email address."""

    kind: ContactKind
    value: str
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """What is known of a person."""

    user_id: str
    contact_points: tuple[ContactPoint, ...]
    locale: str
    time_zone: str
    update_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How a user can be reached; only verified contact points, devices last seen first."""

    found: bool
    devices: tuple[DeviceAddress, ...] = ()
    phone: str = ""
    email: str = ""
    locale: str = ""
    time_zone: str = ""


UNKNOWN: Final = Reach(found=False)
"""The answer for a user of whom nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoneToken:
    """A token that its provider declared gone at a time."""

    tenant: str
    address: DeviceAddress
    gone_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A place in a user's devices, which are listed last seen first and then by id."""

    last_seen_time: datetime
    device_id: str

    def cursor(self) -> str:
        """The position as text."""
        return f"{(self.last_seen_time - _EPOCH) // _MILLISECOND}.{self.device_id}"

    @staticmethod
    def from_cursor(cursor: str) -> Position:
        """Read what `cursor` wrote."""
        milliseconds, _, device_id = cursor.partition(".")
        return Position(last_seen_time=_EPOCH + int(milliseconds) * _MILLISECOND, device_id=device_id)

    def precedes(self, device: Device) -> bool:
        """Whether the device is listed after this place."""
        if device.last_seen_time == self.last_seen_time:
            return device.device_id > self.device_id
        return device.last_seen_time < self.last_seen_time


def device_id(tenant: str, address: DeviceAddress) -> str:
    """The id that a token has: the same address of a tenant is the same device, whoever registers it."""
    digest = hashlib.blake2b(digest_size=16, person=b"clarion.device")
    for part in (tenant, address.platform.name, address.app, address.token):
        raw = part.encode()
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return digest.hexdigest()


def listed(devices: Iterable[Device]) -> list[Device]:
    """Last seen first, then by id."""
    return sorted(sorted(devices, key=lambda each: each.device_id), key=lambda each: each.last_seen_time, reverse=True)


def reach(recipient: Recipient | None, devices: Iterable[Device]) -> Reach:
    """How the user can be reached who has this profile, if any, and these devices."""
    ordered = listed(devices)
    if recipient is None and not ordered:
        return UNKNOWN
    return Reach(
        found=True,
        devices=tuple(_bounded(device.address for device in ordered)),
        phone=_first_verified(recipient, ContactKind.PHONE),
        email=_first_verified(recipient, ContactKind.EMAIL),
        locale=(recipient.locale if recipient else "") or next((each.locale for each in ordered if each.locale), ""),
        time_zone=recipient.time_zone if recipient else "",
    )


def latest_by_device(gone: Iterable[GoneToken]) -> dict[str, GoneToken]:
    """The latest declaration for each device id."""
    latest: dict[str, GoneToken] = {}
    for each in gone:
        key = device_id(each.tenant, each.address)
        if key not in latest or latest[key].gone_time < each.gone_time:
            latest[key] = each
    return latest


def _first_verified(recipient: Recipient | None, kind: ContactKind) -> str:
    points = recipient.contact_points if recipient else ()
    return next((point.value for point in points if point.verified and point.kind is kind), "")


def _bounded(addresses: Iterable[DeviceAddress]) -> list[DeviceAddress]:
    kept: list[DeviceAddress] = []
    size = 0
    for address in addresses:
        size += len(address.app) + len(address.token) + _ADDRESS_OVERHEAD_BYTES
        if len(kept) == MAX_DEVICES or size > MAX_REACH_BYTES:
            break
        kept.append(address)
    return kept
