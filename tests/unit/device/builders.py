"""Devices and recipients as tests need them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.device.domain import (
    ContactKind,
    ContactPoint,
    Device,
    DeviceAddress,
    GoneToken,
    Platform,
    Recipient,
    device_id,
)

TOKEN = "token-1"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def address(token: str = TOKEN, *, app: str = "shop", platform: Platform = Platform.ANDROID) -> DeviceAddress:
    return DeviceAddress(platform=platform, app=app, token=token)


def device(
    user_id: str = "ada",
    token: str = TOKEN,
    *,
    tenant: str = "acme",
    locale: str = "",
    registered: float = 0,
    seen: float | None = None,
) -> Device:
    return Device(
        device_id=device_id(tenant, address(token)),
        user_id=user_id,
        address=address(token),
        locale=locale,
        register_time=at(registered),
        last_seen_time=at(registered if seen is None else seen),
    )


def phone(value: str = "+351211234567", *, verified: bool = True) -> ContactPoint:
    return ContactPoint(kind=ContactKind.PHONE, value=value, verified=verified)


def email(value: str = "ada@example.com", *, verified: bool = True) -> ContactPoint:
    return ContactPoint(kind=ContactKind.EMAIL, value=value, verified=verified)


def recipient(
    user_id: str = "ada", *points: ContactPoint, locale: str = "pt-PT", time_zone: str = "Europe/Lisbon"
) -> Recipient:
    return Recipient(user_id=user_id, contact_points=points, locale=locale, time_zone=time_zone, update_time=at(0))


def gone(token: str = TOKEN, *, tenant: str = "acme", when: float = 0) -> GoneToken:
    return GoneToken(tenant=tenant, address=address(token), gone_time=at(when))
