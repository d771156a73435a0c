"""Connections to mail servers: signed in, kept for the next mail, and checked before they are used again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from aiosmtplib import SMTP, SMTPException

from services.delivery.adapters.smtp_codes import Stage
from services.delivery.metrics import SMTP_CONNECTIONS

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType

    from services.delivery.credentials import Account, SmtpCredentials

MAX_IDLE_SECONDS: Final = 60.0
MAX_AGE_SECONDS: Final = 600.0
MAX_MAILS: Final = 100
CHECK_AFTER_SECONDS: Final = 5.0
CHECK_SECONDS: Final = 3.0
MAX_IDLE_CONNECTIONS: Final = 512
IMPLICIT_TLS_PORT: Final = 465


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """A mail server. `security` is STARTTLS, TLS or NONE."""

    host: str
    port: int
    security: str

    @classmethod
    def of(cls, credentials: SmtpCredentials, default: Relay) -> Relay:
        """The account's own server, always with TLS, else the installation's."""
        if not credentials.host:
            return default
        security = "TLS" if credentials.port == IMPLICIT_TLS_PORT else "STARTTLS"
        return cls(host=credentials.host, port=credentials.port, security=security)


class RefusedError(Exception):
    """The server refused a step of the way to a usable connection."""

    def __init__(self, stage: Stage, cause: Exception) -> None:
        """`cause` is what the driver raised."""
        super().__init__(stage.name)
        self.stage, self.cause = stage, cause


@dataclass(slots=True)
class Connection:
    """A connection that is signed in; one transaction at a time."""

    client: SMTP
    opened_at: float
    used_at: float
    mails: int = 0


class SmtpPool:
    """Idle connections by account. How many an account has at a time is its callers' business."""

    def __init__(self, *, relay: Relay, tls: ssl.SSLContext, hostname: str, now: Callable[[], float]) -> None:
        """`relay` is used by accounts without a server of their own; `now` is monotonic."""
        self._relay, self._tls, self._hostname, self._now = relay, tls, hostname, now
        self._idle: dict[tuple[str, str, str], list[Connection]] = {}

    async def __aenter__(self) -> Self:
        """Nothing is opened yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what is idle."""
        idle = [connection for kept in self._idle.values() for connection in kept]
        self._idle.clear()
        await asyncio.gather(*map(self.end, idle))

    async def take(self, account: Account, credentials: SmtpCredentials) -> Connection:
        """A connection that answers.

        Raises RefusedError with the stage that failed.
        """
        kept = self._idle.get(account.key, [])
        while kept:
            connection = kept.pop()
            try:
                if await self._answers(connection):
                    return connection
                await self.end(connection)
            except asyncio.CancelledError:
                connection.client.close()
                raise
        self._idle.pop(account.key, None)
        return await self._connect(credentials)

    async def give_back(self, account: Account, connection: Connection) -> None:
        """Keep it for the next mail, if it is good for one."""
        connection.used_at = self._now()
        connection.mails += 1
        worn = connection.mails >= MAX_MAILS or self._now() - connection.opened_at > MAX_AGE_SECONDS
        if worn or not connection.client.is_connected:
            await self.end(connection)
            return
        self._idle.setdefault(account.key, []).append(connection)
        await self._end_stale()

    async def end(self, connection: Connection) -> None:
        """Say goodbye, if anybody is there."""
        SMTP_CONNECTIONS.dec()
        with suppress(SMTPException, OSError):
            if connection.client.is_connected:
                await connection.client.quit(timeout=1.0)
        connection.client.close()

    def drop(self, connection: Connection) -> None:
        """Close at once: nobody knows what state it is in."""
        SMTP_CONNECTIONS.dec()
        connection.client.close()

    async def _answers(self, connection: Connection) -> bool:
        now = self._now()
        if not connection.client.is_connected or now - connection.used_at > MAX_IDLE_SECONDS:
            return False
        if now - connection.used_at <= CHECK_AFTER_SECONDS:
            return True
        try:
            await connection.client.noop(timeout=CHECK_SECONDS)
        except (SMTPException, OSError):
            return False
        return True

    async def _end_stale(self) -> None:
        now = self._now()
        stale: list[Connection] = []
        for key, kept in list(self._idle.items()):
            stale += [each for each in kept if now - each.used_at > MAX_IDLE_SECONDS]
            kept[:] = [each for each in kept if now - each.used_at <= MAX_IDLE_SECONDS]
            if not kept:
                del self._idle[key]
        over = sum(map(len, self._idle.values())) - MAX_IDLE_CONNECTIONS
        if over > 0:
            longest = next(iter(self._idle))
            stale += self._idle.pop(longest)
        for connection in stale:
            await self.end(connection)

    async def _connect(self, credentials: SmtpCredentials) -> Connection:
        relay = Relay.of(credentials, self._relay)
        client = SMTP(
            hostname=relay.host,
            port=relay.port,
            local_hostname=self._hostname,
            use_tls=relay.security == "TLS",
            start_tls=False,
            tls_context=self._tls,
            timeout=30.0,
        )
        stage = Stage.CONNECT
        try:
            await client.connect()
            if relay.security == "STARTTLS":
                await client.starttls()
            if credentials.username:
                stage = Stage.AUTH
                await client.login(credentials.username, credentials.password)
        except (SMTPException, OSError) as exc:
            client.close()
            raise RefusedError(stage, exc) from exc
        except BaseException:
            client.close()
            raise
        SMTP_CONNECTIONS.inc()
        now = self._now()
        return Connection(client, opened_at=now, used_at=now)
