"""What a provider is handed for one address, in the same words whether it is expected or was received."""

from __future__ import annotations

import enum
from dataclasses import dataclass

ACCEPTED = "accepted"


class Peer(enum.StrEnum):
    """A provider, by the name that its simulator's inspection API has."""

    FCM = "fcm"
    APNS = "apns"
    SMS = "sms"
    SMTP = "smtp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message to one address, and whether the provider took it.

    `detail` is what the channel carries beside title and body: a push's data as sorted `key=value`, an email's HTML.
    """

    peer: Peer
    address: str
    title: str
    body: str
    detail: str = ""
    outcome: str = ACCEPTED
    """`accepted`, or the provider's own word for the refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A letter that reached a provider."""

    letter: Letter
    received_at: float
    """Seconds since the epoch."""


def data_detail(data: dict[str, str]) -> str:
    """Write a push's data as a letter's detail."""
    return " ".join(f"{key}={value}" for key, value in sorted(data.items()))
