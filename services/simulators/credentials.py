"""What a client of a peer presents, and what the peer keeps to check it."""

from __future__ import annotations

import base64
import secrets
from typing import Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import BaseModel, ConfigDict, Field, field_validator

_PKCS8 = (
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)


class _Registered(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _require_key(pem: str, kind: type[rsa.RSAPublicKey] | type[ec.EllipticCurvePublicKey], name: str) -> str:
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except ValueError as exc:
        raise ValueError("not a public key in PEM") from exc
    if not isinstance(key, kind):
        raise ValueError(f"not {name} public key")  # noqa: TRY004 - pydantic reports ValueError
    return pem


class FcmProject(_Registered):
    """A Firebase project and the service account that may send for it."""

    project_id: str = Field(pattern=r"^[a-z][a-z0-9-]{2,62}$")
    client_email: str = Field(min_length=3, max_length=320)
    public_key: str = Field(max_length=8192, description="RSA public key in PEM")
    key_id: str | None = Field(default=None, max_length=128)
    token_lifetime_seconds: int = Field(default=3600, ge=1, le=43_200)

    @field_validator("public_key")
    @classmethod
    def _rsa(cls, pem: str) -> str:
        return _require_key(pem, rsa.RSAPublicKey, "an RSA")


class ApnsTeam(_Registered):
    """An Apple developer team: its signing keys by id, and the topics it may push to."""

    team_id: str = Field(min_length=1, max_length=64)
    keys: dict[str, str] = Field(min_length=1, max_length=16, description="key id to EC public key in PEM")
    topics: tuple[str, ...] = Field(default=(), max_length=256, description="none means any topic")
    token_update_seconds: float = Field(default=1200.0, ge=0, description="0 lets tokens change freely")

    @field_validator("keys")
    @classmethod
    def _ec(cls, keys: dict[str, str]) -> dict[str, str]:
        for pem in keys.values():
            _require_key(pem, ec.EllipticCurvePublicKey, "an EC")
        return keys


class SmsAccount(_Registered):
    """An account of the SMS gateway; with `numbers`, only those may be senders."""

    account_sid: str = Field(pattern=r"^AC[0-9a-f]{32}$")
    auth_token: str = Field(min_length=1, max_length=128, repr=False)
    numbers: tuple[str, ...] = Field(default=(), max_length=256)

    @classmethod
    def generate(cls, *, number: str) -> Self:
        """A new account that owns one sending number."""
        return cls(account_sid=f"AC{secrets.token_hex(16)}", auth_token=secrets.token_hex(16), numbers=(number,))

    def authorization(self) -> str:
        """The Authorization header that proves this account (RFC 7617)."""
        return f"Basic {base64.b64encode(f'{self.account_sid}:{self.auth_token}'.encode()).decode()}"


class SmtpAccount(_Registered):
    """A submission account of the mail server."""

    username: str = Field(min_length=1, max_length=320)
    password: str = Field(min_length=1, max_length=256, repr=False)

    @classmethod
    def generate(cls, *, username: str) -> Self:
        """A new account with a password that nobody guesses."""
        return cls(username=username, password=secrets.token_urlsafe(18))


class Credentials(_Registered):
    """The credentials file: what each peer registers at its start."""

    fcm: tuple[FcmProject, ...] = ()
    apns: tuple[ApnsTeam, ...] = ()
    sms: tuple[SmsAccount, ...] = ()
    smtp: tuple[SmtpAccount, ...] = ()


class ServiceAccount(_Registered):
    """The client's side of an FCM project: Google's service account with its private key."""

    project_id: str
    client_email: str
    key_id: str
    private_key: str = Field(repr=False)
    public_key: str

    @classmethod
    def generate(cls, *, project_id: str) -> Self:
        """A new account with an RSA key of 2048 bits, as Google issues them."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return cls(
            project_id=project_id,
            client_email=f"clarion@{project_id}.iam.gserviceaccount.com",
            key_id=secrets.token_hex(20),
            private_key=key.private_bytes(*_PKCS8).decode(),
            public_key=_public_pem(key.public_key()),
        )

    def project(self) -> FcmProject:
        """What the FCM peer registers for this account."""
        return FcmProject(
            project_id=self.project_id,
            client_email=self.client_email,
            public_key=self.public_key,
            key_id=self.key_id,
        )

    def google_json(self, *, token_uri: str) -> dict[str, str]:
        """The fields of the file that Google hands out."""
        return {
            "type": "service_account",
            "project_id": self.project_id,
            "private_key_id": self.key_id,
            "private_key": self.private_key,
            "client_email": self.client_email,
            "client_id": "100000000000000000001",
            "token_uri": token_uri,
        }


class ApnsKey(_Registered):
    """The client's side of an Apple team: one token-signing key (a .p8 file) for one app."""

    team_id: str
    key_id: str
    topic: str
    private_key: str = Field(repr=False)
    public_key: str

    @classmethod
    def generate(cls, *, team_id: str, key_id: str, topic: str) -> Self:
        """A new P-256 key, as Apple issues them."""
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(
            team_id=team_id,
            key_id=key_id,
            topic=topic,
            private_key=key.private_bytes(*_PKCS8).decode(),
            public_key=_public_pem(key.public_key()),
        )

    def team(self) -> ApnsTeam:
        """What the APNs peer registers for this key; the app's VoIP topic is included."""
        return ApnsTeam(
            team_id=self.team_id,
            keys={self.key_id: self.public_key},
            topics=(self.topic, f"{self.topic}.voip"),
        )


def _public_pem(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
