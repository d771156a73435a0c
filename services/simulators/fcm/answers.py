"""FCM's answers (firebase.google.com: FCM REST ErrorCode, throttling and quotas; google.rpc details)."""

from __future__ import annotations

from dataclasses import dataclass

from services.simulators.wire.exchange import Response, json_response

_TYPE = "type.googleapis.com/google.rpc."
_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_GATEWAY = (
    b"<!DOCTYPE html>\n<html lang=en>\n<title>Error 502 (Server Error)!!1</title>\n"
    b"<p><b>502.</b> <ins>That\xe2\x80\x99s an error.</ins>\n"
    b"<p>The server encountered a temporary error and could not complete your request.\n"
)


@dataclass(frozen=True, slots=True)
class _Failure:
    """One way to fail; without `code` the answer carries no FcmError."""

    http: int
    status: str
    message: str
    code: bool = True


_FAILURES = {
    "INVALID_ARGUMENT": _Failure(
        400, "INVALID_ARGUMENT", "The registration token is not a valid FCM registration token"
    ),
    "UNREGISTERED": _Failure(404, "NOT_FOUND", "Requested entity was not found."),
    "SENDER_ID_MISMATCH": _Failure(403, "PERMISSION_DENIED", "SenderId mismatch"),
    "THIRD_PARTY_AUTH_ERROR": _Failure(401, "UNAUTHENTICATED", "Auth error from APNS or Web Push Service"),
    "QUOTA_EXCEEDED": _Failure(429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Send requests'."),
    "INTERNAL": _Failure(500, "INTERNAL", "Internal error encountered."),
    "UNAVAILABLE": _Failure(503, "UNAVAILABLE", "The service is currently unavailable."),
    "OVERSIZE": _Failure(400, "INVALID_ARGUMENT", "Request contains an invalid argument.", code=False),
    "UNAUTHENTICATED": _Failure(
        401,
        "UNAUTHENTICATED",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or "
        "other valid authentication credential.",
        code=False,
    ),
    "PERMISSION_DENIED": _Failure(
        403, "PERMISSION_DENIED", "Permission 'cloudmessaging.messages.create' denied.", code=False
    ),
    "NOT_FOUND": _Failure(404, "NOT_FOUND", "Requested entity was not found.", code=False),
}

BAD_GATEWAY = "HTML_502"
"""A load balancer's answer in HTML, where a client expects JSON."""

ERRORS = frozenset((*_FAILURES, BAD_GATEWAY))
"""What a script may name: FCM's errorCodes, the platform's statuses, OVERSIZE and HTML_502."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One invalid field of a message, by the names of the request's JSON."""

    field: str
    description: str


def failure(error: str, *, retry_after_seconds: int | None = None) -> Response:
    """The answer for one of `ERRORS`."""
    headers = {} if retry_after_seconds is None else {"retry-after": str(retry_after_seconds)}
    if error == BAD_GATEWAY:
        return Response(status=502, headers={"content-type": "text/html; charset=UTF-8", **headers}, body=_BAD_GATEWAY)
    kind = _FAILURES[error]
    details: list[dict[str, object]] = []
    if kind.code:
        details.append({"@type": _FCM_ERROR, "errorCode": error})
    if error == "QUOTA_EXCEEDED":
        details.append(
            {
                "@type": f"{_TYPE}QuotaFailure",
                "violations": [{"subject": "project", "description": kind.message}],
            }
        )
    if error == "UNAUTHENTICATED":
        details.append(
            {
                "@type": f"{_TYPE}ErrorInfo",
                "reason": "ACCESS_TOKEN_EXPIRED",
                "domain": "googleapis.com",
            }
        )
        headers["www-authenticate"] = 'Bearer realm="https://accounts.google.com/", error="invalid_token"'
    return json_response(kind.http, _envelope(kind.http, kind.message, kind.status, details), headers)


def invalid(violations: list[Violation], *, code: bool) -> Response:
    """INVALID_ARGUMENT that names every field; with `code` it carries an FcmError as well.

    FCM's front end rejects what does not fit the schema before FCM proper sees it, hence without FcmError.
    """
    details: list[dict[str, object]] = [
        {
            "@type": f"{_TYPE}BadRequest",
            "fieldViolations": [{"field": each.field, "description": each.description} for each in violations],
        }
    ]
    if code:
        details.append({"@type": _FCM_ERROR, "errorCode": "INVALID_ARGUMENT"})
    return json_response(400, _envelope(400, violations[0].description, "INVALID_ARGUMENT", details))


def unparsable(message: str) -> Response:
    """INVALID_ARGUMENT for a body that is no JSON object at all."""
    return json_response(400, _envelope(400, message, "INVALID_ARGUMENT", []))


def sent(name: str) -> Response:
    """The name of an accepted message."""
    return json_response(200, {"name": name})


def _envelope(code: int, message: str, status: str, details: list[dict[str, object]]) -> dict[str, dict[str, object]]:
    error: dict[str, object] = {"code": code, "message": message, "status": status}
    if details:
        error["details"] = details
    return {"error": error}
