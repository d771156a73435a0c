"""APNs' reasons (developer.apple.com: Handling notification responses from APNs).

Only a 410 says that a token is dead. BadDeviceToken may mean the wrong environment, DeviceTokenNotForTopic the
wrong topic: those fail the message and leave the token alone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from services.delivery.adapters.meaning import (
    PROVIDER_ERROR,
    THROTTLED,
    WRONG_CREDENTIALS,
    Meaning,
    gone,
    rejected,
)
from services.delivery.domain import Verdict

if TYPE_CHECKING:
    from services.delivery.adapters.http import Answer
    from services.delivery.domain import Outcome

_INVALID = rejected("INVALID_MESSAGE")
_TOPIC = rejected("WRONG_TOPIC")

BY_REASON: Final[dict[str, Meaning]] = {
    "BadDeviceToken": rejected("BAD_TOKEN"),
    "DeviceTokenNotForTopic": rejected("TOKEN_NOT_FOR_TOPIC"),
    "MissingDeviceToken": rejected("BAD_TOKEN"),
    "BadTopic": _TOPIC,
    "MissingTopic": _TOPIC,
    "TopicDisallowed": _TOPIC,
    "BadCollapseId": _INVALID,
    "BadExpirationDate": _INVALID,
    "BadMessageId": _INVALID,
    "BadPriority": _INVALID,
    "InvalidPushType": _INVALID,
    "PayloadEmpty": _INVALID,
    "DuplicateHeaders": _INVALID,
    "BadPath": _INVALID,
    "MethodNotAllowed": _INVALID,
    "PayloadTooLarge": rejected("TOO_LARGE"),
    "IdleTimeout": PROVIDER_ERROR,  # the connection's fault
    "InvalidProviderToken": WRONG_CREDENTIALS,
    "MissingProviderToken": WRONG_CREDENTIALS,
    "ExpiredProviderToken": PROVIDER_ERROR,  # renewed at once, so the next attempt fares better
    "UnrelatedKeyIdInToken": WRONG_CREDENTIALS,
    "BadEnvironmentKeyIdInToken": WRONG_CREDENTIALS,
    "Forbidden": WRONG_CREDENTIALS,
    "BadCertificate": WRONG_CREDENTIALS,
    "BadCertificateEnvironment": WRONG_CREDENTIALS,
    "Unregistered": gone(),
    "ExpiredToken": gone(),
    "TooManyRequests": THROTTLED,
    "TooManyProviderTokenUpdates": THROTTLED,
    "InternalServerError": PROVIDER_ERROR,
    "ServiceUnavailable": PROVIDER_ERROR,
    "Shutdown": PROVIDER_ERROR,
}
BY_STATUS: Final[dict[int, Meaning]] = {
    403: WRONG_CREDENTIALS,
    410: gone(),
    413: rejected("TOO_LARGE"),
    429: THROTTLED,
}
TOKEN_TROUBLE: Final = frozenset({"ExpiredProviderToken", "TooManyProviderTokenUpdates"})
"""Our provider token is not the one to use now."""


def read(answer: Answer) -> Outcome:
    """What an answer other than 200 means."""
    body = answer.parsed()
    reason = str(body.get("reason", ""))[:64]
    meaning = BY_REASON.get(reason) or BY_STATUS.get(answer.status)
    if meaning is None:
        meaning = _INVALID if 400 <= answer.status < 500 else PROVIDER_ERROR
    return meaning.outcome(
        reason or f"HTTP_{answer.status}",
        retry_after=answer.retry_after,
        gone_at=_moment(body.get("timestamp")) if meaning.verdict is Verdict.GONE else None,
    )


def _moment(milliseconds: object) -> datetime | None:
    if not isinstance(milliseconds, int | float) or isinstance(milliseconds, bool):
        return None
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    except (OverflowError, ValueError):
        return None
