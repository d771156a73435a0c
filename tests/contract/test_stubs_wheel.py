"""The stubs as a distribution of their own: all that a client of Clarion has to install."""

from __future__ import annotations

import asyncio
import os
import sys
import zipfile
from pathlib import Path

import grpc
import pytest
from clarion.auth import v1

ROOT = Path(__file__).parent.parent.parent
UV = Path(sys.executable).with_name("uv")
ALLOWED = {"clarion-stubs", "grpcio", "protobuf", "googleapis-common-protos"}
REQUIRED_BY_GRPC = {"typing-extensions"}
CLIENT = """
import sys
import grpc
from clarion.auth.v1 import ROLE_SENDER, AuthServiceStub, GetClientRequest

with grpc.insecure_channel(sys.argv[1]) as channel:
    answer = AuthServiceStub(channel).GetClient(GetClientRequest(client_id="shop"), timeout=20)
assert list(answer.client.roles) == [ROLE_SENDER]
print(answer.client.client_id, answer.client.tenant)
"""


async def run(*command: str | Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        # uv trusts the machine's certificates, as pip does.
        env={**os.environ, "UV_NATIVE_TLS": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.fixture(scope="module")
async def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    await run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, "proto")
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_typed_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"clarion", "clarion_stubs"}
    assert {"clarion/auth/v1/py.typed", "clarion/auth/v1/auth_service_pb2.pyi", "clarion/descriptors.binpb"} <= set(
        names
    )


@pytest.mark.timeout(300)
async def test_a_call_is_made_with_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    await run(UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "empty")
    python = tmp_path / "empty" / "bin" / "python"
    await run(UV, "pip", "install", "--quiet", "--python", python, "--constraint", "requirements.lock", wheel)
    listed = await run(UV, "pip", "list", "--python", python, "--format", "freeze")
    assert {line.partition("==")[0].partition(" ")[0] for line in listed.splitlines()} == ALLOWED | REQUIRED_BY_GRPC

    async def get_client(request: v1.GetClientRequest, context: object) -> v1.GetClientResponse:
        client = v1.Client(client_id=request.client_id, tenant="acme", roles=[v1.ROLE_SENDER])
        return v1.GetClientResponse(client=client)

    handler = grpc.unary_unary_rpc_method_handler(
        get_client, v1.GetClientRequest.FromString, v1.GetClientResponse.SerializeToString
    )
    server = grpc.aio.server()
    generic = grpc.method_handlers_generic_handler("clarion.auth.v1.AuthService", {"GetClient": handler})
    server.add_generic_rpc_handlers((generic,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        # -I: neither this folder nor the environment lends the call anything.
        assert await run(python, "-I", "-c", CLIENT, f"127.0.0.1:{port}") == "shop acme\n"
    finally:
        await server.stop(1)
