"""Processes of a stack: started in order, restarted after a crash, ended without a trace."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from deploy.local.machine.ports import free_ports
from deploy.local.problem import Problem
from deploy.local.supervision.backoff import Backoff
from deploy.local.supervision.spec import ProcessStatus, Rank, State
from deploy.local.supervision.state import StateFile
from deploy.local.supervision.supervisor import Supervisor
from tests.integration.local.stand_ins import journal, nothing_left, pids_of, spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from deploy.local.supervision.spec import ProcessSpec

    Supervise = Callable[..., Supervisor]


@pytest.fixture
async def supervise(tmp_path: Path) -> AsyncIterator[Supervise]:
    made: list[Supervisor] = []

    def make(*specs: ProcessSpec) -> Supervisor:
        made.append(
            Supervisor(
                specs,
                logs=tmp_path,
                state=StateFile(tmp_path / "state.json"),
                backoff=Backoff(first=0.05, most=0.2),
            )
        )
        return made[-1]

    yield make
    for each in made:
        await each.stop()


async def until(condition: Callable[[ProcessStatus], bool], supervisor: Supervisor) -> ProcessStatus:
    """Wait for the only process to be as asked."""
    async with asyncio.timeout(20):
        while True:
            (status,) = await supervisor.status()
            if condition(status):
                return status
            await asyncio.sleep(0.02)


async def test_a_process_starts_when_what_it_needs_is_ready_and_ends_before_it(
    supervise: Supervise, tmp_path: Path
) -> None:
    ports = free_ports(3)
    supervisor = supervise(
        spec("worker", ports[0], tmp_path, rank=Rank.WORKER, after=("engine", "service")),
        spec("service", ports[1], tmp_path, after=("engine",)),
        spec("engine", ports[2], tmp_path, rank=Rank.ENGINE),
    )
    await supervisor.start()
    await supervisor.stop()
    assert journal(tmp_path) == [
        *("engine began", "service began", "worker began"),
        *("worker ended", "service ended", "engine ended"),
    ]


async def test_a_crashed_process_is_started_again_and_the_status_tells(supervise: Supervise, tmp_path: Path) -> None:
    supervisor = supervise(spec("service", free_ports(1)[0], tmp_path))
    await supervisor.start()
    (before,) = await supervisor.status()
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    after = await until(lambda status: status.restarts == 1 and status.healthy, supervisor)
    assert after.last_exit == -signal.SIGKILL
    assert after.state is State.READY
    assert after.pid != before.pid


async def test_a_process_that_ends_before_it_is_ready_is_given_up_with_its_last_words(
    supervise: Supervise, tmp_path: Path
) -> None:
    supervisor = supervise(spec("service", free_ports(1)[0], tmp_path, "--fails"))
    with pytest.raises(Problem) as raised:
        await supervisor.start()
    assert "service ended 2 times" in raised.value.what
    assert "exit code 7" in raised.value.what
    assert "no such luck" in raised.value.what
    assert str(tmp_path / "service.log") in raised.value.remedy


async def test_those_that_wait_for_a_process_that_was_given_up_are_not_started(
    supervise: Supervise, tmp_path: Path
) -> None:
    ports = free_ports(2)
    supervisor = supervise(
        spec("engine", ports[0], tmp_path, "--fails", rank=Rank.ENGINE),
        spec("service", ports[1], tmp_path, after=("engine",)),
    )
    with pytest.raises(Problem, match="engine ended"):
        await supervisor.start()
    assert journal(tmp_path) == []


async def test_a_stopped_process_stays_down_until_it_is_started(supervise: Supervise, tmp_path: Path) -> None:
    supervisor = supervise(spec("service", free_ports(1)[0], tmp_path))
    await supervisor.start()
    await supervisor.stop_process("service")
    (status,) = await supervisor.status()
    assert (status.state, status.healthy, status.pid) == (State.STOPPED, False, None)
    await supervisor.start_process("service")
    (status,) = await supervisor.status()
    assert (status.state, status.healthy, status.restarts) == (State.READY, True, 0)


async def test_a_process_nobody_knows_is_refused_with_the_names_there_are(supervise: Supervise, tmp_path: Path) -> None:
    supervisor = supervise(spec("service", free_ports(1)[0], tmp_path))
    with pytest.raises(Problem, match=r"no process named nothing.*service"):
        await supervisor.restart_process("nothing")


async def test_a_process_that_ignores_sigterm_is_killed_after_its_time(supervise: Supervise, tmp_path: Path) -> None:
    supervisor = supervise(spec("service", free_ports(1)[0], tmp_path, "--deaf", stop_seconds=0.3))
    await supervisor.start()
    await supervisor.stop()
    assert pids_of(tmp_path) == []


async def test_what_a_process_has_started_ends_with_it(supervise: Supervise, tmp_path: Path) -> None:
    supervisor = supervise(spec("service", free_ports(1)[0], tmp_path, "--child"))
    await supervisor.start()
    assert len(pids_of(tmp_path)) == 2
    await supervisor.stop()
    await nothing_left(tmp_path)


async def test_kill_ends_a_drain_that_takes_too_long(supervise: Supervise, tmp_path: Path) -> None:
    supervisor = supervise(spec("service", free_ports(1)[0], tmp_path, "--deaf", stop_seconds=60))
    await supervisor.start()
    stopping = asyncio.create_task(supervisor.stop())
    await until(lambda status: status.state is State.STOPPING, supervisor)
    supervisor.kill()
    async with asyncio.timeout(5):
        await stopping
