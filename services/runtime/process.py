"""The life of a process: settings, start, serve, drain, end."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import structlog
import uvloop

from services.runtime import logs, metrics, settings, tracing
from services.runtime.errors import ClarionError, StartupError
from services.runtime.server import Add, Guard, Server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from contextlib import AbstractAsyncContextManager

    from services.runtime.identity import Verifier

log = structlog.get_logger()
AnySettings = TypeVar("AnySettings", bound=settings.ProcessSettings)
Resource = TypeVar("Resource")


class Process(Generic[AnySettings]):
    """What a bootstrap works with: settings, resources that close in reverse order, background work, servicers."""

    def __init__(self, name: str, values: AnySettings, stack: AsyncExitStack, *, traced: bool) -> None:
        """One a process; `traced` says whether spans are exported."""
        self.name, self.settings, self.traced = name, values, traced
        self._stack = stack
        self._work: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {}
        self._stops: list[Callable[[], None]] = []
        self._servicers: dict[str, Add] = {}
        self._verifier: Verifier | None = None
        self._access: Mapping[str, frozenset[str]] = {}

    async def open(self, resource: AbstractAsyncContextManager[Resource]) -> Resource:
        """Open something that is closed when the process ends, after everything opened later."""
        return await self._stack.enter_async_context(resource)

    def work(self, name: str, run: Callable[[], Coroutine[Any, Any, None]], *, stop: Callable[[], None]) -> None:
        """Run something for as long as the process lives; its failure ends the process. `stop` asks it to finish."""
        self._work[name] = run
        self._stops.append(stop)

    def on_drain(self, stop: Callable[[], None]) -> None:
        """Do this when intake stops: for what would otherwise not end by itself, such as streams."""
        self._stops.append(stop)

    def serve(self, servicers: Mapping[str, Add]) -> None:
        """Serve these (full service name → what adds the servicer)."""
        self._servicers.update(servicers)

    def admit(self, verifier: Verifier, access: Mapping[str, frozenset[str]]) -> None:
        """Take calls whose token this verifies, for the methods that the table allows them."""
        self._verifier, self._access = verifier, access

    async def live(self, ended: asyncio.Event) -> None:
        """Serve until `ended` is set or background work fails; then drain, within the settings' drain time."""
        server = Server(
            self._servicers,
            address=self.settings.bind_address,
            port=self.settings.grpc_port,
            guard=Guard(self._verifier, self._access),
            traced=self.traced,
        )
        tasks = [asyncio.create_task(run(), name=name) for name, run in self._work.items()]
        await server.start()
        log.info("process_serving", port=server.port)
        waiting = asyncio.create_task(ended.wait())
        await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        await self._drain(server, tasks, waiting)

    async def _drain(self, server: Server, tasks: list[asyncio.Task[None]], waiting: asyncio.Task[Any]) -> None:
        log.info("process_draining", seconds=self.settings.drain_seconds)
        until = asyncio.get_running_loop().time() + self.settings.drain_seconds
        await server.announce_end()
        if waiting.done():
            await asyncio.sleep(self.settings.drain_notice_seconds)
        waiting.cancel()
        for stop in self._stops:
            stop()
        await server.stop(max(0.1, until - asyncio.get_running_loop().time()))
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=max(0.1, until - asyncio.get_running_loop().time()))
            for task in late:
                log.error("work_cut_off", work=task.get_name())
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for failure in results:
            if isinstance(failure, Exception):
                raise failure


def run(name: str, kind: type[AnySettings], build: Callable[[Process[AnySettings]], Awaitable[None]]) -> None:
    """Be the process `name` until SIGTERM or SIGINT. Exits with 0 after a drain, 2 if it cannot start, 1 on failure."""
    try:
        values = settings.load(kind)
        logs.configure(name, values.log_level)
        with tracing.exported(name, values.otlp_endpoint) as traced:
            uvloop.run(_run(name, values, build, traced=traced))
    except StartupError as exc:
        sys.stderr.write(f"clarion {name}: cannot start: {exc}\n")
        raise SystemExit(2) from None
    except Exception:
        log.exception("process_failed")
        raise SystemExit(1) from None


async def _run(
    name: str,
    values: AnySettings,
    build: Callable[[Process[AnySettings]], Awaitable[None]],
    *,
    traced: bool,
) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    with metrics.serve(values.bind_address, values.metrics_port):
        async with AsyncExitStack() as stack:
            process = Process(name, values, stack, traced=traced)
            try:
                await build(process)
            except ClarionError as exc:
                raise StartupError(str(exc)) from exc
            await process.live(ended)
    log.info("process_ended")
