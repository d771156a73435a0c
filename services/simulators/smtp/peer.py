"""A mail server for submission: STARTTLS and AUTH required, replies with enhanced codes (RFC 5321, 3463)."""

from __future__ import annotations

import hmac
import re
from collections import OrderedDict
from typing import TYPE_CHECKING

from services.simulators.ledger import ACCEPTED, Ledger
from services.simulators.peer import Peer
from services.simulators.player import Player
from services.simulators.script import Script, Stage
from services.simulators.smtp.mail import parsed
from services.simulators.smtp.session import SmtpSession
from services.simulators.wire.exchange import endure
from services.simulators.wire.listener import Listener

if TYPE_CHECKING:
    import random
    import ssl

    from aiosmtpd.smtp import Envelope, Session

    from services.simulators.credentials import SmtpAccount
    from services.simulators.ledger import Clock
    from services.simulators.player import Verdict

_REPLY = re.compile(r"[45]\d\d(?: [45]\.\d{1,3}\.\d{1,3})?(?: .*)?")
_CODES = re.compile(r"[45]\d\d(?: [45]\.\d{1,3}\.\d{1,3})?")
_LIMITED = "450 4.7.1 Too many messages, slow down"
_GREYLISTED = "450 4.7.1 Greylisted, try again later"
_UNEXPLAINED = "451 4.3.0 Local error in processing"
_MAX_GREYLIST = 10_000
_MAX_RECIPIENTS = 100
_HOSTNAME = "smtp.clarion.test"


class SmtpPeer(Peer):
    """The mail server. It keeps one record for each recipient of an accepted message.

    A fault of stage RCPT answers that recipient; DATA answers after the final dot, and with `drop` the
    connection is lost there, the message kept or not by `deliver`. A reply of 421 closes the channel.
    """

    name = "smtp"

    def __init__(
        self,
        *,
        host: str,
        port: int,
        tls: ssl.SSLContext,
        clock: Clock,
        rng: random.Random,
        capacity: int,
        size_limit: int,
    ) -> None:
        self._clock = clock
        self._tls = tls
        self._size_limit = size_limit
        self._accounts: dict[str, SmtpAccount] = {}
        self._greylist: OrderedDict[tuple[str, str, str], float] = OrderedDict()
        super().__init__(
            ledger=Ledger(capacity=capacity, clock=clock),
            player=Player(clock=clock, rng=rng),
            # TLS begins inside the session, by STARTTLS.
            listener=Listener(host=host, port=port, factory=self._protocol),
        )

    def register(self, account: SmtpAccount) -> None:
        """Let an account submit mail; a second registration replaces the first."""
        self._accounts[account.username] = account

    def knows(self, error: str) -> bool:
        """Any 4xx or 5xx reply, with or without an enhanced code."""
        return _REPLY.fullmatch(error) is not None

    async def play(self, script: Script) -> None:
        """Replace the script; greylisting starts anew."""
        self._greylist.clear()
        await super().play(script)

    def permits(self, username: bytes, password: bytes) -> bool:
        """Whether an account and its password are right."""
        account = self._accounts.get(username.decode("utf-8", "replace"))
        return account is not None and hmac.compare_digest(account.password.encode(), password)

    async def connect_reply(self, host: str) -> str | None:
        """The reply that refuses a client, if a script says so."""
        verdict = self._player.decide(host, stage=Stage.CONNECT)
        return await self._struck(verdict) if verdict.strikes or verdict.latency_seconds else None

    async def mail_reply(self, sender: str) -> str | None:
        """The reply that refuses a sender, if a script says so."""
        verdict = self._player.decide(sender, stage=Stage.MAIL)
        return await self._struck(verdict)

    async def recipient_reply(self, address: str, session: Session, envelope: Envelope) -> str | None:
        """The reply that refuses a recipient: a script's, greylisting, a limit, or too many of them."""
        if len(envelope.rcpt_tos) >= _MAX_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        verdict = self._player.decide(address, account=_user(session))
        reply = await self._struck(verdict)
        if reply is None and self._greylisted(_client(session), envelope.mail_from or "", address):
            reply = _GREYLISTED
        if reply is not None:
            codes = _CODES.match(reply)
            self.ledger.record(address, {"mail_from": envelope.mail_from}, codes.group() if codes else reply)
        return reply

    async def message_reply(self, session: Session, envelope: Envelope) -> str | None:
        """Keep a message, unless a script answers its final dot otherwise (may raise Dropped)."""
        verdicts = [self._player.decide(address, stage=Stage.DATA) for address in envelope.rcpt_tos]
        verdict = next((each for each in verdicts if each.strikes), verdicts[0])
        if not verdict.strikes or (verdict.fault is not None and verdict.fault.deliver):
            self._keep(session, envelope, ACCEPTED)
        else:
            self._keep(session, envelope, verdict.outcome(_LIMITED))
        return await self._struck(verdict)

    def _protocol(self) -> SmtpSession:
        return SmtpSession(self, hostname=_HOSTNAME, tls=self._tls, size_limit=self._size_limit)

    async def _struck(self, verdict: Verdict) -> str | None:
        await endure(verdict, self._player)
        return verdict.error(_LIMITED, _UNEXPLAINED) if verdict.strikes else None

    def _greylisted(self, client: str, sender: str, recipient: str) -> bool:
        seconds = self.script.greylist_seconds
        if seconds is None:
            return False
        now = self._clock()
        seen = self._greylist.setdefault((client, sender, recipient), now)
        if len(self._greylist) > _MAX_GREYLIST:
            self._greylist.popitem(last=False)
        return now - seen < seconds

    def _keep(self, session: Session, envelope: Envelope, outcome: str) -> None:
        content = {
            "username": _user(session),
            "mail_from": envelope.mail_from,
            "recipients": list(envelope.rcpt_tos),
            **parsed(bytes(envelope.original_content or b"")),
        }
        for address in envelope.rcpt_tos:
            self.ledger.record(address, content, outcome)


def _client(session: Session) -> str:
    return str(session.peer[0]) if isinstance(session.peer, tuple) else ""


def _user(session: Session) -> str:
    user = session.auth_data
    return user if isinstance(user, str) else ""
