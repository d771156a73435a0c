"""Stacks as a whole: side by side, kept ports, and what a killed supervisor leaves."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from deploy.local.console.ending import end_stack
from deploy.local.machine.ports import free_ports
from deploy.local.problem import Problem
from deploy.local.stack import Stack, StackOptions
from deploy.local.supervision.control import ControlClient, NotRunning
from deploy.local.supervision.leftovers import alive
from deploy.local.supervision.spec import State, statuses
from deploy.local.supervision.state import StateFile
from tests.integration.local.stand_ins import nothing_left, planner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

_SUPERVISOR = "tests.integration.local.supervise_stand_ins"


def stack(home: Path, name: str = "one", *, ports: dict[str, int] | None = None) -> Stack:
    return Stack(StackOptions(name=name, home=home, ports=ports or {}), planner=planner)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True) as it:
        yield it
        it.kill()


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", _SUPERVISOR, str(tmp_path), "one"), stdout=subprocess.PIPE
    )
    yield process
    if process.returncode is None:
        process.kill()
        await process.wait()


async def test_stacks_run_side_by_side_and_end_alone(tmp_path: Path) -> None:
    async with stack(tmp_path, "one") as one:
        async with stack(tmp_path, "two") as two:
            addresses = [each.address for each in [*await one.status(), *await two.status()]]
            assert len(set(addresses)) == 6
        assert all(each.healthy for each in await one.status())
        await nothing_left(tmp_path / "two")
    await nothing_left(tmp_path)


async def test_a_stack_keeps_its_ports_from_run_to_run(tmp_path: Path) -> None:
    runs = []
    for _ in range(2):
        async with stack(tmp_path) as running:
            runs.append([each.address for each in await running.status()])
    assert runs[0] == runs[1]


async def test_a_fixed_port_that_is_taken_is_named_with_its_holder(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Problem, match=rf"port {port} for service is taken by .*pid {os.getpid()}"):
        await stack(tmp_path, ports={"service": port}).start()
    server.close()
    await server.wait_closed()


async def test_a_kept_port_that_is_taken_is_replaced(tmp_path: Path) -> None:
    async with stack(tmp_path) as running:
        taken = {each.name: int(each.address.rpartition(":")[2]) for each in await running.status()}["service"]
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", taken)
    async with stack(tmp_path) as running:
        address = {each.name: each.address for each in await running.status()}["service"]
        assert address != f"127.0.0.1:{taken}"
    server.close()
    await server.wait_closed()


async def test_a_stack_that_runs_is_not_started_twice(tmp_path: Path) -> None:
    async with stack(tmp_path) as running:
        with pytest.raises(Problem, match=rf"running already \(supervisor pid {os.getpid()}\)"):
            await stack(tmp_path).start()
        assert all(each.healthy for each in await running.status())


async def test_a_stack_that_does_not_come_up_leaves_nothing(tmp_path: Path) -> None:
    blocked = stack(tmp_path, ports={"nobody-asked": free_ports(1)[0]})
    with pytest.raises(Problem, match="no port named nobody-asked"):
        await blocked.start()
    await nothing_left(tmp_path)
    async with stack(tmp_path) as running:
        assert len(await running.status()) == 3


async def test_a_supervisor_that_is_killed_takes_its_processes_with_it(
    tmp_path: Path, supervisor: asyncio.subprocess.Process
) -> None:
    folder = tmp_path / "one"
    assert supervisor.stdout is not None
    assert await supervisor.stdout.readline() == b"up\n"
    recorded = StateFile(folder / "state.json").recorded()
    assert len(alive(recorded)) == 4  # with what the service has started
    supervisor.kill()
    await supervisor.wait()
    leaders = {each.pid for each in recorded}
    async with asyncio.timeout(5):
        while any(process.pid in leaders for _, process in alive(recorded)):  # noqa: ASYNC110 - not our children
            await asyncio.sleep(0.02)
    with pytest.raises(NotRunning):
        await ControlClient(socket=folder / "control.sock").ask("status")
    async with stack(tmp_path) as again:
        # What the service itself had started outlived both; its number leads to it.
        assert again.cleaned_up == ["service"]
        assert all(each.healthy for each in await again.status())
    await nothing_left(tmp_path)


async def test_what_outlived_its_supervisor_is_ended_by_the_next_start(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    (tmp_path / "one").mkdir()
    StateFile(tmp_path / "one" / "state.json").record("service", sleeper.pid)
    async with stack(tmp_path) as running:
        assert running.cleaned_up == ["service"]
    assert sleeper.poll() is not None


async def test_what_outlived_its_supervisor_is_ended_by_down(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    (tmp_path / "one").mkdir()
    StateFile(tmp_path / "one" / "state.json").record("service", sleeper.pid)
    assert "ended what was left of it: service" in await end_stack(stack(tmp_path).folder)
    assert sleeper.poll() is not None


async def test_a_stranger_with_the_pid_of_a_former_process_is_left_alone(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    (tmp_path / "one").mkdir()
    file = tmp_path / "one" / "state.json"
    StateFile(file).record("service", sleeper.pid)
    began = str(StateFile(file).recorded()[0].began)
    file.write_text(file.read_text().replace(began, "1000.0"))
    async with stack(tmp_path) as running:
        assert running.cleaned_up == []
    assert sleeper.poll() is None


async def test_processes_are_controlled_over_the_socket(tmp_path: Path) -> None:
    async with stack(tmp_path) as running:
        client = ControlClient(socket=running.folder.socket)
        await client.ask("stop", "worker")
        states = {each.name: each.state for each in statuses(await client.ask("status"))}
        assert states == {"worker": State.STOPPED, "service": State.READY, "engine": State.READY}
        await client.ask("start", "worker")
        await client.ask("restart", "service")
        assert all(each.healthy for each in statuses(await client.ask("status")))
        with pytest.raises(Problem, match="no process named nothing"):
            await client.ask("stop", "nothing")
        await client.ask("down")
        async with asyncio.timeout(5):
            await running.until_asked_to_go_down()
