"""The process: it starts on real engines, serves, and drains on SIGTERM."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
from aiohttp import web
from clarion.notification.v1 import NotificationServiceStub, WatchNotificationRequest

from tests.serving import Issuer, refusal
from tests.unit.notification.builders import send_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def published_keys(issuer: Issuer) -> AsyncIterator[str]:
    """The URL of an issuer that publishes its keys."""

    async def keys(request: web.Request) -> web.Response:
        return web.json_response({"keys": [issuer.jwk]})

    app = web.Application()
    app.router.add_get("/.well-known/jwks.json", keys)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def started(
    environment: dict[str, str],
) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[dict[str, Any]]]]:
    """The process once it serves, and what it has logged."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.notification",
        env={name: value for name, value in os.environ.items() if not name.startswith("CLARION_")} | environment,
        stdout=asyncio.subprocess.PIPE,
    )
    logged: list[dict[str, Any]] = []
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            while not logged or logged[-1]["event"] != "process_serving":
                logged.append(json.loads(await process.stdout.readline()))
        yield process, logged
    finally:
        if process.returncode is None:
            process.kill()
        logged += [json.loads(line) for line in (await process.stdout.read()).splitlines()]
        await process.wait()


async def test_it_serves_and_drains(mongo_url: str, mongo_database: str, kafka_bootstrap: str) -> None:
    issuer = Issuer()
    async with published_keys(issuer) as url:
        environment = {
            "CLARION_GRPC_PORT": "0",
            "CLARION_METRICS_PORT": "0",
            "CLARION_MONGO_URL": mongo_url,
            "CLARION_MONGO_DATABASE": mongo_database,
            "CLARION_KAFKA_BOOTSTRAP": kafka_bootstrap,
            "CLARION_TOPIC_PREFIX": "nowhere-",
            "CLARION_ISSUER": url,
            "CLARION_PAGE_TOKEN_KEY": "sixteen characters",
            "CLARION_LOG_LEVEL": "DEBUG",
            "CLARION_DRAIN_SECONDS": "5",
        }
        metadata = issuer.metadata("sender", issuer=url)
        async with started(environment) as (process, logged):
            async with grpc.aio.insecure_channel(f"127.0.0.1:{logged[-1]['port']}") as channel:
                api = NotificationServiceStub(channel)
                secret = send_request("ada-lovelace", title="Nobody logs this")
                sent = await api.SendNotification(secret, metadata=metadata)
                watch = api.WatchNotification(
                    WatchNotificationRequest(notification_id=sent.notification_id), metadata=metadata
                )
                await watch.read()
                process.send_signal(signal.SIGTERM)
                refused = await refusal(watch.read())
                assert (refused.code, refused.retry_after) == (grpc.StatusCode.UNAVAILABLE, 0.1)
            async with asyncio.timeout(10):
                assert await process.wait() == 0
    said = json.dumps(logged)
    assert "call_served" in said
    assert "ada-lovelace" not in said
    assert "Nobody logs this" not in said
