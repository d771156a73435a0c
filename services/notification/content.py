"""Which content is valid, channel by channel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from clarion.type.v1 import Content, EmailContent, PushContent

    from services.runtime.validation import Violations

MAX_PUSH_BYTES: Final = 4096
MAX_TEXT_BYTES, MAX_HTML_BYTES = 64 * 1024, 256 * 1024
MAX_DATA_KEYS: Final = 100
_MAX_SHOWN_KEY: Final = 64
_RESERVED_KEYS: Final = frozenset({"from", "message_type", "gcm"})
_RESERVED_PREFIXES: Final = ("google", "gcm.", "aps")
_SURELY_SMALL: Final = 1_900
"""Encoded as JSON a byte takes two at most: what is smaller than this needs no exact look."""


def check_content(violations: Violations, content: Content) -> None:
    """At least one channel, and each one whole."""
    if not (content.HasField("push") or content.HasField("sms") or content.HasField("email")):
        violations.add("content", "give content for at least one channel")
    if content.HasField("push"):
        _check_push(violations, content.push)
    if content.HasField("sms"):
        violations.text("content.sms.body", content.sms.body, least=1, most=1600)
    if content.HasField("email"):
        _check_email(violations, content.email)


def _check_push(violations: Violations, push: PushContent) -> None:
    if not (push.title or push.body or push.data):
        violations.add("content.push", "needs a title, a body or data")
    violations.text("content.push.title", push.title, most=256)
    violations.text("content.push.body", push.body, most=2048)
    violations.text("content.push.sound", push.sound, most=128, one_line=True)
    violations.text("content.push.image_url", push.image_url, most=2048, one_line=True)
    if push.image_url and not push.image_url.startswith("https://"):
        violations.add("content.push.image_url", "must be an https:// address")
    if push.HasField("badge") and push.badge < 0:
        violations.add("content.push.badge", "must be 0 or more")
    if violations.count("content.push.data", len(push.data), least=0, most=MAX_DATA_KEYS):
        _check_data(violations, push)
    if push.ByteSize() > _SURELY_SMALL and _encoded_size(push) > MAX_PUSH_BYTES:
        violations.add("content.push", f"must be at most {MAX_PUSH_BYTES} bytes once it is encoded")


def _check_data(violations: Violations, push: PushContent) -> None:
    for key, value in push.data.items():
        shown = key if len(key) <= _MAX_SHOWN_KEY and key.isprintable() else "?"
        field = f"content.push.data[{shown}]"
        if not key:
            violations.add(field, "a key must not be empty")
        elif key in _RESERVED_KEYS or key.startswith(_RESERVED_PREFIXES):
            violations.add(field, "this key is reserved by a provider")
        else:
            violations.text(field, key, most=MAX_PUSH_BYTES, one_line=True)
        violations.size(field, value, most_bytes=MAX_PUSH_BYTES)


def _encoded_size(push: PushContent) -> int:
    shown = {"title": push.title, "body": push.body, "image": push.image_url, "sound": push.sound}
    payload = {"notification": shown, "data": dict(push.data)}
    return len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode())


def _check_email(violations: Violations, email: EmailContent) -> None:
    violations.text("content.email.subject", email.subject, least=1, most=255, one_line=True)
    violations.size("content.email.text", email.text, most_bytes=MAX_TEXT_BYTES)
    violations.size("content.email.html", email.html, most_bytes=MAX_HTML_BYTES)
    if not (email.text or email.html):
        violations.add("content.email", "needs text or HTML")
