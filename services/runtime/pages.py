"""Page tokens: signed, so that a made-up one is refused, and bound to who asked for what."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

from services.runtime.errors import InvalidInput, Violation

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from services.runtime.settings import PageSettings

_MAC_BYTES = 16
MAX_TOKEN_CHARS = 1024


class PageTokens:
    """Signs and opens page tokens."""

    def __init__(self, settings: PageSettings) -> None:
        """The key is the same in every replica."""
        self._key = settings.page_token_key.get_secret_value().encode()

    def sign(self, cursor: str, *, tenant: str, request: Message) -> str:
        """A token for the page after `cursor` of what this request of this tenant asks for."""
        raw = cursor.encode()
        return base64.urlsafe_b64encode(self._mac(raw, tenant, request) + raw).decode().rstrip("=")

    def open(self, token: str, *, tenant: str, request: Message) -> str:
        """The cursor inside; '' for the first page.

        Raises InvalidInput if the token was not signed here, for another tenant, or for other filters.
        """
        if not token:
            return ""
        try:
            data = base64.urlsafe_b64decode(token[:MAX_TOKEN_CHARS].encode("ascii") + b"===")
        except (binascii.Error, UnicodeEncodeError):
            data = b""
        mac, raw = data[:_MAC_BYTES], data[_MAC_BYTES:]
        if len(mac) < _MAC_BYTES or not hmac.compare_digest(mac, self._mac(raw, tenant, request)):
            raise InvalidInput([Violation("page_token", "was not given for this request; start again without one")])
        return raw.decode()

    def _mac(self, cursor: bytes, tenant: str, request: Message) -> bytes:
        query = type(request)()
        query.CopyFrom(request)
        for paging in ("page_token", "page_size"):
            query.ClearField(paging)
        scope = f"{request.DESCRIPTOR.full_name}\0{tenant}\0".encode() + query.SerializeToString(deterministic=True)
        return hmac.digest(self._key, hashlib.sha256(scope).digest() + cursor, "sha256")[:_MAC_BYTES]
