from __future__ import annotations

import time
from typing import TYPE_CHECKING

import aiohttp
import pytest

from services.simulators.testing import RunningSimulators, running_simulators
from tests.integration.simulators.fcm_client import ask_token, assertion

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class MovableClock:
    """The machine's clock, which a test may set forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture(scope="session")
def session_clock() -> MovableClock:
    return MovableClock()


@pytest.fixture(scope="session")
async def session_simulators(
    tmp_path_factory: pytest.TempPathFactory, session_clock: MovableClock
) -> AsyncIterator[RunningSimulators]:
    async with running_simulators(tmp_path_factory.mktemp("simulators"), clock=session_clock) as running:
        yield running


@pytest.fixture
def clock(session_clock: MovableClock) -> MovableClock:
    return session_clock


@pytest.fixture
async def simulators(
    session_simulators: RunningSimulators, session_clock: MovableClock
) -> AsyncIterator[RunningSimulators]:
    yield session_simulators
    session_clock.ahead = 0.0
    await session_simulators.reset()


@pytest.fixture
async def http(simulators: RunningSimulators) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=simulators.client_context())
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


@pytest.fixture
def trusting(simulators: RunningSimulators, monkeypatch: pytest.MonkeyPatch) -> RunningSimulators:
    """Make `requests`, which firebase-admin, google-auth and twilio use, trust the simulators."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(simulators.ca_file))
    return simulators


@pytest.fixture
async def bearer(http: aiohttp.ClientSession, simulators: RunningSimulators, clock: MovableClock) -> str:
    status, body = await ask_token(http, simulators, assertion(simulators, clock))
    assert status == 200
    return f"Bearer {body['access_token']}"
