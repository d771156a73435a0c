"""Access tokens for FCM: a service account's signed assertion for an hour's bearer token (RFC 7523).

google-auth signs; the request itself is ours, since google-auth's transports block or bring a client of their own.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import structlog
from google.auth import crypt
from google.auth import jwt as google_jwt

from services.delivery.adapters.http import Silence
from services.delivery.metrics import FCM_TOKENS_FETCHED
from services.runtime.errors import PreconditionFailed, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.delivery.adapters.http import Endpoint, HttpClient
    from services.delivery.credentials import FcmCredentials

log = structlog.get_logger()
SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_SECONDS: Final = 3600
FETCH_SECONDS: Final = 10.0
RENEW_BEFORE_SECONDS: Final = 300.0
CACHED: Final = 5_000
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    renew_at: float
    ends_at: float


class FcmTokens:
    """Keeps one token for each account, renewed before it ends; however many ask, one fetch is under way."""

    def __init__(self, http: HttpClient, endpoint: Endpoint, *, audience: str, now: Callable[[], float]) -> None:
        """`endpoint` is the token endpoint in full, `audience` its public URL; `now` is in seconds since the epoch."""
        self._http, self._endpoint, self._audience, self._now = http, endpoint, audience, now
        self._tokens: OrderedDict[Key, _Token] = OrderedDict()
        self._fetching: dict[Key, asyncio.Task[_Token]] = {}

    async def get(self, key: Key, credentials: FcmCredentials) -> str:
        """A token that is valid for some time yet.

        Raises PreconditionFailed if the credentials are refused, Unavailable if nobody answers.
        """
        token = self._tokens.get(key)
        if token is not None and self._now() < token.renew_at:
            return token.value
        fetching = self._fetching.get(key)
        if fetching is None:
            fetching = asyncio.create_task(self._fetch(key, credentials))
            self._fetching[key] = fetching
            fetching.add_done_callback(lambda _: self._fetching.pop(key, None))
        try:
            return (await asyncio.shield(fetching)).value
        except Unavailable:
            if token is not None and self._now() < token.ends_at and self._tokens.get(key) is token:
                return token.value
            raise

    def forget(self, key: Key, token: str) -> None:
        """FCM does not take this token any more."""
        known = self._tokens.get(key)
        if known is not None and known.value == token:
            del self._tokens[key]

    async def _fetch(self, key: Key, credentials: FcmCredentials) -> _Token:
        form = {"grant_type": GRANT_TYPE, "assertion": self._assertion(credentials)}
        answer = await self._http.post(
            self._endpoint,
            "",
            headers={"content-type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode(),
            timeout=FETCH_SECONDS,
        )
        if isinstance(answer, Silence) or answer.status >= 500 or answer.status == 429:
            log.warning("fcm_token_unavailable", status=0 if isinstance(answer, Silence) else answer.status)
            wait = None if isinstance(answer, Silence) else answer.retry_after
            raise Unavailable("the token endpoint did not answer", retry_after=wait or 1.0)
        try:
            given = answer.parsed() if answer.status == 200 else {}
            value, lifetime = str(given["access_token"]), float(str(given["expires_in"]))
        except (ValueError, KeyError) as exc:
            log.warning("fcm_token_refused", status=answer.status)
            raise PreconditionFailed("the service account is refused") from exc
        now = self._now()
        token = _Token(value, now + max(1.0, lifetime - RENEW_BEFORE_SECONDS), now + lifetime)
        self._tokens[key] = token
        if len(self._tokens) > CACHED:
            self._tokens.popitem(last=False)
        FCM_TOKENS_FETCHED.inc()
        return token

    def _assertion(self, credentials: FcmCredentials) -> str:
        account = json.loads(credentials.service_account_json)
        issued = int(self._now())
        claims = {
            "iss": account["client_email"],
            "scope": SCOPE,
            "aud": self._audience,
            "iat": issued,
            "exp": issued + ASSERTION_SECONDS,
        }
        signer = crypt.RSASigner.from_service_account_info(account)  # type: ignore[no-untyped-call]  # half typed
        signed: bytes = google_jwt.encode(signer, claims)  # type: ignore[no-untyped-call]
        return signed.decode()
