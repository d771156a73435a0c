"""Which messages FCM takes (firebase.google.com: REST resource projects.messages, ErrorCode)."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING

from services.simulators.fcm.answers import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_PAYLOAD_BYTES = 4096
MAX_TOPIC_PAYLOAD_BYTES = 2048
MAX_TTL_SECONDS = 2_419_200

_OBJECTS: Mapping[str, frozenset[str]] = {
    "message": frozenset(
        {
            "name",
            "data",
            "notification",
            "android",
            "webpush",
            "apns",
            "fcm_options",
            "fcmOptions",
            "fid",
            "token",
            "topic",
            "condition",
        }
    ),
    "notification": frozenset({"title", "body", "image"}),
    "android": frozenset(
        {
            "collapse_key",
            "collapseKey",
            "priority",
            "ttl",
            "restricted_package_name",
            "restrictedPackageName",
            "data",
            "notification",
            "fcm_options",
            "fcmOptions",
            "direct_boot_ok",
            "directBootOk",
            "bandwidth_constrained_ok",
            "bandwidthConstrainedOk",
            "restricted_satellite_ok",
            "restrictedSatelliteOk",
        }
    ),
    "apns": frozenset(
        {
            "headers",
            "payload",
            "fcm_options",
            "fcmOptions",
            "live_activity_token",
            "liveActivityToken",
        }
    ),
    "webpush": frozenset({"headers", "data", "notification", "fcm_options", "fcmOptions"}),
}
_DEVICES = ("fid", "token")
_TARGETS = (*_DEVICES, "topic", "condition")
_TOKEN = re.compile(r"[A-Za-z0-9_:.\-]{8,4096}")
_TOPIC = re.compile(r"[a-zA-Z0-9-_.~%]{1,900}")
_DURATION = re.compile(r"-?\d{1,12}(\.\d{1,9})?s")
_RESERVED = frozenset({"from", "message_type", "gcm"})
_RESERVED_PREFIXES = ("google", "gcm.")


def target(message: Mapping[str, object]) -> str:
    """Whom the message is for: the installation or token, `/topics/NAME`, the condition, or nobody."""
    for kind in _TARGETS:
        value = message.get(kind)
        if isinstance(value, str) and value:
            return f"/topics/{value}" if kind == "topic" else value
    return ""


def schema_violations(message: object) -> list[Violation]:
    """What does not fit the schema: unknown names and wrong types."""
    return list(_schema(message))


def violations(message: Mapping[str, object]) -> list[Violation]:
    """What fits the schema and is wrong all the same."""
    return [*_target_violations(message), *_data_violations(message), *_android_violations(message)]


def oversize(message: Mapping[str, object]) -> bool:
    """Whether the payload for any platform is above FCM's limit, keys and values counted."""
    limit = MAX_TOPIC_PAYLOAD_BYTES if message.get("topic") or message.get("condition") else MAX_PAYLOAD_BYTES
    shared = _size(message.get("data")) + _size(message.get("notification"))
    android = _object(message, "android")
    apns = _object(message, "apns").get("payload")
    webpush = _object(message, "webpush")
    return (
        max(
            shared + _size(android.get("data")) + _size(android.get("notification")),
            len(json.dumps(apns, separators=(",", ":"), ensure_ascii=False).encode()) if apns else 0,
            shared + _size(webpush.get("data")) + _size(webpush.get("notification")),
        )
        > limit
    )


def _schema(message: object) -> Iterator[Violation]:
    if not isinstance(message, dict):
        yield Violation("message", "Invalid value at 'message' (type.googleapis.com/google.firebase.fcm.v1.Message)")
        return
    yield from _unknown_names(message, "message", "message")
    yield from _strings(message.get("data"), "message.data")
    for kind in _TARGETS:
        yield from _string(message.get(kind), f"message.{kind}")
    for kind in ("notification", "android", "apns", "webpush"):
        part = message.get(kind)
        if part is None:
            continue
        path = f"message.{kind}"
        if not isinstance(part, dict):
            yield Violation(path, f"Invalid value at '{path}'")
            continue
        yield from _unknown_names(part, kind, path)
        if kind == "notification":
            for name, value in part.items():
                yield from _string(value, f"{path}.{name}")
        else:
            yield from _strings(part.get("data"), f"{path}.data")
            yield from _strings(part.get("headers"), f"{path}.headers")


def _unknown_names(part: Mapping[str, object], kind: str, path: str) -> Iterator[Violation]:
    for name in part:
        if name not in _OBJECTS[kind]:
            yield Violation(
                path, f"Invalid JSON payload received. Unknown name \"{name}\" at '{path}': Cannot find field."
            )


def _strings(values: object, path: str) -> Iterator[Violation]:
    if values is None:
        return
    if not isinstance(values, dict):
        yield Violation(path, f"Invalid value at '{path}'")
        return
    for index, value in enumerate(values.values()):
        yield from _string(value, f"{path}[{index}].value")


def _string(value: object, path: str) -> Iterator[Violation]:
    if value is not None and not isinstance(value, str):
        yield Violation(path, f"Invalid value at '{path}' (TYPE_STRING), {json.dumps(value)}")


def _target_violations(message: Mapping[str, object]) -> Iterator[Violation]:
    given = [kind for kind in _TARGETS if message.get(kind)]
    if not given:
        yield Violation("message", "Recipient of the message is not set.")
    elif len(given) > 1:
        yield Violation("message", "Exactly one of fid, token, topic or condition is allowed.")
    for kind in _DEVICES:
        device = message.get(kind)
        if isinstance(device, str) and device and not _TOKEN.fullmatch(device):
            yield Violation(f"message.{kind}", "Invalid registration token")
    topic = message.get("topic")
    if isinstance(topic, str) and topic and not _TOPIC.fullmatch(topic):
        yield Violation("message.topic", "Invalid topic name")


def _data_violations(message: Mapping[str, object]) -> Iterator[Violation]:
    for part, path in ((message, "message.data"), (_object(message, "android"), "message.android.data")):
        for key in _object(part, "data"):
            if key in _RESERVED or key.startswith(_RESERVED_PREFIXES):
                yield Violation(path, f"Invalid data payload key: {key}")


def _android_violations(message: Mapping[str, object]) -> Iterator[Violation]:
    android = _object(message, "android")
    ttl = android.get("ttl")
    if ttl is not None:
        if not isinstance(ttl, str) or not _DURATION.fullmatch(ttl):
            yield Violation("message.android.ttl", "Illegal duration format; duration must end with 's'")
        elif not 0 <= Decimal(ttl[:-1]) <= MAX_TTL_SECONDS:
            yield Violation("message.android.ttl", "Invalid TTL: must be from 0 to 2419200 seconds")
    priority = android.get("priority")
    if priority is not None and str(priority).upper() not in {"NORMAL", "HIGH"}:
        yield Violation("message.android.priority", f"Invalid value at 'message.android.priority', {priority!r}")


def _object(part: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = part.get(name)
    return value if isinstance(value, dict) else {}


def _size(part: object) -> int:
    if isinstance(part, dict):
        return sum(len(str(key).encode()) + _size(value) for key, value in part.items())
    if isinstance(part, list):
        return sum(_size(value) for value in part)
    return 0 if part is None else len(str(part).encode())
