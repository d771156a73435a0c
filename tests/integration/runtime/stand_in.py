"""A process whose one method waits for SIGUSR1, and whose work ends as STAND_IN_ENDS says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import jwt
import structlog

from services.runtime.errors import Unavailable
from services.runtime.identity import Verifier
from services.runtime.process import Process, run
from services.runtime.settings import ProcessSettings, VerifierSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

log = structlog.get_logger()
SERVICE = "clarion.test.v1.StandIn"
METHOD = f"/{SERVICE}/Wait"
_ENDS = os.environ.get("STAND_IN_ENDS", "when stopped")


class Settings(ProcessSettings, VerifierSettings):
    """What it reads."""


class _OneKey:
    async def key(self, key_id: str) -> jwt.PyJWK:
        return jwt.PyJWK(json.loads(os.environ["STAND_IN_KEY"]))


@asynccontextmanager
async def _resource(name: str) -> AsyncIterator[str]:
    try:
        yield name
    finally:
        log.info("resource_closed", resource=name)


async def _wait(request: bytes, context: object) -> bytes:
    released = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, released.set)
    log.info("call_entered")
    await released.wait()
    log.info("call_finished")
    return b"done"


def _add(server: grpc.aio.Server) -> None:
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(_wait)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Wait": handler}),))


async def _build(process: Process[Settings]) -> None:
    if _ENDS == "before it begins":
        raise Unavailable("an engine is not there")
    await process.open(_resource("first"))
    await process.open(_resource("second"))
    stopping = asyncio.Event()

    async def work() -> None:
        if _ENDS == "by failing":
            raise ZeroDivisionError("the work failed")
        await stopping.wait()
        log.info("work_stopped")
        if _ENDS == "never":
            await asyncio.Event().wait()

    process.work("work", work, stop=stopping.set)
    process.admit(Verifier(process.settings, _OneKey()), {METHOD: frozenset({"admin"})})
    process.serve({SERVICE: _add})


if __name__ == "__main__":
    run("stand-in", Settings, _build)
