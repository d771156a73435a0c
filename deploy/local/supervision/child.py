"""One supervised process: started, watched, started again after a crash, drained on the way out."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from deploy.local.problem import Problem
from deploy.local.supervision.spec import ProcessStatus, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.local.supervision.backoff import Backoff
    from deploy.local.supervision.command import Command
    from deploy.local.supervision.logfile import LogFile
    from deploy.local.supervision.spec import ProcessSpec
    from deploy.local.supervision.state import StateFile

_POLL_SECONDS = 0.1


class Child:
    """Keeps one process of a stack alive from `start` to `stop`; `stop` leaves nothing of its group."""

    def __init__(
        self, spec: ProcessSpec, *, log: LogFile, state: StateFile, backoff: Backoff, clock: Callable[[], float]
    ) -> None:
        """Take what to run, where its output goes, and how patient to be; `clock` is monotonic, in seconds."""
        self.spec = spec
        self._log = log
        self._recorded = state
        self._backoff = backoff
        self._clock = clock
        self._keeping: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._state = State.WAITING
        self._changed = asyncio.Event()
        self._problem: Problem | None = None
        self._was_ready = False
        self._began = 0.0
        self._restarts = 0
        self._last_exit: int | None = None

    def start(self) -> None:
        """Begin to keep it running; nothing happens if it is kept already."""
        if self._keeping is None or self._keeping.done():
            self._problem = None
            self._was_ready = False
            self._enter(State.STARTING)
            self._keeping = asyncio.create_task(self._keep(), name=f"keep {self.spec.name}")

    async def stop(self) -> None:
        """Ask it to end, wait as long as it may take, and then kill what is left; it is not started again."""
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeping
            self._keeping = None
        self._enter(State.STOPPED)

    def kill(self) -> None:
        """End it and all it started at once; a `stop` under way then returns."""
        if self._process is not None:
            self._signal(signal.SIGKILL)

    async def until_ready(self) -> None:
        """Wait until it is ready. Raises Problem if it was given up or stopped."""
        while self._state not in {State.READY, State.FAILED, State.STOPPED}:
            await self._changed.wait()
        if self._state is not State.READY:
            raise self._problem or Problem(f"{self.spec.name} was stopped", remedy="start it again")

    async def status(self) -> ProcessStatus:
        """Say how it is now, asking it whether it is healthy."""
        healthy = self._state is State.READY and await self.spec.ready()
        process = self._process
        return ProcessStatus(
            name=self.spec.name,
            rank=self.spec.rank.name.lower(),
            state=self._state,
            healthy=healthy,
            pid=process.pid if process is not None else None,
            restarts=self._restarts,
            last_exit=self._last_exit,
            up_seconds=self._clock() - self._began if self._state is State.READY else 0.0,
            address=self.spec.address,
            metrics=self.spec.metrics,
            description=self.spec.description,
            log=str(self._log.path),
        )

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self._state

    @property
    def restarts(self) -> int:
        """How often it has been started again after a crash."""
        return self._restarts

    def rotate_log(self) -> None:
        """Keep its log within its bound."""
        self._log.rotate()

    def _enter(self, state: State) -> None:
        self._state = state
        self._changed.set()
        self._changed = asyncio.Event()

    async def _keep(self) -> None:
        crashes = 0
        try:
            while True:
                self._enter(State.STARTING)
                command = await asyncio.to_thread(self.spec.command)
                if command is None:
                    await self._until_it_answers(None)
                    await asyncio.Event().wait()
                    return
                self._began = self._clock()
                code = await self._run(command)
                self._last_exit = code
                crashes = self._backoff.crashes_in_a_row(crashes, up_for=self._clock() - self._began)
                if not self._was_ready and crashes >= self.spec.attempts:
                    self._give_up(self._ended_too_often(code))
                    return
                self._restarts += 1
                self._enter(State.BACKING_OFF)
                await asyncio.sleep(self._backoff.delay(crashes))
        except Problem as problem:
            self._give_up(problem)
        except Exception as exc:
            # A keeper that died unseen would leave those who wait for the process waiting for ever.
            self._give_up(Problem(f"{self.spec.name} cannot be run ({exc})", remedy=f"see {self._log.path}"))

    async def _run(self, command: Command) -> int:
        """Run it once, from its start to its end, whoever ends it."""
        process = await self._spawn(command)
        self._process = process
        self._recorded.record(self.spec.name, process.pid)
        ended = asyncio.create_task(process.wait())
        try:
            await self._until_it_answers(ended)
            # Waited for, not awaited: a cancellation is ours and must not reach the one that watches for the end.
            await asyncio.wait({ended})
            return ended.result()
        except (asyncio.CancelledError, Problem):
            self._enter(State.STOPPING)
            await self._drain(ended)
            raise
        finally:
            self._signal(signal.SIGKILL)
            self._process = None
            self._recorded.forget(self.spec.name)

    async def _spawn(self, command: Command) -> asyncio.subprocess.Process:
        with self._log.path.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *command.wrapped(),
                cwd=command.directory,
                env={**os.environ, **command.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )

    async def _until_it_answers(self, ended: asyncio.Task[int] | None) -> None:
        """Ask until it is ready or has ended. Raises Problem when it takes too long."""
        deadline = self._clock() + self.spec.start_seconds
        while not await self.spec.ready():
            if self._clock() > deadline:
                raise Problem(
                    f"{self.spec.name} was not ready within {self.spec.start_seconds:.0f} s",
                    remedy=f"see {self._log.path}",
                )
            if ended is None:
                await asyncio.sleep(_POLL_SECONDS)
            elif await asyncio.wait({ended}, timeout=_POLL_SECONDS) != (set(), {ended}):
                return
        if ended is not None and ended.done():
            return
        if self.spec.once_ready is not None:
            await self.spec.once_ready()
        self._was_ready = True
        self._enter(State.READY)

    async def _drain(self, ended: asyncio.Task[int]) -> None:
        if not ended.done():
            self._signal(signal.SIGTERM)
            await asyncio.wait({ended}, timeout=self.spec.stop_seconds)
        if not ended.done():
            self._signal(signal.SIGKILL)
        self._last_exit = await ended

    def _signal(self, signum: signal.Signals) -> None:
        # To the group: what it started goes with it.
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signum)

    def _give_up(self, problem: Problem) -> None:
        self._problem = problem
        self._enter(State.FAILED)

    def _ended_too_often(self, code: int) -> Problem:
        times = "once" if self.spec.attempts == 1 else f"{self.spec.attempts} times"
        return Problem(
            f"{self.spec.name} ended {times} before it was ready (exit code {code}; last words: {self._log.last_words()})",
            remedy=f"see {self._log.path}",
        )
