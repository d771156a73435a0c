"""Google's token endpoint for service accounts (RFC 7523), and the bearer tokens that it issued.

The assertion's rules are those of developers.google.com, "Using OAuth 2.0 for server to server
applications": RS256, `iss` the account, `aud` the endpoint, `scope`, and at most an hour from `iat` to `exp`.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import jwt

from services.simulators.wire.exchange import Request, Response, json_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.simulators.credentials import FcmProject
    from services.simulators.ledger import Clock

TOKEN_PATH = "/token"  # noqa: S105 - a path
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SCOPES = frozenset(
    {
        "https://www.googleapis.com/auth/firebase.messaging",
        "https://www.googleapis.com/auth/cloud-platform",
    }
)
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_SKEW_SECONDS = 300
_MAX_ASSERTION_SECONDS = 3600
_MAX_TOKENS = 10_000
_MAX_ASSERTION_BYTES = 16_384


class _Refused(Exception):
    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error, self.description, self.status = error, description, status


@dataclass(frozen=True, slots=True)
class _Bearer:
    project_id: str
    expires_at: float


class TokenEndpoint:
    """Issues bearer tokens for registered service accounts and knows them again."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._projects: dict[str, FcmProject] = {}
        self._bearers: OrderedDict[str, _Bearer] = OrderedDict()
        self.issued = 0

    def register(self, project: FcmProject) -> None:
        """Know a service account by its address; a second registration replaces the first."""
        self._projects[project.client_email] = project

    def project_of(self, authorization: str | None) -> str | None:
        """The project that a live bearer token in this header sends for."""
        scheme, _, token = (authorization or "").partition(" ")
        bearer = self._bearers.get(token.strip()) if scheme.lower() == "bearer" else None
        return bearer.project_id if bearer is not None and self._clock() < bearer.expires_at else None

    def revoke_all(self) -> None:
        """Make every issued token invalid, as a rotated key does."""
        self._bearers.clear()

    def issue(self, request: Request) -> Response:
        """Answer one token request."""
        try:
            project = self._verified(request)
        except _Refused as refused:
            return json_response(refused.status, {"error": refused.error, "error_description": refused.description})
        token = f"ya29.{secrets.token_urlsafe(96)}"
        self._bearers[token] = _Bearer(project.project_id, self._clock() + project.token_lifetime_seconds)
        if len(self._bearers) > _MAX_TOKENS:
            self._bearers.popitem(last=False)
        self.issued += 1
        # Google announces a second less than it grants.
        announced = max(1, project.token_lifetime_seconds - 1)
        return json_response(200, {"access_token": token, "expires_in": announced, "token_type": "Bearer"})

    def _verified(self, request: Request) -> FcmProject:
        if len(request.body) > _MAX_ASSERTION_BYTES:
            raise _Refused("invalid_request", "Request too large.")
        form = parse_qs(request.body.decode("latin-1"), max_num_fields=16)
        if form.get("grant_type") != [_GRANT]:
            raise _Refused("unsupported_grant_type", f"Invalid grant_type: must be {_GRANT}")
        assertion = form.get("assertion", [""])[0]
        try:
            claims = jwt.decode(assertion, options={"verify_signature": False})
            header = jwt.get_unverified_header(assertion)
        except jwt.PyJWTError as exc:
            raise _Refused("invalid_grant", "Bad Request: the assertion is not a JWT.") from exc
        project = self._projects.get(str(claims.get("iss")))
        if project is None:
            raise _Refused("invalid_grant", "Invalid grant: account not found")
        self._check_signature(assertion, header, project)
        self._check_claims(claims, request.header("host"))
        return project

    @staticmethod
    def _check_signature(assertion: str, header: Mapping[str, object], project: FcmProject) -> None:
        kid = header.get("kid")
        if kid is not None and project.key_id is not None and kid != project.key_id:
            raise _Refused("invalid_grant", "Invalid JWT Signature.")
        try:
            jwt.decode(
                assertion,
                project.public_key,
                algorithms=["RS256"],
                options={"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except jwt.PyJWTError as exc:
            raise _Refused("invalid_grant", "Invalid JWT Signature.") from exc

    def _check_claims(self, claims: Mapping[str, object], host: str | None) -> None:
        issued, expires = claims.get("iat"), claims.get("exp")
        if not isinstance(issued, int | float) or not isinstance(expires, int | float):
            raise _Refused("invalid_grant", "Invalid JWT: iat and exp are required.")
        now = self._clock()
        if issued > now + _SKEW_SECONDS or expires <= now - _SKEW_SECONDS or expires - issued > _MAX_ASSERTION_SECONDS:
            raise _Refused(
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
                "Check your iat and exp values in the JWT claim.",
            )
        if not _names_this_endpoint(claims.get("aud"), host):
            raise _Refused("invalid_grant", "Invalid JWT: Failed audience check.")
        scopes = claims.get("scope")
        if not isinstance(scopes, str) or not _SCOPES & set(scopes.split()):
            raise _Refused("invalid_scope", "Invalid OAuth scope or ID token audience provided.")


def _names_this_endpoint(audience: object, host: str | None) -> bool:
    """Google's own address, the one that was dialled, or any on loopback: a proxy may stand before us."""
    if not isinstance(audience, str):
        return False
    url = urlsplit(audience)
    known = url.hostname == "oauth2.googleapis.com" or url.netloc == host or url.hostname in _LOOPBACK
    return known and url.path == TOKEN_PATH
