"""The only place that constructs things."""

from __future__ import annotations

import random
import ssl
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

import structlog
from pydantic import ValidationError

from services.runtime.errors import StartupError
from services.simulators.apns.peer import ApnsPeer
from services.simulators.credentials import Credentials
from services.simulators.fcm.peer import FcmPeer
from services.simulators.inspection import Inspection
from services.simulators.sms.peer import SmsPeer
from services.simulators.smtp.peer import SmtpPeer
from services.simulators.wire.listener import server_context

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from services.runtime.process import Process
    from services.simulators.ledger import Clock
    from services.simulators.settings import Settings, SimulatorOptions

log = structlog.get_logger()


class Simulators:
    """All four peers and their inspection API; they listen while entered."""

    def __init__(self, options: SimulatorOptions, *, clock: Clock, rng: random.Random, host: str = "127.0.0.1") -> None:
        cert, key, kept = options.sim_cert_file, options.sim_key_file, options.sim_ledger_capacity
        callback_ca = options.sim_callback_ca_file
        self.fcm = FcmPeer(
            host=host,
            port=options.sim_fcm_port,
            tls=server_context(cert, key, "h2", "http/1.1"),
            clock=clock,
            rng=rng,
            capacity=kept,
        )
        self.apns = ApnsPeer(
            host=host,
            port=options.sim_apns_port,
            tls=server_context(cert, key, "h2"),
            clock=clock,
            rng=rng,
            capacity=kept,
        )
        self.sms = SmsPeer(
            host=host,
            port=options.sim_sms_port,
            tls=server_context(cert, key, "http/1.1"),
            clock=clock,
            rng=rng,
            capacity=kept,
            callback_tls=ssl.create_default_context(cafile=str(callback_ca)) if callback_ca else None,
        )
        self.smtp = SmtpPeer(
            host=host,
            port=options.sim_smtp_port,
            tls=server_context(cert, key),
            clock=clock,
            rng=rng,
            capacity=kept,
            size_limit=options.sim_smtp_size_limit,
        )
        self.inspection = Inspection(
            host=host,
            port=options.sim_inspect_port,
            fcm=self.fcm,
            apns=self.apns,
            sms=self.sms,
            smtp=self.smtp,
        )
        self._stack = AsyncExitStack()

    def register(self, credentials: Credentials) -> None:
        """Let everyone in the file send."""
        for project in credentials.fcm:
            self.fcm.register(project)
        for team in credentials.apns:
            self.apns.register(team)
        for sms_account in credentials.sms:
            self.sms.register(sms_account)
        for smtp_account in credentials.smtp:
            self.smtp.register(smtp_account)

    async def __aenter__(self) -> Self:
        """Start listening, all or none."""
        async with AsyncExitStack() as stack:
            for part in (self.fcm, self.apns, self.sms, self.smtp, self.inspection):
                await stack.enter_async_context(part)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        await self._stack.aclose()


def read_credentials(path: Path) -> Credentials:
    """Read the credentials file; raises StartupError that names every wrong field."""
    try:
        return Credentials.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise StartupError(f"CLARION_SIM_CREDENTIALS_FILE: cannot be read: {exc.strerror}") from exc
    except ValidationError as exc:
        wrong = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in exc.errors())
        raise StartupError(f"CLARION_SIM_CREDENTIALS_FILE: {'; '.join(wrong)}") from None


async def build(process: Process[Settings]) -> None:
    """Start the peers within the process."""
    values = process.settings
    try:
        simulators = Simulators(
            values,
            clock=time.time,
            rng=random.Random(),  # noqa: S311 - chance, not secrets
            host=values.bind_address,
        )
        if values.sim_credentials_file is not None:
            simulators.register(read_credentials(values.sim_credentials_file))
        await process.open(simulators)
    except OSError as exc:
        # Includes ssl.SSLError: certificates that cannot be loaded, ports that are taken.
        raise StartupError(f"the peers cannot listen: {exc}") from exc
    log.info(
        "simulators_listening",
        fcm=simulators.fcm.port,
        apns=simulators.apns.port,
        sms=simulators.sms.port,
        smtp=simulators.smtp.port,
        inspect=simulators.inspection.port,
    )
