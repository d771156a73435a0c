from __future__ import annotations

from typing import TYPE_CHECKING

import jwt
import pytest

from services.simulators.credentials import ServiceAccount
from services.simulators.script import Fault, Script
from tests.integration.simulators.fcm_client import (
    SCOPE,
    TOKEN,
    ask_token,
    assertion,
    send,
)

if TYPE_CHECKING:
    import aiohttp

    from services.simulators.testing import RunningSimulators
    from tests.integration.simulators.conftest import MovableClock


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"iss": "nobody@example.com"}, "invalid_grant"),
        ({"aud": "https://example.com/token"}, "invalid_grant"),
        ({"aud": "https://oauth2.googleapis.com/other"}, "invalid_grant"),
        ({"scope": "https://www.googleapis.com/auth/drive"}, "invalid_scope"),
        ({"iat": 0, "exp": 3600}, "invalid_grant"),
        ({"iat": None}, "invalid_grant"),
    ],
)
async def test_a_wrong_assertion_earns_no_token(
    http: aiohttp.ClientSession,
    simulators: RunningSimulators,
    clock: MovableClock,
    changes: dict[str, object],
    error: str,
) -> None:
    claims = {name: value for name, value in changes.items() if value is not None}
    signed = assertion(simulators, clock, **claims) if claims else "not.a.jwt"
    status, body = await ask_token(http, simulators, signed)
    assert (status, body["error"]) == (400, error)


async def test_an_assertion_by_another_key_earns_no_token(
    http: aiohttp.ClientSession, simulators: RunningSimulators, clock: MovableClock
) -> None:
    stranger = ServiceAccount.generate(project_id="clarion-test")
    now = int(clock())
    claims = {
        "iss": simulators.service_account.client_email,
        "scope": SCOPE,
        "aud": simulators.fcm.token_url,
        "iat": now,
        "exp": now + 600,
    }
    signed = jwt.encode(claims, stranger.private_key, algorithm="RS256")
    status, body = await ask_token(http, simulators, signed)
    assert (status, body["error_description"]) == (400, "Invalid JWT Signature.")


async def test_another_grant_type_is_refused(http: aiohttp.ClientSession, simulators: RunningSimulators) -> None:
    async with http.post(simulators.fcm.token_url, data={"grant_type": "password"}) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"] == "unsupported_grant_type"


async def test_the_token_endpoint_can_be_made_to_fail(
    http: aiohttp.ClientSession, simulators: RunningSimulators, clock: MovableClock
) -> None:
    faults = (Fault(error="INTERNAL", times=1), Fault(match="/token", error="UNAVAILABLE", times=1))
    await simulators.fcm.play(Script(faults=faults))
    signed = assertion(simulators, clock)
    assert (await ask_token(http, simulators, signed))[0] == 503
    status, body = await ask_token(http, simulators, signed)
    assert status == 200
    bearer = f"Bearer {body['access_token']}"
    assert (await send(http, simulators, bearer, {"token": TOKEN}))[0] == 500, "not used up by the token request"
