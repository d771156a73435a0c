"""How other services are called: one channel factory, which carries deadline, identity and trace context."""

from __future__ import annotations

import asyncio
import base64
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote_plus

import aiohttp
import grpc
from opentelemetry.instrumentation.grpc import aio_client_interceptors

from services.runtime import deadline
from services.runtime.errors import DeadlineExceeded, Unavailable
from services.runtime.status import from_rpc_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from services.runtime.settings import CallerSettings

DOMAIN = "clarion.svc.cluster.local"
PORT = 50051
CALL_SECONDS = 30.0
"""What a call may take where the caller has no deadline of its own."""
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
TOKEN_SECONDS = 5.0
RENEW_BEFORE_SECONDS = 60.0
Answer = TypeVar("Answer")

OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.enable_retries", 0),  # the mesh retries what never reached the peer; nothing else may
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),
)


class ServiceToken:
    """This process's own access token (OAuth 2.0 client credentials, RFC 6749 4.4), renewed before it ends."""

    def __init__(self, settings: CallerSettings, *, now: Callable[[], float] = time.monotonic) -> None:
        """Nothing is fetched before the first call."""
        self._url = settings.issuer.rstrip("/") + "/oauth2/token"
        # RFC 6749 2.3.1: both are form-encoded before they go into HTTP Basic.
        credentials = f"{quote_plus(settings.client_id)}:{quote_plus(settings.client_secret.get_secret_value())}"
        self._headers = {"Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}
        self._now = now
        self._token, self._renew_at = "", 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> str:
        """A token that is valid for some time yet.

        Raises Unavailable while the issuer gives none.
        """
        if self._now() < self._renew_at:
            return self._token
        async with self._lock:
            if self._now() >= self._renew_at:
                await self._renew()
        return self._token

    async def _renew(self) -> None:
        try:
            timeout = aiohttp.ClientTimeout(total=TOKEN_SECONDS)
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=self._headers) as session,
                session.post(self._url, data={"grant_type": "client_credentials"}) as response,
            ):
                response.raise_for_status()
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
            raise Unavailable("no access token was given to this process") from exc
        self._token = answer["access_token"]
        self._renew_at = self._now() + max(1.0, answer["expires_in"] - RENEW_BEFORE_SECONDS)


class _Carrier(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, token: ServiceToken) -> None:
        self._token = token

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        bounds = [client_call_details.timeout, deadline.remaining(), CALL_SECONDS]
        timeout = min(bound for bound in bounds if bound is not None)
        if timeout <= 0:
            raise DeadlineExceeded
        metadata = grpc.aio.Metadata(*(client_call_details.metadata or ()))
        metadata.add("authorization", f"Bearer {await self._token.get()}")
        details = grpc.aio.ClientCallDetails(
            method=client_call_details.method,
            timeout=timeout,
            metadata=metadata,
            credentials=client_call_details.credentials,
            wait_for_ready=client_call_details.wait_for_ready,
        )
        return await continuation(details, request)


class Channels:
    """Makes channels to other services by name. With an outbound address every channel dials that one address and
    names its peer as authority; without one it dials the peer's name."""

    def __init__(self, settings: CallerSettings, *, traced: bool) -> None:
        """`traced` says whether spans are exported."""
        self._outbound = settings.outbound
        self._interceptors: list[grpc.aio.ClientInterceptor] = [_Carrier(ServiceToken(settings))]
        if traced:
            self._interceptors += aio_client_interceptors()

    @asynccontextmanager
    async def to(self, service: str) -> AsyncIterator[grpc.aio.Channel]:
        """A channel to a service (`device`), open for as long as the context lasts."""
        authority = f"{service}.{DOMAIN}:{PORT}"
        async with grpc.aio.insecure_channel(
            self._outbound or authority,
            options=[*OPTIONS, ("grpc.default_authority", authority)],
            interceptors=self._interceptors,
        ) as channel:
            yield channel


async def answered(call: Awaitable[Answer]) -> Answer:
    """Await a call; a failure is raised in the taxonomy of errors."""
    try:
        return await call
    except grpc.aio.AioRpcError as exc:
        raise from_rpc_error(exc) from exc
