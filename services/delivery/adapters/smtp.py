"""Email by SMTP submission (RFC 5321, 6409)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiosmtplib import SMTPException, SMTPResponseException

from services.delivery.adapters import smtp_codes
from services.delivery.adapters.mail import compose, message_id
from services.delivery.adapters.meaning import NO_ANSWER, UNREACHABLE, rejected, transient
from services.delivery.adapters.smtp_codes import Stage
from services.delivery.adapters.smtp_pool import RefusedError
from services.delivery.credentials import SmtpCredentials
from services.delivery.domain import Outcome, Verdict
from services.delivery.message import EmailAddress, EmailContent

if TYPE_CHECKING:
    from services.delivery.adapters.smtp_pool import Connection, SmtpPool
    from services.delivery.credentials import Account
    from services.delivery.message import Message
    from services.runtime.clock import Clock

_NOT_A_MAIL = rejected("INVALID_MESSAGE")
_MAYBE_SENT = transient("UNCONFIRMED")
"""Tried again under the same Message-ID; smtp_codes.py says why."""


class SmtpProvider:
    """Sends mail, one transaction after another on each connection."""

    def __init__(self, pool: SmtpPool, *, unsubscribe: str, clock: Clock) -> None:
        """`unsubscribe` is a URL with `{delivery_id}` in it; empty for none."""
        self._pool, self._unsubscribe, self._clock = pool, unsubscribe, clock

    async def send(self, account: Account, message: Message, timeout: float) -> Outcome:
        """Make one attempt."""
        credentials, address, content = account.credentials, message.address, message.content
        if (
            not isinstance(credentials, SmtpCredentials)
            or not isinstance(address, EmailAddress)
            or not isinstance(content, EmailContent)
        ):
            raise TypeError("an SMTP account, an email address and email content are needed")
        try:
            mail = compose(
                content,
                delivery_id=message.delivery_id,
                recipient=address.mailbox,
                sender=credentials,
                unsubscribe=self._unsubscribe,
                date=self._clock(),
            )
        except ValueError:
            return _NOT_A_MAIL.outcome("NOT_A_MAIL")
        transaction = _Transaction(self._pool, account, credentials)
        try:
            async with asyncio.timeout(timeout):
                return await transaction.run(address.mailbox, mail, message.delivery_id)
        except TimeoutError:
            return (_MAYBE_SENT if transaction.stage is Stage.DATA else NO_ANSWER).outcome("TIMEOUT")


class _Transaction:
    """One mail on one connection; `stage` says how far it came."""

    def __init__(self, pool: SmtpPool, account: Account, credentials: SmtpCredentials) -> None:
        self._pool, self._account, self._credentials = pool, account, credentials
        self.stage = Stage.CONNECT

    async def run(self, recipient: str, mail: bytes, delivery_id: str) -> Outcome:
        try:
            connection = await self._pool.take(self._account, self._credentials)
        except RefusedError as refused:
            return _refusal(refused.stage, refused.cause)
        try:
            outcome = await self._submit(connection, recipient, mail, delivery_id)
        except BaseException:
            self._pool.drop(connection)
            raise
        await self._pool.give_back(self._account, connection)
        return outcome

    async def _submit(self, connection: Connection, recipient: str, mail: bytes, delivery_id: str) -> Outcome:
        client, sender = connection.client, self._credentials.from_address
        try:
            self.stage = Stage.MAIL
            await client.mail(sender)
            self.stage = Stage.RCPT
            await client.rcpt(recipient)
            self.stage = Stage.DATA
            await client.data(mail)
        except SMTPResponseException as exc:
            outcome = _refusal(self.stage, exc)
            await _forget_envelope(connection)
            return outcome
        except (SMTPException, OSError) as exc:
            client.close()
            return _refusal(self.stage, exc)
        except ValueError:
            client.close()
            return _NOT_A_MAIL.outcome("NOT_AN_ADDRESS")
        return Outcome(verdict=Verdict.ACCEPTED, code="250", provider_message_id=message_id(delivery_id, sender))


async def _forget_envelope(connection: Connection) -> None:
    """Make the connection good for another mail, or close it."""
    try:
        await connection.client.rset(timeout=2.0)
    except (SMTPException, OSError):
        connection.client.close()


def _refusal(stage: Stage, cause: Exception) -> Outcome:
    if isinstance(cause, SMTPResponseException):
        return smtp_codes.read(stage, cause.code, cause.message)
    code = "TIMEOUT" if isinstance(cause, TimeoutError) else "CONNECTION"
    if stage is Stage.DATA:
        return _MAYBE_SENT.outcome(code)
    return UNREACHABLE.outcome(code)
