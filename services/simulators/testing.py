"""The four peers on free ports with fresh certificates and credentials, for tests in the same process."""

from __future__ import annotations

import random
import ssl
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.simulators.bootstrap import Simulators
from services.simulators.certificates import issue_server_certificate
from services.simulators.credentials import (
    ApnsKey,
    ServiceAccount,
    SmsAccount,
    SmtpAccount,
)
from services.simulators.settings import SimulatorOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from services.simulators.apns.peer import ApnsPeer
    from services.simulators.fcm.peer import FcmPeer
    from services.simulators.ledger import Clock
    from services.simulators.sms.peer import SmsPeer
    from services.simulators.smtp.peer import SmtpPeer


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSimulators:
    """Four listening peers, and one registered credential for each.

    Addresses: `fcm.url` (`https://127.0.0.1:PORT`; its token endpoint is `fcm.token_url`), `apns.url`,
    `sms.url`, and `smtp.host` with `smtp.port`. Every peer has `ledger` (what it received), `counts()`,
    `await play(Script(...))` (faults, limits, outage) and `await reset()`. `inspect_url` serves the same
    over plain HTTP. Clients must trust `ca_file` and may use `client_context()`.
    """

    fcm: FcmPeer
    apns: ApnsPeer
    sms: SmsPeer
    smtp: SmtpPeer
    inspect_url: str
    ca_file: Path
    service_account: ServiceAccount
    apns_key: ApnsKey
    sms_account: SmsAccount
    smtp_account: SmtpAccount

    def client_context(self) -> ssl.SSLContext:
        """A client's TLS context that trusts these peers and nobody else."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    def service_account_json(self) -> dict[str, str]:
        """The service account in Google's file format, with `token_uri` at this FCM's token endpoint."""
        return self.service_account.google_json(token_uri=self.fcm.token_url)

    async def reset(self) -> None:
        """Forget received messages and scripts of every peer; credentials stay registered."""
        for peer in (self.fcm, self.apns, self.sms, self.smtp):
            await peer.reset()


@asynccontextmanager
async def running_simulators(
    directory: Path, *, clock: Clock = time.time, seed: int = 0
) -> AsyncIterator[RunningSimulators]:
    """Start all four peers on 127.0.0.1 and stop them on exit.

    `directory` receives the TLS files. `clock` (seconds since the epoch) moves tokens and windows; the
    latency of a script is real. Generating the service account's RSA key takes a few tenths of a second,
    so prefer a session fixture and `reset()` between tests.
    """
    certificate = issue_server_certificate(directory)
    options = SimulatorOptions(
        sim_fcm_port=0,
        sim_apns_port=0,
        sim_sms_port=0,
        sim_smtp_port=0,
        sim_inspect_port=0,
        sim_cert_file=certificate.cert_file,
        sim_key_file=certificate.key_file,
    )
    account = ServiceAccount.generate(project_id="clarion-test")
    apns_key = ApnsKey.generate(team_id="TEAM123456", key_id="KEY1234567", topic="org.clarion.app")
    sms_account = SmsAccount.generate(number="+15005550006")
    smtp_account = SmtpAccount.generate(username="clarion")
    rng = random.Random(seed)  # noqa: S311 - chance, not secrets
    async with Simulators(options, clock=clock, rng=rng) as simulators:
        simulators.fcm.register(account.project())
        simulators.apns.register(apns_key.team())
        simulators.sms.register(sms_account)
        simulators.smtp.register(smtp_account)
        yield RunningSimulators(
            fcm=simulators.fcm,
            apns=simulators.apns,
            sms=simulators.sms,
            smtp=simulators.smtp,
            inspect_url=simulators.inspection.url,
            ca_file=certificate.ca_file,
            service_account=account,
            apns_key=apns_key,
            sms_account=sms_account,
            smtp_account=smtp_account,
        )
