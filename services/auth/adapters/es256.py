"""ECDSA with P-256 and SHA-256 (ES256, RFC 7518 3.4): key pairs, JSON Web Keys and access tokens."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import lru_cache
from typing import TYPE_CHECKING

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.auth.domain import SigningKey

_COORDINATE_BYTES = 32


class Es256:
    """KeyPairs on P-256. A key's id is its thumbprint (RFC 7638)."""

    def make(self) -> tuple[str, bytes]:
        """A new key pair: its id and its private half in PKCS #8, DER."""
        private = ec.generate_private_key(ec.SECP256R1())
        der = private.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        # RFC 7638 3: the required members in lexicographic order, without white space.
        canonical = json.dumps(_coordinates(private), sort_keys=True, separators=(",", ":")).encode()
        return _text(hashlib.sha256(canonical).digest()), der

    def sign(self, key: SigningKey, claims: Mapping[str, object]) -> str:
        """An access token of the type that RFC 9068 asks for."""
        headers = {"typ": "at+jwt", "kid": key.key_id}
        return jwt.encode(dict(claims), _parsed(key.private), algorithm="ES256", headers=headers)

    def public(self, key: SigningKey) -> dict[str, str]:
        """The public half as a JSON Web Key (RFC 7517)."""
        return {**_coordinates(_parsed(key.private)), "kid": key.key_id, "alg": "ES256", "use": "sig"}


@lru_cache(maxsize=16)
def _parsed(der: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_der_private_key(der, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("a stored signing key is not an elliptic curve key")
    return key


def _coordinates(private: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = private.public_key().public_numbers()
    x, y = (_text(number.to_bytes(_COORDINATE_BYTES, "big")) for number in (numbers.x, numbers.y))
    return {"crv": "P-256", "kty": "EC", "x": x, "y": y}


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
