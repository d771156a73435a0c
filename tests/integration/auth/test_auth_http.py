from __future__ import annotations

import asyncio
import base64
from datetime import timedelta
from typing import TYPE_CHECKING

import aiohttp
import jwt
import pytest

from services.auth.adapters.es256 import Es256
from services.auth.attempts import BURST, Attempts
from services.auth.domain import Role
from services.auth.http import MAX_BODY_BYTES, Endpoints, bound
from services.auth.keyring import Keyring
from services.auth.tokens import Tokens
from services.runtime.clock import utc_now
from services.runtime.errors import StartupError
from tests.unit.auth.builders import client, numbered
from tests.unit.auth.fakes import MemoryClients, MemorySigningKeys, MemoryStore, QuickHashing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

GRANT = {"grant_type": "client_credentials"}
POST = {**GRANT, "client_id": "shop", "client_secret": "secret"}
ISSUER = "https://issuer.test"


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.clients["shop"] = client("shop", Role.SENDER)
    odd = "a+b %:ü"
    store.clients[odd] = client(odd, secret_hash=f"hash 0 of {odd}")
    return store


@pytest.fixture
async def keyring(store: MemoryStore) -> Keyring:
    keyring = Keyring(
        MemorySigningKeys(store), Es256(), publish_for=timedelta(0), clock=utc_now, new_id=numbered("entry")
    )
    await keyring.load()
    return keyring


@pytest.fixture
async def http(store: MemoryStore, keyring: Keyring) -> AsyncIterator[aiohttp.ClientSession]:
    tokens = Tokens(
        issuer=ISSUER,
        audience="clarion",
        token_seconds=900,
        clients=MemoryClients(store),
        hashing=QuickHashing(),
        decoy_hash="decoy",
        attempts=Attempts(now=lambda: 0.0),
        keyring=keyring,
        clock=utc_now,
        new_id=numbered("jti"),
    )
    endpoints = Endpoints(issuer=ISSUER, tokens=tokens, keyring=keyring)
    async with (
        bound(endpoints.application(), address="127.0.0.1", port=0) as server,
        aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session,
    ):
        yield session


async def refused(
    http: aiohttp.ClientSession, status: int, error: str, data: object, headers: Mapping[str, str] | None = None
) -> tuple[Mapping[str, str], str]:
    """The request is refused like this; answers the headers and the body."""
    async with http.post("/oauth2/token", data=data, headers=headers) as response:
        assert response.status == status
        assert (await response.json())["error"] == error
        assert response.headers["Cache-Control"] == "no-store"
        return response.headers, await response.text()


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


@pytest.mark.parametrize(("data", "headers"), [(POST, {}), (GRANT, basic("shop", "secret"))], ids=["post", "basic"])
async def test_either_way_to_authenticate_gives_a_token(
    http: aiohttp.ClientSession, keyring: Keyring, data: dict[str, str], headers: dict[str, str]
) -> None:
    async with http.post("/oauth2/token", data=data, headers=headers) as response:
        answer = await response.json()
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 900)
    async with http.get("/.well-known/jwks.json") as response:
        assert response.headers["Cache-Control"] == "public, max-age=300"
        keys = jwt.PyJWKSet.from_dict(await response.json())
    key = keys[jwt.get_unverified_header(answer["access_token"])["kid"]]
    claims = jwt.decode(answer["access_token"], key, algorithms=["ES256"], audience="clarion", issuer=ISSUER)
    assert (claims["client_id"], claims["tenant"], claims["roles"]) == ("shop", "acme", ["sender"])


async def test_ids_and_secrets_in_the_header_are_form_encoded_as_rfc_6749_says(http: aiohttp.ClientSession) -> None:
    encoded = "a%2Bb+%25%3A%C3%BC"
    async with http.post("/oauth2/token", data=GRANT, headers=basic(encoded, encoded)) as response:
        assert response.status == 200


async def test_only_public_halves_are_published(http: aiohttp.ClientSession) -> None:
    async with http.get("/.well-known/jwks.json") as response:
        (key,) = (await response.json())["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use"}


@pytest.mark.parametrize("name", ["openid-configuration", "oauth-authorization-server"])
async def test_discovery_names_the_endpoints_under_the_issuer(http: aiohttp.ClientSession, name: str) -> None:
    async with http.get(f"/.well-known/{name}") as response:
        metadata = await response.json()
    assert metadata["issuer"] == ISSUER
    assert metadata["token_endpoint"] == f"{ISSUER}/oauth2/token"
    assert metadata["jwks_uri"] == f"{ISSUER}/.well-known/jwks.json"


async def test_a_wrong_secret_and_an_unknown_client_get_one_answer(http: aiohttp.ClientSession) -> None:
    bodies = []
    for client_id in ("shop", "nobody"):
        headers = basic(client_id, "wrong")
        answered, body = await refused(http, 401, "invalid_client", GRANT, headers)
        assert answered["WWW-Authenticate"].startswith("Basic ")
        bodies.append(body)
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize(
    ("error", "status", "data", "headers"),
    [
        ("invalid_request", 400, {"client_id": "shop", "client_secret": "secret"}, {}),
        ("unsupported_grant_type", 400, POST | {"grant_type": "password"}, {}),
        ("invalid_request", 400, POST | {"grant_type": ""}, {}),
        ("invalid_scope", 400, POST | {"scope": "everything"}, {}),
        ("invalid_request", 400, [("grant_type", "client_credentials"), *POST.items()], {}),
        ("invalid_request", 400, POST, basic("shop", "secret")),
        ("invalid_request", 400, GRANT | {"client_id": "other"}, basic("shop", "secret")),
        ("invalid_request", 400, {f"field-{number}": "x" for number in range(30)}, {}),
        ("invalid_request", 400, b"grant_type=%FF", {"Content-Type": "application/x-www-form-urlencoded"}),
        ("invalid_request", 400, b'{"grant_type":"client_credentials"}', {"Content-Type": "application/json"}),
        ("invalid_request", 413, POST | {"padding": "x" * MAX_BODY_BYTES}, {}),
        ("invalid_client", 401, GRANT, {}),
        ("invalid_client", 401, GRANT | {"client_id": "shop"}, {}),
        ("invalid_client", 401, GRANT, {"Authorization": "Bearer x"}),
        ("invalid_client", 401, GRANT, {"Authorization": "Basic !"}),
        ("invalid_client", 401, GRANT, {"Authorization": "Basic /w=="}),
    ],
)
async def test_what_is_wrong_with_a_request_is_said_as_rfc_6749_has_it(
    http: aiohttp.ClientSession, error: str, status: int, data: object, headers: dict[str, str]
) -> None:
    form = aiohttp.FormData(data) if isinstance(data, (dict, list)) else data
    await refused(http, status, error, form, headers)


async def test_guessing_is_answered_with_a_wait(http: aiohttp.ClientSession) -> None:
    for _ in range(BURST):
        await refused(http, 401, "invalid_client", POST | {"client_secret": "guess"})
    headers, _ = await refused(http, 429, "temporarily_unavailable", POST)
    assert int(headers["Retry-After"]) >= 1


async def test_without_the_store_the_answer_is_to_come_again(http: aiohttp.ClientSession, store: MemoryStore) -> None:
    store.down = True
    headers, _ = await refused(http, 503, "temporarily_unavailable", POST)
    assert int(headers["Retry-After"]) >= 1
    async with http.get("/.well-known/jwks.json") as keys:
        assert keys.status == 200


async def test_a_failure_of_ours_says_nothing_of_what_it_was(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*args: object) -> None:
        raise ZeroDivisionError("inner detail")

    monkeypatch.setattr(MemoryClients, "find", broken)
    _, body = await refused(http, 500, "server_error", POST)
    assert "inner detail" not in body


async def test_a_body_that_never_comes_is_given_up(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.auth.http.REQUEST_SECONDS", 0.05)
    never = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"grant_type="
        await never.wait()

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    await refused(http, 503, "temporarily_unavailable", body(), headers)


async def test_a_header_that_cannot_be_parsed_is_refused_and_not_logged(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    async with http.get("/.well-known/jwks.json") as response:
        reader, writer = await asyncio.open_connection("127.0.0.1", response.url.port)
    writer.write(b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nAuthorization: Basic c2hvcDpzZWNyZXQ=\x01\r\n\r\n")
    assert b" 400 " in await reader.readline()
    writer.close()
    assert "c2hvcDpzZWNyZXQ" not in caplog.text


async def test_other_methods_are_not_allowed(http: aiohttp.ClientSession) -> None:
    async with http.get("/oauth2/token") as response:
        assert response.status == 405


async def test_a_request_under_way_is_finished_when_the_server_stops(store: MemoryStore, keyring: Keyring) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    class Held(QuickHashing):
        async def matches(self, secret_hash: str, secret: str) -> bool:
            entered.set()
            await release.wait()
            return True

    tokens = Tokens(
        issuer=ISSUER,
        audience="clarion",
        token_seconds=900,
        clients=MemoryClients(store),
        hashing=Held(),
        decoy_hash="decoy",
        attempts=Attempts(now=lambda: 0.0),
        keyring=keyring,
        clock=utc_now,
        new_id=numbered("jti"),
    )
    application = Endpoints(issuer=ISSUER, tokens=tokens, keyring=keyring).application()
    async with bound(application, address="127.0.0.1", port=0) as server, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{server.port}"

        async def ask() -> int:
            async with session.post(f"{url}/oauth2/token", data=POST) as response:
                return response.status

        asking, running = asyncio.create_task(ask()), asyncio.create_task(server.run())
        await entered.wait()
        server.stop()
        await _closed(server.port)
        assert not asking.done()
        release.set()
        assert await asking == 200
        await running


async def _closed(port: int) -> None:
    try:
        while True:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await writer.wait_closed()
    except ConnectionError:
        return


async def test_a_port_that_is_taken_is_named_with_its_variable(http: aiohttp.ClientSession) -> None:
    async with http.get("/.well-known/jwks.json") as response:
        port = response.url.port or 0
    with pytest.raises(StartupError, match=f"port {port} .* CLARION_AUTH_HTTP_PORT"):
        async with bound(aiohttp.web.Application(), address="127.0.0.1", port=port):
            pass
