"""Which requests APNs takes, and its reasons against the others.

developer.apple.com: "Sending notification requests to APNs", "Handling notification responses from APNs".
"""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.simulators.wire.exchange import Request

REASONS: Mapping[str, int] = {
    "BadCollapseId": 400,
    "BadDeviceToken": 400,
    "BadExpirationDate": 400,
    "BadMessageId": 400,
    "BadPriority": 400,
    "BadTopic": 400,
    "DeviceTokenNotForTopic": 400,
    "DuplicateHeaders": 400,
    "IdleTimeout": 400,
    "InvalidPushType": 400,
    "MissingDeviceToken": 400,
    "MissingTopic": 400,
    "PayloadEmpty": 400,
    "TopicDisallowed": 400,
    "BadCertificate": 403,
    "BadCertificateEnvironment": 403,
    "BadEnvironmentKeyIdInToken": 403,
    "ExpiredProviderToken": 403,
    "Forbidden": 403,
    "InvalidProviderToken": 403,
    "MissingProviderToken": 403,
    "UnrelatedKeyIdInToken": 403,
    "BadPath": 404,
    "MethodNotAllowed": 405,
    "ExpiredToken": 410,
    "Unregistered": 410,
    "PayloadTooLarge": 413,
    "TooManyProviderTokenUpdates": 429,
    "TooManyRequests": 429,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
    "Shutdown": 503,
}
"""Every reason that Apple lists, with its status."""

MAX_PAYLOAD_BYTES = 4096
MAX_VOIP_PAYLOAD_BYTES = 5120
MAX_COLLAPSE_ID_BYTES = 64

_PATH = re.compile(r"/3/device/([^/]*)")
_TOKEN = re.compile(r"(?:[0-9a-fA-F]{2}){32,100}")
_TOPIC = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-_]{0,254}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SECONDS = re.compile(r"\d{1,15}")
_PRIORITIES = frozenset({"10", "5", "1"})
_PUSH_TYPES = frozenset({
    "alert", "background", "location", "voip", "complication", "fileprovider", "mdm", "liveactivity",
    "pushtotalk", "widgets", "controls",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A request by its parts; `apns_id` is the sender's, or a new one where that is missing or malformed."""

    token: str
    apns_id: str
    topic: str | None
    push_type: str | None
    priority: str | None
    expiration: str | None
    collapse_id: str | None

    @classmethod
    def of(cls, request: Request) -> Push:
        """Take a request apart, right or wrong."""
        path = _PATH.fullmatch(request.path)
        own_id = request.header("apns-id")
        return cls(
            token=path.group(1) if path else "",
            apns_id=own_id if own_id and _UUID.fullmatch(own_id) else str(uuid.uuid4()).upper(),
            topic=request.header("apns-topic"),
            push_type=request.header("apns-push-type"),
            priority=request.header("apns-priority"),
            expiration=request.header("apns-expiration"),
            collapse_id=request.header("apns-collapse-id"),
        )


def route_reason(request: Request) -> str | None:
    """What is wrong with method or path."""
    if request.method != "POST":
        return "MethodNotAllowed"
    path = _PATH.fullmatch(request.path)
    if path is None:
        return "BadPath"
    return None if path.group(1) else "MissingDeviceToken"


def header_reason(push: Push, request: Request) -> str | None:
    """What is wrong with the headers, the token included."""
    own_id = request.header("apns-id")
    background = push.push_type == "background"
    wrong = {
        "DuplicateHeaders": _repeats(request),
        "BadMessageId": own_id is not None and own_id.lower() != push.apns_id.lower(),
        "InvalidPushType": push.push_type is not None and push.push_type not in _PUSH_TYPES,
        "BadExpirationDate": push.expiration is not None and not _SECONDS.fullmatch(push.expiration),
        # A background push must not be urgent.
        "BadPriority": push.priority is not None
        and (push.priority not in _PRIORITIES or (background and push.priority == "10")),
        "BadCollapseId": push.collapse_id is not None
        and len(push.collapse_id.encode("latin-1")) > MAX_COLLAPSE_ID_BYTES,
        "MissingTopic": push.topic is None,
        "BadTopic": push.topic is not None and not _TOPIC.fullmatch(push.topic),
        "BadDeviceToken": not _TOKEN.fullmatch(push.token),
    }
    return next((reason for reason, holds in wrong.items() if holds), None)


def payload_reason(push: Push, body: bytes) -> str | None:
    """What is wrong with the payload."""
    limit = MAX_VOIP_PAYLOAD_BYTES if push.push_type == "voip" else MAX_PAYLOAD_BYTES
    if len(body) > limit:
        return "PayloadTooLarge"
    return None if payload(body) else "PayloadEmpty"


def payload(body: bytes) -> dict[str, object] | None:
    """The payload, if it is a JSON object."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _repeats(request: Request) -> bool:
    named = Counter(name for name, _ in request.headers if name == "authorization" or name.startswith("apns-"))
    return any(times > 1 for times in named.values())
