"""Provider accounts: one app's credentials at one provider, and what can be wrong with them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from services.delivery.message import ProviderName

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FcmCredentials:
    """A service account of a Firebase project; `service_account_json` is its key file."""

    project_id: str
    service_account_json: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApnsCredentials:
    """A token-signing key of an Apple team, for one app."""

    team_id: str
    key_id: str
    topic: str
    sandbox: bool
    signing_key_pem: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TwilioCredentials:
    """An account of the SMS gateway and the sender it may use."""

    account_sid: str
    sender: str
    auth_token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpCredentials:
    """A submission account; without a host it is one of the installation's relay."""

    host: str
    port: int
    username: str = field(repr=False)
    from_address: str = field(repr=False)
    from_name: str = field(repr=False)
    password: str = field(repr=False)


Credentials = FcmCredentials | ApnsCredentials | TwilioCredentials | SmtpCredentials
SECRETS: Final[dict[type[Credentials], str]] = {
    FcmCredentials: "service_account_json",
    ApnsCredentials: "signing_key_pem",
    TwilioCredentials: "auth_token",
    SmtpCredentials: "password",
}
"""Which field is sealed where it is stored, and never given out again."""
KINDS: Final[dict[ProviderName, type[Credentials]]] = {
    ProviderName.FCM: FcmCredentials,
    ProviderName.APNS: ApnsCredentials,
    ProviderName.TWILIO: TwilioCredentials,
    ProviderName.SMTP: SmtpCredentials,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One tenant's credentials at one provider. `version` differs between two accounts that bore the same id."""

    tenant: str
    account_id: str
    version: str
    app: str
    credentials: Credentials
    created_at: datetime

    @property
    def provider(self) -> ProviderName:
        """Whose credentials these are."""
        return next(name for name, kind in KINDS.items() if isinstance(self.credentials, kind))

    @property
    def key(self) -> tuple[str, str, str]:
        """Tells it from every other account there ever was."""
        return (self.tenant, self.account_id, self.version)


MAX_SECRET_CHARS: Final = 16_384
_ACCOUNT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_APP = re.compile(r"[A-Za-z0-9._-]{1,100}")
_PROJECT = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
_APPLE_ID = re.compile(r"[A-Z0-9]{10}")
_TOPIC = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,254}")
_SID = re.compile(r"AC[0-9a-f]{32}")
_AUTH_TOKEN = re.compile(r"[\x21-\x7e]{8,128}")
_SENDER = re.compile(r"\+[1-9][0-9]{6,14}|(?=.*[A-Za-z])[A-Za-z0-9]{1,11}")
_HOST = re.compile(r"(?=.{4,253}$)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}")
_ONE_LINE = re.compile(r"[^\x00-\x1f\x7f\x85\u2028\u2029]*")
_PRIVATE_SUFFIXES = (".local", ".localhost", ".internal", ".lan", ".home", ".svc", ".arpa")
_SUBMISSION_PORTS = frozenset({25, 465, 587, 2525})
Wrong = tuple[str, str]
"""A field's path below the account, and what to do about it."""


def wrong_with(account_id: str, app: str, credentials: Credentials | None) -> Iterator[Wrong]:
    """Every offending field of an account (but the form of an email address, which is checked by the caller)."""
    if not _ACCOUNT_ID.fullmatch(account_id):
        yield "provider_account_id", "must be 1 to 64 letters, digits, '.', '_' or '-'"
    pushes = isinstance(credentials, FcmCredentials | ApnsCredentials)
    if pushes and not _APP.fullmatch(app):
        yield "app", "must be the app's 1 to 100 letters, digits, '.', '_' or '-'"
    if credentials is not None and not pushes and app:
        yield "app", "must be empty for SMS and email"
    match credentials:
        case FcmCredentials():
            yield from _fcm(credentials)
        case ApnsCredentials():
            yield from _apns(credentials)
        case TwilioCredentials():
            yield from _twilio(credentials)
        case SmtpCredentials():
            yield from _smtp(credentials)
        case None:
            yield "credentials", "one of fcm, apns, twilio or smtp is required"


def _fcm(given: FcmCredentials) -> Iterator[Wrong]:
    if not _PROJECT.fullmatch(given.project_id):
        yield "fcm.project_id", "must be a Firebase project id"
    if not _is_service_account(given.service_account_json):
        yield (
            "fcm.service_account_json",
            "must be a service account's key file: JSON with client_email and private_key, an RSA key in PEM",
        )


def _is_service_account(text: str) -> bool:
    if len(text) > MAX_SECRET_CHARS:
        return False
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if not isinstance(parsed, dict) or parsed.get("type") != "service_account":
        return False
    email, pem = parsed.get("client_email"), parsed.get("private_key")
    return (
        isinstance(email, str)
        and 3 <= len(email) <= 320
        and isinstance(pem, str)
        and isinstance(_private_key(pem), rsa.RSAPrivateKey)
    )


def _apns(given: ApnsCredentials) -> Iterator[Wrong]:
    for name, value in (("team_id", given.team_id), ("key_id", given.key_id)):
        if not _APPLE_ID.fullmatch(value):
            yield f"apns.{name}", "must be Apple's 10 capital letters and digits"
    if not _TOPIC.fullmatch(given.topic):
        yield "apns.topic", "must be the app's bundle id"
    key = _private_key(given.signing_key_pem) if len(given.signing_key_pem) <= MAX_SECRET_CHARS else None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        yield "apns.signing_key_pem", "must be the .p8 file: an EC P-256 private key in PEM"


def _twilio(given: TwilioCredentials) -> Iterator[Wrong]:
    if not _SID.fullmatch(given.account_sid):
        yield "twilio.account_sid", "must be 'AC' and 32 hexadecimal digits"
    if not _AUTH_TOKEN.fullmatch(given.auth_token):
        yield "twilio.auth_token", "must be 8 to 128 printable ASCII characters"
    if not _SENDER.fullmatch(given.sender):
        yield "twilio.sender", "must be a phone number in E.164, or 1 to 11 letters and digits"


def _smtp(given: SmtpCredentials) -> Iterator[Wrong]:
    # An operator of a tenant names this host, and we connect to it from inside: public names only.
    if given.host and (not _HOST.fullmatch(given.host) or given.host.lower().endswith(_PRIVATE_SUFFIXES)):
        yield "smtp.host", "must be a public host name, or empty for the installation's relay"
    if given.host and given.port not in _SUBMISSION_PORTS:
        yield "smtp.port", "must be 25, 465, 587 or 2525"
    if not given.host and given.port:
        yield "smtp.port", "must be 0 where no host is given"
    if len(given.username) > 320 or not _ONE_LINE.fullmatch(given.username):
        yield "smtp.username", "must be one line of at most 320 characters"
    if len(given.password) > 256 or not _ONE_LINE.fullmatch(given.password):
        yield "smtp.password", "must be one line of at most 256 characters"
    elif bool(given.password) != bool(given.username):
        yield "smtp.password", "must be given together with a username, or neither"
    if len(given.from_name) > 100 or not _ONE_LINE.fullmatch(given.from_name):
        yield "smtp.from_name", "must be one line of at most 100 characters"


def _private_key(pem: str) -> object:
    try:
        return load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
