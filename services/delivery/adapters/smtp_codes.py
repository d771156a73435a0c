"""SMTP's replies (RFC 5321 4.2, RFC 3463): the enhanced code where there is one, else the basic one.

A connection lost after the final dot is ambiguous. RFC 5321 6.1 has the sender try again, for a mail twice is
better than none; it bears the same Message-ID, by which mailboxes tell that they have it.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from services.delivery.adapters.meaning import PROVIDER_ERROR, WRONG_CREDENTIALS, Meaning, rejected, transient

if TYPE_CHECKING:
    from services.delivery.domain import Outcome


class Stage(Enum):
    """How far a transaction came."""

    CONNECT = auto()
    """Greeting, EHLO and STARTTLS."""
    AUTH = auto()
    MAIL = auto()
    RCPT = auto()
    DATA = auto()


_ADDRESS_UNKNOWN = rejected("ADDRESS_UNKNOWN")
_POLICY = rejected("POLICY")

BY_ENHANCED: Final[dict[str, Meaning]] = {
    "5.1.1": _ADDRESS_UNKNOWN,
    "5.1.2": _ADDRESS_UNKNOWN,
    "5.1.3": _ADDRESS_UNKNOWN,
    "5.1.6": _ADDRESS_UNKNOWN,
    "5.1.10": _ADDRESS_UNKNOWN,
    "5.2.1": rejected("MAILBOX_DISABLED"),
    "5.2.2": transient("MAILBOX_FULL", wait=900.0),  # soft: people empty mailboxes
    "5.2.3": rejected("TOO_LARGE"),
    "5.3.4": rejected("TOO_LARGE"),
    "5.7.1": _POLICY,
}
BY_CODE: Final[dict[int, Meaning]] = {
    421: transient("PROVIDER_CLOSING"),
    450: transient("MAILBOX_BUSY", wait=60.0),  # greylisting asks for minutes
    452: transient("PROVIDER_STORAGE"),
    530: WRONG_CREDENTIALS,
    534: WRONG_CREDENTIALS,
    535: WRONG_CREDENTIALS,
    538: WRONG_CREDENTIALS,
    550: rejected("MAILBOX_REFUSED"),
    552: rejected("TOO_LARGE"),
    553: _ADDRESS_UNKNOWN,
}
_ENHANCED = re.compile(r"\s*([45]\.\d{1,3}\.\d{1,3})\b")


def read(stage: Stage, code: int, text: str) -> Outcome:
    """What a reply other than success means."""
    found = _ENHANCED.match(text)
    enhanced = found.group(1) if found else ""
    return _meaning(stage, code, enhanced).outcome(f"{code} {enhanced}".strip())


def _meaning(stage: Stage, code: int, enhanced: str) -> Meaning:
    if stage is Stage.AUTH and code >= 500:
        return WRONG_CREDENTIALS
    if 400 <= code < 500:
        return BY_CODE.get(code, PROVIDER_ERROR)
    if stage is Stage.CONNECT:
        return PROVIDER_ERROR  # refused before anything was said of this message
    if stage is Stage.MAIL and code not in (530, 535):
        return rejected("SENDER_REFUSED")
    if enhanced in BY_ENHANCED:
        return BY_ENHANCED[enhanced]
    if enhanced.startswith("5.7."):
        return BY_CODE.get(code, _POLICY) if code in (530, 534, 535, 538) else _POLICY
    return BY_CODE.get(code, rejected("REFUSED")) if 500 <= code < 600 else PROVIDER_ERROR
