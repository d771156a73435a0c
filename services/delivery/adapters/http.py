"""HTTP to providers: one POST, answered or not, with bounds on time and size. No error leaves with a URL in its text,
since APNs' URLs hold device tokens."""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pyreqwest.client import ClientBuilder
from pyreqwest.exceptions import ConnectTimeoutError, DetailedPyreqwestError, PyreqwestError

from services.delivery.adapters.meaning import NO_ANSWER, UNREACHABLE, Meaning

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from pyreqwest.client import Client

    from services.delivery.domain import Outcome

MAX_ANSWER_BYTES: Final = 64 * 1024
CONNECT_SECONDS: Final = 3.0
KEEP_ALIVE_SECONDS: Final = 30.0
PING_SECONDS: Final = 10.0
MAX_IDLE_CONNECTIONS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete answer; of a larger body than MAX_ANSWER_BYTES only the beginning. `retry_after` is in seconds."""

    status: int
    body: bytes = field(default=b"", repr=False)
    retry_after: float | None = None

    def parsed(self) -> dict[str, object]:
        """The body, if it is a JSON object; else nothing."""
        try:
            parsed = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return parsed if isinstance(parsed, dict) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """No answer. `sent` is false where the request cannot have reached the provider."""

    sent: bool
    late: bool

    def outcome(self, meaning: Meaning | None = None) -> Outcome:
        """The outcome; with `meaning` where the provider may have acted on the request."""
        code = "TIMEOUT" if self.late else "CONNECTION"
        if self.sent and meaning is not None:
            return meaning.outcome(code)
        return (NO_ANSWER if self.late else UNREACHABLE).outcome(code)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a provider is dialled, and the Host it is asked by where that is another name."""

    base: str
    host: str = ""

    @classmethod
    def at(cls, url: str, outbound: str) -> Endpoint:
        """The provider at this URL: dialled there, or with an outbound address by plain HTTP/1.1 through that one."""
        if not outbound:
            return cls(url.rstrip("/"))
        parts = urlsplit(url)
        return cls(f"http://{outbound}{parts.path.rstrip('/')}", parts.netloc)

    @property
    def plain(self) -> bool:
        """Whether it is dialled without TLS."""
        return self.base.startswith("http://")


class HttpClient:
    """Long-lived connections to one or more providers."""

    def __init__(self, client: Client) -> None:
        """The client is closed by whoever opened it."""
        self._client = client

    async def post(
        self, endpoint: Endpoint, path: str, *, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Answer | Silence:
        """Make one request that ends within `timeout` seconds."""
        request = self._client.post(endpoint.base + path).timeout(timedelta(seconds=timeout)).body_bytes(body)
        for name, value in headers.items():
            request = request.header(name, value, is_sensitive=name == "authorization")
        if endpoint.host:
            request = request.header("host", endpoint.host)
        try:
            async with request.build_streamed() as response:
                received = await response.body_reader.read(MAX_ANSWER_BYTES)
                return Answer(
                    status=response.status,
                    body=received.to_bytes() if received is not None else b"",
                    retry_after=seconds_of(response.get_header("retry-after")),
                )
        except PyreqwestError as exc:
            return Silence(sent=not _before_sending(exc), late=isinstance(exc, TimeoutError))


def _before_sending(exc: PyreqwestError) -> bool:
    """Whether the error came while connecting. Its class does not tell: hyper's own words in its causes do."""
    causes = (exc.details.get("causes") or []) if isinstance(exc, DetailedPyreqwestError) else []
    return any(cause["message"] == "client error (Connect)" for cause in causes) or (
        isinstance(exc, ConnectTimeoutError) and any("connect" in cause["message"].lower() for cause in causes)
    )


def seconds_of(retry_after: str | None) -> float | None:
    """Retry-After in seconds from now, of either form (RFC 9110 10.2.3); None if there is none to be read."""
    if not retry_after:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after[:12])
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - time.time())


@asynccontextmanager
async def opened(*, ca_file: str, http2_only: bool = False) -> AsyncIterator[HttpClient]:
    """A client that trusts the usual authorities and those of a file, follows no redirect and uses no proxy."""
    async with build(ca_file=ca_file, http2_only=http2_only) as client:
        yield HttpClient(client)


def build(*, ca_file: str, http2_only: bool) -> Client:
    """The driver's client; `http2_only` keeps all its calls on one connection."""
    builder = (
        ClientBuilder()
        .user_agent("clarion")
        .follow_redirects(False)
        .referer(False)
        .no_proxy()
        # Answers are small, and a compressed one could be large without saying so.
        .gzip(False)
        .brotli(False)
        .zstd(False)
        .deflate(False)
        .connect_timeout(timedelta(seconds=CONNECT_SECONDS))
        .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
        .tcp_nodelay(True)
        .http2(True)
        # A dead connection is noticed while nothing is being sent.
        .http2_keep_alive_interval(timedelta(seconds=KEEP_ALIVE_SECONDS))
        .http2_keep_alive_timeout(timedelta(seconds=PING_SECONDS))
        .http2_keep_alive_while_idle(True)
    )
    if http2_only:
        builder = builder.http2_prior_knowledge().pool_idle_timeout(None)
    if ca_file:
        builder = builder.add_root_certificate_pem(Path(ca_file).read_bytes())
    return builder.build()
