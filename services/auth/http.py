"""The HTTP endpoints: tokens (RFC 6749), published keys (RFC 7517), discovery (OIDC Discovery 1.0, RFC 8414)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import math
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote_plus

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from services.auth.metrics import TOKEN_REQUESTS, TOKEN_SECONDS
from services.runtime import deadline
from services.runtime.errors import ClarionError, RateLimited, StartupError, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from services.auth.keyring import Keyring
    from services.auth.tokens import Tokens

log = structlog.get_logger()
MAX_BODY_BYTES = 8 * 1024
MAX_FIELDS = 20
REQUEST_SECONDS = 10.0
KEYS_MAX_AGE_SECONDS = 300
_FORM = "application/x-www-form-urlencoded"
_TOKEN_PATH, _KEYS_PATH = "/oauth2/token", "/.well-known/jwks.json"
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_CACHED = {"Cache-Control": f"public, max-age={KEYS_MAX_AGE_SECONDS}"}


def _quotes_nothing(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_server_log = logging.getLogger("auth.http")
# What aiohttp cannot parse it quotes in its log, an Authorization header with its secret included.
_server_log.addFilter(_quotes_nothing)


class _Refusal(Exception):
    """An error answer of RFC 6749 5.2."""

    def __init__(self, error: str, description: str, *, status: int = 400, retry_after: float | None = None) -> None:
        super().__init__(description)
        self.error, self.status, self.retry_after = error, status, retry_after


class Endpoints:
    """What is served over HTTP."""

    def __init__(self, *, issuer: str, tokens: Tokens, keyring: Keyring) -> None:
        """`issuer` is the public URL under which the endpoints are reached."""
        self._tokens, self._keyring = tokens, keyring
        issuer = issuer.rstrip("/")
        self._metadata = {
            "issuer": issuer,
            "token_endpoint": issuer + _TOKEN_PATH,
            "jwks_uri": issuer + _KEYS_PATH,
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "response_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }

    def application(self) -> web.Application:
        """The routes."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_post(_TOKEN_PATH, self.token)
        application.router.add_get(_KEYS_PATH, self.keys)
        for name in ("openid-configuration", "oauth-authorization-server"):
            application.router.add_get(f"/.well-known/{name}", self.metadata)
        return application

    async def token(self, request: web.Request) -> web.Response:
        """An access token for client credentials, or an error of RFC 6749 5.2."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                with deadline.within(REQUEST_SECONDS):
                    answer = await self._grant(request)
        except _Refusal as refusal:
            outcome, response = refusal.error, _refused(refusal)
        except TimeoutError:
            late = _Refusal("temporarily_unavailable", "the request took too long", status=503, retry_after=1)
            outcome, response = late.error, _refused(late)
        except Exception:
            log.exception("token_request_failed")
            broken = _Refusal("server_error", "something went wrong on our side", status=500)
            outcome, response = broken.error, _refused(broken)
        else:
            outcome, response = "issued", web.json_response(answer, headers=_NO_STORE)
        TOKEN_REQUESTS.labels(outcome).inc()
        TOKEN_SECONDS.observe(time.monotonic() - started)
        return response

    async def keys(self, request: web.Request) -> web.Response:
        """The JSON Web Key Set."""
        return web.json_response({"keys": self._keyring.published()}, headers=_CACHED)

    async def metadata(self, request: web.Request) -> web.Response:
        """Where everything is."""
        return web.json_response(self._metadata, headers=_CACHED)

    async def _grant(self, request: web.Request) -> dict[str, str | int]:
        form = await _form(request)
        client_id, secret = _credentials(request.headers.getall("Authorization", []), form)
        if "grant_type" not in form:
            raise _Refusal("invalid_request", "grant_type is missing")
        if form["grant_type"] != "client_credentials":
            raise _Refusal("unsupported_grant_type", "the grant types are: client_credentials")
        if form.get("scope"):
            raise _Refusal("invalid_scope", "there are no scopes; what a client may do is in its roles")
        try:
            grant = await self._tokens.grant(client_id, secret)
        except Unauthenticated as exc:
            raise _Refusal("invalid_client", str(exc), status=401) from exc
        except RateLimited as exc:
            raise _Refusal("temporarily_unavailable", str(exc), status=429, retry_after=exc.retry_after) from exc
        except ClarionError as exc:
            if not exc.retryable:
                raise
            retry_after = exc.retry_after or 1.0
            raise _Refusal("temporarily_unavailable", str(exc), status=503, retry_after=retry_after) from exc
        return {"access_token": grant.access_token, "token_type": "Bearer", "expires_in": grant.expires_in}


async def _form(request: web.Request) -> Mapping[str, str]:
    if request.content_type != _FORM:
        raise _Refusal("invalid_request", f"the content type must be {_FORM}")
    try:
        text = (await request.read()).decode("utf-8")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except web.HTTPRequestEntityTooLarge as exc:
        raise _Refusal("invalid_request", f"the body has more than {MAX_BODY_BYTES} bytes", status=413) from exc
    except ValueError as exc:
        raise _Refusal("invalid_request", f"the body is not a form of at most {MAX_FIELDS} fields") from exc
    form = dict(pairs)
    if len(form) < len(pairs):
        raise _Refusal("invalid_request", "a parameter stands there twice")
    # RFC 6749 3.2: a parameter without a value is as if it were omitted.
    return {name: value for name, value in form.items() if value}


def _credentials(headers: list[str], form: Mapping[str, str]) -> tuple[str, str]:
    """The client's id and secret, from either of RFC 6749 2.3.1's two places."""
    if not headers:
        if "client_id" not in form or "client_secret" not in form:
            raise _Refusal("invalid_client", "send the client's id and secret", status=401)
        return form["client_id"], form["client_secret"]
    if len(headers) > 1 or "client_secret" in form:
        raise _Refusal("invalid_request", "use one way to authenticate")
    scheme, _, encoded = headers[0].partition(" ")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        decoded = ""
    name, colon, secret = decoded.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise _Refusal("invalid_client", "the Authorization header is not HTTP Basic", status=401)
    client_id = unquote_plus(name)
    if form.get("client_id", client_id) != client_id:
        raise _Refusal("invalid_request", "client_id differs from the one in the Authorization header")
    return client_id, unquote_plus(secret)


def _refused(refusal: _Refusal) -> web.Response:
    headers = dict(_NO_STORE)
    if refusal.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="clarion", charset="UTF-8"'
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(refusal.retry_after)))
    body = {"error": refusal.error, "error_description": str(refusal)}
    return web.json_response(body, status=refusal.status, headers=headers)


class HttpServer:
    """An application on a bound port; it stops taking requests when it is told to and finishes those under way."""

    def __init__(self, runner: web.AppRunner, port: int) -> None:
        """See `bound`."""
        self._runner, self.port = runner, port
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Serve until stopped."""
        await self._stopping.wait()
        await self._runner.cleanup()

    def stop(self) -> None:
        """Take no more requests."""
        self._stopping.set()


@asynccontextmanager
async def bound(application: web.Application, *, address: str, port: int) -> AsyncIterator[HttpServer]:
    """The application, served; port 0 lets the system choose.

    Raises StartupError if the port is taken.
    """
    runner = web.AppRunner(application, access_log=None, logger=_server_log, shutdown_timeout=REQUEST_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address, port).start()
        except OSError as exc:
            raise StartupError(f"port {port} on {address} is taken: free it or set CLARION_AUTH_HTTP_PORT") from exc
        yield HttpServer(runner, runner.addresses[0][1])
    finally:
        await runner.cleanup()
