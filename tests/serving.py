"""Serves servicers in the test's own process, behind the real guard, to callers with real tokens."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import grpc
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status

from services.access import ACCESS
from services.runtime.errors import Unauthenticated
from services.runtime.identity import KeySet, Verifier
from services.runtime.server import Guard, Server
from services.runtime.settings import VerifierSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping

    from services.runtime.server import Add

ISSUER, AUDIENCE, KEY_ID = "http://issuer.test", "clarion", "key-1"


class Issuer(KeySet):
    """Signs access tokens, and is the key set that they are verified with."""

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        public = jwt.algorithms.ECAlgorithm.to_jwk(self._private.public_key(), as_dict=True)
        self.jwk = {**public, "kid": KEY_ID, "alg": "ES256", "use": "sig"}

    async def key(self, key_id: str) -> jwt.PyJWK:
        if key_id != KEY_ID:
            raise Unauthenticated
        return jwt.PyJWK(self.jwk)

    def token(self, *roles: str, tenant: str = "acme", subject: str = "tester", issuer: str = ISSUER) -> str:
        now = int(time.time())
        standard = {"iss": issuer, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 600}
        return jwt.encode(
            {**standard, "tenant": tenant, "roles": list(roles)},
            self._private,
            algorithm="ES256",
            headers={"kid": KEY_ID, "typ": "at+jwt"},
        )

    def metadata(self, *roles: str, tenant: str = "acme", issuer: str = ISSUER) -> tuple[tuple[str, str], ...]:
        """What a caller with these roles sends."""
        return (("authorization", f"Bearer {self.token(*roles, tenant=tenant, issuer=issuer)}"),)


@asynccontextmanager
async def served(servicers: Mapping[str, Add], issuer: Issuer) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server of these (full service name → what adds the servicer)."""
    settings = VerifierSettings(issuer=ISSUER, audience=AUDIENCE)
    guard = Guard(Verifier(settings, issuer), ACCESS)
    server = Server(servicers, address="127.0.0.1", port=0, guard=guard, traced=False)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield channel
    finally:
        await server.stop(0.1)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """How a call was refused."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    fields: tuple[str, ...] = ()
    retry_after: float | None = None


async def refusal(call: Awaitable[Any]) -> Refusal:
    """The call is refused; how."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    reason, fields, retry_after = "", [], None
    status = rpc_status.from_call(cast("grpc.Call", caught.value))
    for detail in status.details if status else ():
        info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad):
            fields = [each.field for each in bad.field_violations]
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToMilliseconds() / 1000
    return Refusal(
        code=caught.value.code(),
        message=caught.value.details() or "",
        reason=reason,
        fields=tuple(fields),
        retry_after=retry_after,
    )


@asynccontextmanager
async def published_keys(issuer: Issuer) -> AsyncIterator[str]:
    """The URL of an issuer that publishes its keys, for services that run as processes."""

    async def keys(_: web.Request) -> web.Response:
        return web.json_response({"keys": [issuer.jwk]})

    application = web.Application()
    application.router.add_get("/.well-known/jwks.json", keys)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
