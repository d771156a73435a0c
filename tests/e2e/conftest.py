"""One real stack for the whole suite: engines, every service and the provider peers, as `clarion up` starts them."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import aiohttp
import pytest

from deploy.local.demo.tenant import access_token, bearer
from deploy.local.demo.waiting import until
from deploy.local.machine.places import project_folder
from deploy.local.machine.ports import free_ports
from deploy.local.supervision.health import accepts
from tests.e2e.collector import Collector, collecting
from tests.e2e.world import SECONDS, UNSUBSCRIBE, World, inhabited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from deploy.local.demo.tenant import Metadata
    from deploy.local.stack import Stack

LAST = "test_silence.py"
"""Reads everything that the run has logged, so it comes after all else."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name == LAST)


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> AsyncIterator[Stack]:
    # Imported here: a library of its warns when imported, which is only allowed once pytest is configured.
    from deploy.local.stack import Stack, StackOptions

    with pytest.MonkeyPatch.context() as patch:
        # What is not a stack's own to decide comes from the environment; engines are always its own here.
        for name in [name for name in os.environ if name.startswith("CLARION_")]:
            patch.delenv(name)
        patch.setenv("CLARION_OTLP_ENDPOINT", collector.endpoint)
        patch.setenv("CLARION_LOG_LEVEL", "DEBUG")
        patch.setenv("CLARION_UNSUBSCRIBE_URL", UNSUBSCRIBE)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        async with Stack(StackOptions(name="e2e", home=tmp_path_factory.mktemp("stacks"))) as running:
            yield running


@pytest.fixture(scope="session")
async def world(stack: Stack, short_lived: Metadata) -> AsyncIterator[World]:
    # The short-lived token is asked for first, so that it ends while other tests run.
    async with aiohttp.ClientSession() as http, inhabited(stack, http) as made:
        yield made


@pytest.fixture(scope="session")
async def short_lived(stack: Stack) -> Metadata:
    """A token that lives for a minute, from a second replica of auth that shares keys and clients with the first."""
    (http,) = free_ports(1)
    own = {
        "CLARION_AUTH_HTTP_PORT": str(http),
        "CLARION_GRPC_PORT": "0",
        "CLARION_METRICS_PORT": "0",
        "CLARION_TOKEN_SECONDS": "60",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.auth"),
        cwd=project_folder(),
        env={**os.environ, **stack.plan.environments["auth"], **own},
        stdout=asyncio.subprocess.DEVNULL,
    )

    async def listening() -> bool:
        return await accepts(http)

    try:
        assert await until(listening, seconds=SECONDS)
        client = stack.demo_client
        return bearer(await access_token(f"http://127.0.0.1:{http}", client.client_id, client.client_secret))
    finally:
        process.terminate()
        await process.wait()
