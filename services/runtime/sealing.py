"""Secrets at rest: AES-256-GCM with the key that all replicas share (NIST SP 800-38D)."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.runtime.errors import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.runtime.settings import SealingSettings

_VERSION = b"\x01"
_NONCE_BYTES, _TAG_BYTES = 12, 16


class Sealer:
    """Encrypts what is stored and must be read again, such as credentials and private keys.

    A sealed value is a version byte, a nonce of 12 bytes, the ciphertext and a tag of 16 bytes.
    """

    def __init__(
        self, settings: SealingSettings, *, random_bytes: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        """The settings have checked the key."""
        self._cipher = AESGCM(base64.b64decode(settings.credential_key.get_secret_value()))
        self._random_bytes = random_bytes

    def seal(self, secret: bytes, context: bytes) -> bytes:
        """The secret, encrypted. `context` says what it belongs to, such as the id of its document; it is not stored,
        and the same must be given to open it, so that a sealed value cannot be moved elsewhere."""
        nonce = self._random_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, secret, _VERSION + context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """The secret.

        Raises PreconditionFailed if it was sealed with another key or for another context, or was altered.
        """
        nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        if sealed[:1] == _VERSION and len(ciphertext) >= _TAG_BYTES:
            try:
                return self._cipher.decrypt(nonce, ciphertext, _VERSION + context)
            except InvalidTag as exc:
                raise _refusal() from exc
        raise _refusal()


def _refusal() -> PreconditionFailed:
    return PreconditionFailed(
        "a stored secret cannot be opened: it was sealed with another CLARION_CREDENTIAL_KEY",
        reason="SEALED_WITH_ANOTHER_KEY",
    )
