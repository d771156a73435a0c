"""The auth service as the process that it is, with a real MongoDB."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
import grpc
import jwt
import pytest
from clarion.auth import v1
from pymongo import MongoClient

from deploy.local.machine.ports import free_ports
from services.runtime.mongo import Document
from tests.forwarding import forwarding
from tests.processes import serving, started
from tests.serving import refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ADMIN = {"client_id": "root", "client_secret": "a secret of the root", "tenant": "clarion", "roles": ["platform_admin"]}
SHOP = {"client_id": "shop", "client_secret": "a secret of the shop", "tenant": "acme", "roles": ["sender"]}


@pytest.fixture
def environment(mongo_url: str, mongo_database: str, tmp_path: Path) -> dict[str, str]:
    clients = tmp_path / "clients.json"
    clients.write_text(json.dumps([ADMIN, SHOP]))
    key = tmp_path / "key"
    key.write_text(base64.b64encode(b"k" * 32).decode() + "\n")
    (port,) = free_ports(1)
    return {
        "CLARION_MONGO_URL": mongo_url,
        "CLARION_MONGO_DATABASE": mongo_database,
        "CLARION_ISSUER": f"http://127.0.0.1:{port}",
        "CLARION_AUTH_HTTP_PORT": str(port),
        "CLARION_PAGE_TOKEN_KEY": "0123456789abcdef",
        "CLARION_CREDENTIAL_KEY_FILE": str(key),
        "CLARION_BOOTSTRAP_CLIENTS_FILE": str(clients),
        "CLARION_KEY_PUBLISH_SECONDS": "0",
    }


async def token(environment: Mapping[str, str], client: Mapping[str, object]) -> str:
    credentials = {"client_id": str(client["client_id"]), "client_secret": str(client["client_secret"])}
    form = {"grant_type": "client_credentials", **credentials}
    async with (
        aiohttp.ClientSession() as session,
        session.post(environment["CLARION_ISSUER"] + "/oauth2/token", data=form) as response,
    ):
        assert response.status == 200, await response.text()
        return str((await response.json())["access_token"])


def bearer(access_token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {access_token}"),)


async def test_tokens_open_the_api_and_outlive_a_rotation_and_a_restart(environment: dict[str, str]) -> None:
    async with serving("services.auth", environment) as (process, channel):
        auth = v1.AuthServiceStub(channel)
        old = await token(environment, ADMIN)
        rotated = await auth.RotateSigningKey(v1.RotateSigningKeyRequest(), metadata=bearer(old))
        new = await token(environment, ADMIN)
        assert jwt.get_unverified_header(new)["kid"] == rotated.key_id
        created = await auth.CreateClient(v1.CreateClientRequest(roles=[v1.ROLE_VIEWER]), metadata=bearer(old))
        process.terminate()
        assert await process.end() == 0
        assert process.names[-2:] == ["process_draining", "process_ended"]
    async with serving("services.auth", environment) as (_, channel):
        auth = v1.AuthServiceStub(channel)
        for each in (old, new):
            listed = await auth.ListClients(v1.ListClientsRequest(), metadata=bearer(each))
            assert {client.client_id for client in listed.clients} == {"root", created.client.client_id}


async def test_a_senders_token_does_not_open_administration(environment: dict[str, str]) -> None:
    async with serving("services.auth", environment) as (_, channel):
        auth = v1.AuthServiceStub(channel)
        metadata = bearer(await token(environment, SHOP))
        refused = await refusal(auth.ListClients(v1.ListClientsRequest(), metadata=metadata))
        assert refused.code is grpc.StatusCode.PERMISSION_DENIED
        refused = await refusal(auth.ListClients(v1.ListClientsRequest()))
        assert refused.code is grpc.StatusCode.UNAUTHENTICATED


async def test_replicas_that_start_together_agree(
    environment: dict[str, str], mongo_url: str, mongo_database: str
) -> None:
    ports = free_ports(3)
    async with AsyncExitStack() as stack:
        replicas = [environment | {"CLARION_AUTH_HTTP_PORT": str(port)} for port in ports]
        starts = [serving("services.auth", each) for each in replicas]
        await asyncio.gather(*(start.__aenter__() for start in starts))
        for start in starts:
            stack.push_async_exit(start.__aexit__)
        with MongoClient[Document](mongo_url) as client:
            database = client[mongo_database]
            assert database["keys"].count_documents({}) == 1
            assert sorted(each["subject"] for each in database["audit"].find({"action": "client.create"})) == [
                "root",
                "shop",
            ]
        for port in ports:
            await token(environment | {"CLARION_ISSUER": f"http://127.0.0.1:{port}"}, SHOP)


async def test_no_secret_is_stored_or_logged(environment: dict[str, str], mongo_url: str, mongo_database: str) -> None:
    async with serving("services.auth", environment | {"CLARION_LOG_LEVEL": "DEBUG"}) as (process, channel):
        root = await token(environment, ADMIN)
        await v1.AuthServiceStub(channel).ListClients(v1.ListClientsRequest(), metadata=bearer(root))
        process.terminate()
        await process.end()
        logged = repr(process.events) + await process.complaint()
    with MongoClient[Document](mongo_url) as client:
        database = client[mongo_database]
        stored = repr([list(database[name].find()) for name in ("clients", "keys", "audit")])
    for secret in ("a secret of the root", root):
        assert secret not in stored
        assert secret not in logged


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"CLARION_CREDENTIAL_KEY_FILE": "/nowhere/key"}, "CLARION_CREDENTIAL_KEY: the file /nowhere/key cannot be"),
        ({"CLARION_BOOTSTRAP_CLIENTS_FILE": "/nowhere/clients"}, "/nowhere/clients cannot be read"),
        ({"CLARION_TOKEN_SECONDS": "1"}, "CLARION_TOKEN_SECONDS"),
        ({"CLARION_MONGO_URL": "mongodb://127.0.0.1:1/?replicaSet=rs0"}, "the store cannot be reached"),
    ],
)
async def test_why_it_cannot_start_is_one_line(environment: dict[str, str], change: dict[str, str], said: str) -> None:
    ports = {"CLARION_GRPC_PORT": "0", "CLARION_METRICS_PORT": "0"}
    async with started("services.auth", environment | ports | change) as process:
        assert await process.end() == 2
        complaint = await process.complaint()
    assert complaint.startswith("clarion auth: cannot start: ")
    assert said in complaint
    assert complaint.count("\n") == 1


async def test_keys_that_were_sealed_with_another_key_stop_the_start(environment: dict[str, str]) -> None:
    async with serving("services.auth", environment):
        pass
    other = {"CLARION_CREDENTIAL_KEY": base64.b64encode(b"x" * 32).decode(), "CLARION_CREDENTIAL_KEY_FILE": ""}
    ports = {"CLARION_GRPC_PORT": "0", "CLARION_METRICS_PORT": "0"}
    async with started("services.auth", environment | other | ports) as process:
        assert await process.end() == 2
        assert "another CLARION_CREDENTIAL_KEY" in await process.complaint()


async def test_while_mongodb_is_away_requests_are_told_to_come_again(
    environment: dict[str, str], mongo_url: str
) -> None:
    host, port = urlsplit(mongo_url).hostname, urlsplit(mongo_url).port
    assert host is not None
    assert port is not None
    async with forwarding(host, port) as mongodb:
        url = f"mongodb://127.0.0.1:{mongodb.port}/?directConnection=true"
        async with serving("services.auth", environment | {"CLARION_MONGO_URL": url}) as (_, channel):
            metadata = bearer(await token(environment, ADMIN))
            mongodb.cut()
            auth = v1.AuthServiceStub(channel)
            refused = await refusal(auth.ListClients(v1.ListClientsRequest(), metadata=metadata))
            assert refused.code is grpc.StatusCode.UNAVAILABLE
            assert refused.retry_after
            form = {"grant_type": "client_credentials", "client_id": "shop", "client_secret": "any"}
            async with aiohttp.ClientSession(environment["CLARION_ISSUER"]) as session:
                async with session.post("/oauth2/token", data=form) as response:
                    assert response.status == 503
                    assert int(response.headers["Retry-After"]) >= 1
                async with session.get("/.well-known/jwks.json") as response:
                    assert len((await response.json())["keys"]) == 1
