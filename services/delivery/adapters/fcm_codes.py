"""FCM's error codes (firebase.google.com: REST ErrorCode; throttling and quotas).

`details[].errorCode` of an FcmError is what counts, not `status`: gone is errorCode UNREGISTERED, while a bare
NOT_FOUND is a wrong project and says nothing of the token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.delivery.adapters.meaning import (
    PROVIDER_ERROR,
    WRONG_CREDENTIALS,
    Meaning,
    gone,
    rejected,
    transient,
)

if TYPE_CHECKING:
    from services.delivery.adapters.http import Answer
    from services.delivery.domain import Outcome

QUOTA_WAIT_SECONDS: Final = 60.0
LEAST_WAIT_SECONDS: Final = 10.0
_ERROR_TYPE = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST_TYPE = "type.googleapis.com/google.rpc.BadRequest"
_UNAVAILABLE = transient("PROVIDER_ERROR", wait=LEAST_WAIT_SECONDS)

BY_ERROR_CODE: Final[dict[str, Meaning]] = {
    "UNREGISTERED": gone(),
    "INVALID_ARGUMENT": rejected("INVALID_MESSAGE"),
    "SENDER_ID_MISMATCH": rejected("SENDER_MISMATCH"),
    "THIRD_PARTY_AUTH_ERROR": WRONG_CREDENTIALS,
    "QUOTA_EXCEEDED": transient("THROTTLED", wait=QUOTA_WAIT_SECONDS),
    "INTERNAL": _UNAVAILABLE,
    "UNAVAILABLE": _UNAVAILABLE,
}
BY_STATUS: Final[dict[int, Meaning]] = {
    400: rejected("INVALID_MESSAGE"),  # oversize may carry no details
    401: WRONG_CREDENTIALS,
    403: WRONG_CREDENTIALS,
    404: transient("PROVIDER_CONFIGURATION", wait=60.0),
    413: rejected("TOO_LARGE"),
    429: transient("THROTTLED", wait=QUOTA_WAIT_SECONDS),
}
INVALID_TOKEN: Final = gone("INVALID_TOKEN")
UNAUTHENTICATED: Final = "UNAUTHENTICATED"
"""Our access token is not taken (any more)."""


def read(answer: Answer) -> Outcome:
    """What an answer other than 200 means."""
    error = _error(answer)
    status, codes, bad_fields = str(error.get("status", ""))[:64], *_details(error)
    code = codes[0] if codes else status or f"HTTP_{answer.status}"
    if codes and codes[0] in BY_ERROR_CODE:
        meaning = BY_ERROR_CODE[codes[0]]
        if codes[0] == "INVALID_ARGUMENT" and _blames_token(bad_fields, str(error.get("message", ""))):
            meaning = INVALID_TOKEN
    elif answer.status >= 500:
        meaning = _UNAVAILABLE
    else:
        meaning = BY_STATUS.get(answer.status, rejected("INVALID_MESSAGE") if answer.status >= 400 else PROVIDER_ERROR)
    return meaning.outcome(code, retry_after=answer.retry_after)


def _error(answer: Answer) -> dict[str, object]:
    error = answer.parsed().get("error")  # a 502 may be HTML
    return error if isinstance(error, dict) else {}


def _details(error: dict[str, object]) -> tuple[list[str], set[str]]:
    """FCM's own codes and the fields that it blames."""
    codes: list[str] = []
    fields: set[str] = set()
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, dict):
            continue
        if detail.get("@type") == _ERROR_TYPE:
            codes.append(str(detail.get("errorCode", ""))[:64])
        violations = detail.get("fieldViolations") if detail.get("@type") == _BAD_REQUEST_TYPE else None
        for violation in violations if isinstance(violations, list) else ():
            if isinstance(violation, dict):
                fields.add(str(violation.get("field", "")))
    return codes, fields


def _blames_token(fields: set[str], message: str) -> bool:
    return fields == {"message.token"} or (not fields and "not a valid FCM registration token" in message)
