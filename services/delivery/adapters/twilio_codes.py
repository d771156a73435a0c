"""Twilio's error codes (twilio.com: error dictionary), and what silence means.

Twilio knows no idempotency key, so a request whose answer is lost may have been sent, and a second one would reach
the phone again and cost again: such a message fails as UNCONFIRMED. Where the request cannot have arrived (no
connection) or Twilio says that it was not processed (429, 5xx), it is tried again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.delivery.adapters.meaning import (
    PROVIDER_ERROR,
    THROTTLED,
    UNCONFIRMED,
    WRONG_CREDENTIALS,
    Meaning,
    rejected,
    transient,
)
from services.delivery.domain import Outcome, Verdict

if TYPE_CHECKING:
    from services.delivery.adapters.http import Answer

_INVALID_ADDRESS = rejected("INVALID_ADDRESS")
_NOT_REACHABLE = rejected("NOT_REACHABLE")
_SENDER = rejected("WRONG_SENDER")
_INVALID = rejected("INVALID_MESSAGE")
_QUEUE_FULL = transient("PROVIDER_QUEUE_FULL", wait=30.0)

BY_CODE: Final[dict[int, Meaning]] = {
    20003: WRONG_CREDENTIALS,
    20404: WRONG_CREDENTIALS,  # no such account
    20429: THROTTLED,
    20500: PROVIDER_ERROR,
    20503: PROVIDER_ERROR,
    21211: _INVALID_ADDRESS,
    21212: _SENDER,
    21408: _NOT_REACHABLE,
    21602: _INVALID,
    21603: _SENDER,
    21604: _INVALID_ADDRESS,
    21606: _SENDER,
    21608: _NOT_REACHABLE,
    21609: _INVALID,
    21610: rejected("OPTED_OUT"),
    21611: _QUEUE_FULL,
    21612: _NOT_REACHABLE,
    21614: rejected("NOT_MOBILE"),
    21617: rejected("TOO_LARGE"),
    30001: _QUEUE_FULL,
    30002: WRONG_CREDENTIALS,  # the account is suspended
    30003: _NOT_REACHABLE,
    30004: rejected("BLOCKED"),
    30005: _NOT_REACHABLE,
    30006: _NOT_REACHABLE,
    30007: rejected("FILTERED"),
    30008: rejected("PROVIDER_REFUSED"),
    30036: rejected("EXPIRED"),
}
BY_STATUS: Final[dict[int, Meaning]] = {
    401: WRONG_CREDENTIALS,
    403: WRONG_CREDENTIALS,
    429: THROTTLED,
    504: UNCONFIRMED,
}
_FAILED_STATES = frozenset({"failed", "undelivered"})


def read(answer: Answer) -> Outcome:
    """What an answer means, 201 included: a message that was taken may already have failed."""
    body = answer.parsed()
    if answer.status in (200, 201):
        return _taken(body)
    code = _integer(body.get("code"))
    meaning = BY_CODE.get(code) or BY_STATUS.get(answer.status)
    if meaning is None:
        meaning = _INVALID if 400 <= answer.status < 500 else PROVIDER_ERROR
    return meaning.outcome(str(code) if code else f"HTTP_{answer.status}", retry_after=answer.retry_after)


def _taken(body: dict[str, object]) -> Outcome:
    sid, code = str(body.get("sid") or "")[:64], _integer(body.get("error_code"))
    if body.get("status") in _FAILED_STATES:
        return BY_CODE.get(code, rejected("PROVIDER_REFUSED")).outcome(str(code or body["status"]))
    return Outcome(verdict=Verdict.ACCEPTED, provider_message_id=sid)


def _integer(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
