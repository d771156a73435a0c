"""One SMTP session: aiosmtpd's, with enhanced status codes, faults and a channel that can be lost."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from services.simulators.wire.exchange import Dropped

if TYPE_CHECKING:
    import ssl

# RFC 2034: a server that offers enhanced codes puts one in every reply but the greeting and EHLO's.
_ENHANCED = {
    "220": "2.0.0", "221": "2.0.0", "250": "2.0.0", "252": "2.5.0", "454": "4.7.0",
    "500": "5.5.2", "501": "5.5.4", "502": "5.5.1", "503": "5.5.1", "530": "5.7.0", "552": "5.3.4",
    "553": "5.1.3", "554": "5.7.0", "555": "5.5.4",
}  # fmt: skip
_PLAIN_REPLY = re.compile(r"(\d{3}) (?!\d\.\d{1,3}\.\d{1,3} )(.*)")


class Mailbox(Protocol):
    """Who decides what a session answers; each reply may raise Dropped."""

    def permits(self, username: bytes, password: bytes) -> bool:
        """Whether an account and its password are right."""

    async def connect_reply(self, host: str) -> str | None:
        """The reply that refuses a client."""

    async def mail_reply(self, sender: str) -> str | None:
        """The reply that refuses a sender."""

    async def recipient_reply(self, address: str, session: Session, envelope: Envelope) -> str | None:
        """The reply that refuses a recipient."""

    async def message_reply(self, session: Session, envelope: Envelope) -> str | None:
        """The reply that refuses a message; without one it was kept."""


class _Hooks:
    """What aiosmtpd asks at each command."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [*responses[:-1], "250-ENHANCEDSTATUSCODES", responses[-1]]

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SmtpSession, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        try:
            reply = await self._mailbox.mail_reply(address)
        except Dropped:
            await server.lose()
        if reply is not None:
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Sender OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SmtpSession, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        try:
            reply = await self._mailbox.recipient_reply(address, session, envelope)
        except Dropped:
            await server.lose()
        if reply is not None:
            return reply
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Recipient OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SmtpSession, session: Session, envelope: Envelope
    ) -> str:
        try:
            reply = await self._mailbox.message_reply(session, envelope)
        except Dropped:
            await server.lose()
        return reply or "250 2.0.0 Message accepted"


class _QuietSession(Session):
    """aiosmtpd warns of its own deprecated attribute at every login; a plain one is silent."""

    login_data: object = None


class SmtpSession(SMTP):
    """One client's session."""

    def __init__(self, mailbox: Mailbox, *, hostname: str, tls: ssl.SSLContext, size_limit: int) -> None:
        self._mailbox = mailbox
        super().__init__(
            _Hooks(mailbox),
            data_size_limit=size_limit,
            enable_SMTPUTF8=True,
            hostname=hostname,
            ident="ESMTP Clarion simulator",
            tls_context=tls,
            require_starttls=True,
            auth_required=True,
            authenticator=self._authenticate_login,
            loop=asyncio.get_running_loop(),
        )

    def _create_session(self) -> Session:
        return _QuietSession(self.loop)

    async def push(self, status: str | bytes) -> None:
        """Send one reply line; 421 closes the channel after it."""
        text = status.decode() if isinstance(status, bytes) else status
        await super().push(self._enhanced(text))
        if text.startswith("421") and self.transport is not None:
            self.transport.close()

    async def lose(self) -> NoReturn:
        """Lose the connection at once; the session's task is cancelled from there."""
        if self.transport is not None:
            # uvloop's transports are WriteTransports in all but their ancestry.
            cast("asyncio.WriteTransport", self.transport).abort()
        await asyncio.get_running_loop().create_future()
        raise Dropped

    async def _handle_client(self) -> None:
        session = self.session
        host = str(session.peer[0]) if session is not None and isinstance(session.peer, tuple) else ""
        try:
            reply = await self._mailbox.connect_reply(host)
        except Dropped:
            await self.lose()
        if reply is not None:
            await self.push(reply)
            if self.transport is not None:
                self.transport.close()
            return
        await super()._handle_client()

    def _enhanced(self, reply: str) -> str:
        plain = _PLAIN_REPLY.fullmatch(reply)
        if plain is None or reply == "250 HELP" or plain.group(2).startswith(self.hostname):
            return reply
        code = _ENHANCED.get(plain.group(1))
        return reply if code is None else f"{plain.group(1)} {code} {plain.group(2)}"

    def _authenticate_login(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        if isinstance(data, LoginPassword) and self._mailbox.permits(data.login, data.password):
            return AuthResult(success=True, auth_data=data.login.decode("utf-8", "replace"))
        return AuthResult(success=False, handled=False, message="535 5.7.8 Authentication credentials invalid")
