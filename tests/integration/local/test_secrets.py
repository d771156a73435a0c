"""Secrets and certificates of a stack: made once, read by nobody else, good for the clients that use them."""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
import ssl
from typing import TYPE_CHECKING

import pytest

from deploy.local.composition.certificates import peer_certificate
from deploy.local.composition.credentials import stack_secrets
from deploy.local.problem import Problem
from services.simulators.certificates import SERVER_NAMES

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime.datetime.now(datetime.UTC)


def test_secrets_are_the_same_at_the_next_start(tmp_path: Path) -> None:
    first, second = (stack_secrets(tmp_path, services=["auth", "device"]) for _ in range(2))
    assert first == second
    assert first.services["auth"].client_secret == second.services["auth"].client_secret


def test_a_new_service_gets_a_client_and_the_others_keep_theirs(tmp_path: Path) -> None:
    before = stack_secrets(tmp_path, services=["auth"])
    after = stack_secrets(tmp_path, services=["auth", "device"])
    assert after.services["auth"] == before.services["auth"]
    assert after.services["device"].roles == ("service",)


def test_only_their_owner_may_read_them(tmp_path: Path) -> None:
    stack_secrets(tmp_path, services=["auth"])
    peer_certificate(tmp_path, now=NOW)
    private = [file for file in tmp_path.iterdir() if file.suffix != ".pem"]
    assert len(private) == 5
    assert {file.stat().st_mode & 0o777 for file in private} == {0o600}


def test_the_clients_file_is_what_the_auth_service_reads(tmp_path: Path) -> None:
    made = stack_secrets(tmp_path, services=["delivery"])
    clients = {each["client_id"]: each for each in json.loads(made.clients_file.read_text())}
    assert clients.keys() == {"clarion-admin", "demo", "clarion-delivery"}
    assert clients["demo"]["tenant"] == "demo"
    assert "sender" in clients["demo"]["roles"]
    assert all(each["client_secret"] for each in clients.values())


def test_no_secret_is_in_a_representation(tmp_path: Path) -> None:
    made = stack_secrets(tmp_path, services=["delivery"])
    assert made.demo.client_secret not in repr(made)
    assert made.page_token_key not in repr(made)


def test_the_credential_key_has_256_bits(tmp_path: Path) -> None:
    made = stack_secrets(tmp_path, services=[])
    assert len(base64.b64decode(made.credential_key_file.read_text(), validate=True)) == 32


def test_secrets_that_cannot_be_read_are_a_problem_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "clients.json").write_text("nonsense")
    with pytest.raises(Problem, match="remove"):
        stack_secrets(tmp_path, services=[])


def test_the_certificate_is_kept_until_it_nears_its_end(tmp_path: Path) -> None:
    first = peer_certificate(tmp_path, now=NOW).cert_file.read_bytes()
    assert peer_certificate(tmp_path, now=NOW).cert_file.read_bytes() == first
    later = NOW + datetime.timedelta(days=85)
    assert peer_certificate(tmp_path, now=later).cert_file.read_bytes() != first


@pytest.mark.parametrize("name", [*SERVER_NAMES, "127.0.0.1"])
async def test_a_client_that_trusts_the_authority_takes_the_peers_under_their_real_names(
    tmp_path: Path, name: str
) -> None:
    files = peer_certificate(tmp_path, now=NOW)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(files.cert_file, files.key_file)
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=serving)
    trusting = ssl.create_default_context(cafile=str(files.ca_file))
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    port = server.sockets[0].getsockname()[1]
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname=name)
    assert writer.get_extra_info("peercert")
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
