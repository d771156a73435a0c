"""The `clarion` command, as a shell sees it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from deploy.local.composition.environment import SERVICES
from deploy.local.machine.folder import StackFolder
from deploy.local.machine.places import project_folder
from deploy.local.supervision.leftovers import alive
from deploy.local.supervision.state import StateFile
from tests.integration.local.stand_ins import nothing_left

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Clarion = Callable[..., Awaitable[tuple[int, str, str]]]

_WITHOUT_SERVICES = [f"--without={service.name}" for service in SERVICES]


@pytest.fixture
async def clarion(tmp_path: Path, local_environ: dict[str, str]) -> AsyncIterator[Clarion]:
    async def run(*arguments: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "deploy.local", *arguments),
            cwd=project_folder(),
            env={**local_environ, "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def of_home(*arguments: str) -> tuple[int, str, str]:
        return await run(*arguments, "--data", str(tmp_path))

    yield of_home
    await of_home("down")


async def test_a_stack_in_the_background_from_up_to_down(clarion: Clarion, tmp_path: Path) -> None:
    code, out, err = await clarion("up", "--detach", *_WITHOUT_SERVICES)
    assert (code, err) == (0, "")
    assert "stack default is up" in out
    assert "NotificationService/SendNotification" in out

    code, out, _ = await clarion("status", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["healthy"] is True
    assert {each["name"] for each in document["processes"]} == {"mongodb", "redis", "kafka", "envoy"}

    code, _, err = await clarion("up", "--detach", *_WITHOUT_SERVICES)
    assert code == 1
    assert "stack default is running already" in err

    assert (await clarion("restart", "redis"))[0] == 0
    assert (await clarion("stop", "envoy"))[0] == 0
    code, out, _ = await clarion("status")
    assert code == 1
    assert "stopped" in out
    assert (await clarion("start", "envoy"))[0] == 0
    assert (await clarion("status"))[0] == 0

    code, out, _ = await clarion("logs", "mongodb", "-n", "1")
    assert code == 0
    assert len(out.splitlines()) == 1

    code, out, _ = await clarion("down")
    assert (code, out.strip()) == (0, "stack default is down")
    assert (await clarion("status"))[0] == 3
    await nothing_left(tmp_path)


async def test_nothing_is_left_when_the_supervisor_is_killed_and_the_next_up_works(
    clarion: Clarion, tmp_path: Path
) -> None:
    assert (await clarion("up", "--detach", *_WITHOUT_SERVICES))[0] == 0
    folder = StackFolder(tmp_path / "default")
    supervisor = folder.held_by()
    assert supervisor is not None
    recorded = StateFile(folder.state).recorded()
    assert len(recorded) == 4
    os.kill(supervisor, signal.SIGKILL)
    async with asyncio.timeout(10):
        while alive(recorded):  # noqa: ASYNC110 - processes of others tell nobody when they end
            await asyncio.sleep(0.02)
    await nothing_left(tmp_path)
    assert (await clarion("status"))[0] == 3
    code, _, err = await clarion("up", "--detach", *_WITHOUT_SERVICES)
    assert (code, err) == (0, "")


@pytest.mark.parametrize("detached", [[], ["--detach"]], ids=["in front", "behind"])
async def test_ctrl_c_while_it_starts_leaves_nothing(
    tmp_path: Path, local_environ: dict[str, str], detached: list[str]
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local", "up", "--data", str(tmp_path), *detached, *_WITHOUT_SERVICES),
        cwd=project_folder(),
        env=local_environ,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert b"starting" in await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    await process.stdout.read()
    assert await process.wait() == 130
    await nothing_left(tmp_path)


async def test_what_is_wrong_is_said_in_one_line_with_a_remedy(clarion: Clarion) -> None:
    code, _, err = await clarion("up", "--stack", "Not A Name")
    assert (code, err.count("\n")) == (1, 1)
    assert "cannot name a stack: use up to 30 lower-case letters" in err
    code, _, err = await clarion("up", "--without", "nonsense")
    assert (code, err.count("\n")) == (1, 1)
    assert "no service named nonsense: choose from auth" in err
    code, _, err = await clarion("logs", "nonsense")
    assert (code, err.count("\n")) == (1, 1)


async def test_a_problem_of_a_background_supervisor_is_said_in_front(clarion: Clarion) -> None:
    code, _, err = await clarion("up", "--detach", "--without", "nonsense")
    assert code == 1
    assert "no service named nonsense: choose from auth" in err


async def test_a_port_that_is_none_is_wrong_usage(clarion: Clarion) -> None:
    code, _, err = await clarion("up", "--port", "notification.grpc=http")
    assert code == 2
    assert "NAME=PORT" in err


@pytest.mark.parametrize("command", ["up", "down", "status", "logs", "restart", "stop", "start", "doctor"])
async def test_every_command_has_an_example(clarion: Clarion, command: str) -> None:
    code, out, _ = await clarion(command, "--help")
    assert code == 0
    assert "Example" in out
    assert f"clarion {command}" in out
