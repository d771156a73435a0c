"""A mail taken apart (RFC 5322, MIME), so that a test reads its headers and bodies."""

from __future__ import annotations

from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

_PARSER = BytesParser(policy=policy.default)


def parsed(raw: bytes) -> dict[str, object]:
    """Headers in order, text and HTML bodies, attachments by name and size, and the size in bytes.

    What cannot be parsed yields `malformed` and the size alone.
    """
    try:
        message = _PARSER.parsebytes(raw)
        headers = [[name, str(value)] for name, value in message.items()]
        bodies = {
            "text": _body(message, "plain"),
            "html": _body(message, "html"),
            "attachments": [_attachment(part) for part in message.iter_attachments()],
        }
    except (ValueError, LookupError, AttributeError, TypeError):
        # The standard library's parser has no error of its own for what a sender may get wrong.
        return {"malformed": True, "size": len(raw)}
    return {"headers": headers, **bodies, "size": len(raw)}


def _body(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body((kind,))
    return _text(part) if isinstance(part, EmailMessage) else None


def _attachment(part: EmailMessage) -> dict[str, object]:
    payload = part.get_payload(decode=True)
    return {
        "filename": part.get_filename(),
        "content_type": part.get_content_type(),
        "size": len(payload) if isinstance(payload, bytes) else 0,
    }


def _text(part: EmailMessage) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    try:
        return payload.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:
        return payload.decode("latin-1")
