"""A plain client of the FCM simulator and its token endpoint."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jwt

if TYPE_CHECKING:
    import aiohttp

    from services.simulators.testing import RunningSimulators
    from tests.integration.simulators.conftest import MovableClock

TOKEN = "device-token-0001"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"


def assertion(simulators: RunningSimulators, clock: MovableClock, **changes: object) -> str:
    account = simulators.service_account
    now = int(clock())
    claims = {
        "iss": account.client_email,
        "scope": SCOPE,
        "aud": simulators.fcm.token_url,
        "iat": now,
        "exp": now + 3600,
        **changes,
    }
    return jwt.encode(claims, account.private_key, algorithm="RS256", headers={"kid": account.key_id})


async def ask_token(http: aiohttp.ClientSession, simulators: RunningSimulators, signed: str) -> tuple[int, Any]:
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": signed}
    async with http.post(simulators.fcm.token_url, data=form) as answer:
        return answer.status, await answer.json()


async def send(
    http: aiohttp.ClientSession,
    simulators: RunningSimulators,
    bearer: str,
    message: object,
    *,
    project: str = "clarion-test",
    **options: object,
) -> tuple[int, dict[str, str], Any]:
    url = f"{simulators.fcm.url}/v1/projects/{project}/messages:send"
    body = {"message": message, **options}
    async with http.post(url, json=body, headers={"authorization": bearer}) as answer:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        text = await answer.text()
        return answer.status, headers, json.loads(text) if text.startswith("{") else text


def fcm_code(body: Any) -> str | None:
    found = [each["errorCode"] for each in body["error"].get("details", []) if each["@type"] == FCM_ERROR]
    return found[0] if found else None


def fields(body: Any) -> list[str]:
    return [
        violation["field"]
        for each in body["error"].get("details", [])
        if each["@type"] == BAD_REQUEST
        for violation in each["fieldViolations"]
    ]
