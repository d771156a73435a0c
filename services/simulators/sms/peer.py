"""An SMS gateway with Twilio's REST API, over TLS and HTTP/1.1."""

from __future__ import annotations

import hmac
import re
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from services.simulators.ledger import ACCEPTED, Ledger
from services.simulators.peer import Peer
from services.simulators.player import Player
from services.simulators.script import Callbacks
from services.simulators.sms import answers
from services.simulators.sms.answers import DELIVERY_ERRORS, ERRORS, Message
from services.simulators.sms.callbacks import CallbackPoster
from services.simulators.wire.exchange import Request, Response, endure, json_response
from services.simulators.wire.http1 import AlpnChooser, Http1Server
from services.simulators.wire.listener import Listener

if TYPE_CHECKING:
    import random
    import ssl
    from types import TracebackType

    from services.simulators.credentials import SmsAccount
    from services.simulators.ledger import Clock

MAX_BODY_CHARACTERS = 1600

_ROUTE = re.compile(r"/2010-04-01/Accounts/([^/]+)/Messages(?:/((?:SM|MM)[0-9a-f]{32}))?\.json")
_E164 = re.compile(r"\+[1-9]\d{6,14}")
_SENDER = re.compile(r"\+[1-9]\d{6,14}|\d{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 &+_-]{1,11}")
_LIMITED = "20429"
_MAX_FIELDS = 64


class SmsPeer(Peer):
    """The SMS gateway: basic authentication, form posts, and signed status callbacks.

    A fault may name an error of the request (21610) or of the delivery (30003): with the latter the
    message is taken and ends undelivered.
    """

    name = "sms"

    def __init__(
        self,
        *,
        host: str,
        port: int,
        tls: ssl.SSLContext,
        clock: Clock,
        rng: random.Random,
        capacity: int,
        callback_tls: ssl.SSLContext | None = None,
    ) -> None:
        self._clock = clock
        self._capacity = capacity
        self._accounts: dict[str, SmsAccount] = {}
        self._messages: OrderedDict[str, Message] = OrderedDict()
        self._http1 = Http1Server(self._answer)
        self.callbacks = CallbackPoster(clock=clock, tls=callback_tls)
        super().__init__(
            ledger=Ledger(capacity=capacity, clock=clock),
            player=Player(clock=clock, rng=rng),
            listener=Listener(host=host, port=port, factory=lambda: AlpnChooser(self._http1), tls=tls),
        )

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"https://{self.host}:{self.port}"

    def register(self, account: SmsAccount) -> None:
        """Let an account send; a second registration replaces the first."""
        self._accounts[account.account_sid] = account

    def knows(self, error: str) -> bool:
        """Twilio's codes for requests and deliveries."""
        return error in ERRORS or error in DELIVERY_ERRORS

    async def reset(self) -> None:
        """Forget messages, counts, the script and pending callbacks; accounts stay."""
        await self.callbacks.cancel()
        self.callbacks.ledger.clear()
        self._messages.clear()
        await super().reset()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening and posting."""
        await super().__aexit__(kind, error, trace)
        await self.callbacks.stop()

    async def _answer(self, request: Request) -> Response:
        route = _ROUTE.fullmatch(request.path)
        if route is None:
            return answers.refusal("20404")
        account = self._authenticated(request, route.group(1))
        if account is None:
            self.ledger.record("", {"account_sid": route.group(1)}, "20003")
            return answers.refusal("20003")
        if request.method == "POST" and route.group(2) is None:
            return await self._create(request, account)
        if request.method == "GET" and route.group(2) is not None:
            return self._fetch(route.group(2), account)
        return answers.refusal("20404")

    def _authenticated(self, request: Request, account_sid: str) -> SmsAccount | None:
        given = request.header("authorization") or ""
        account = self._accounts.get(account_sid)
        if account is None or not hmac.compare_digest(
            given.encode("utf-8", "surrogateescape"), account.authorization().encode()
        ):
            return None
        return account

    async def _create(self, request: Request, account: SmsAccount) -> Response:
        try:
            form = dict(parse_qsl(request.body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS))
        except ValueError:
            form = {}
        to = form.get("To", "")
        verdict = self._player.decide(to, account=account.account_sid)
        fails_later = verdict.fault is not None and verdict.fault.error in DELIVERY_ERRORS
        if verdict.strikes and not fails_later:
            code = verdict.error(_LIMITED, "20500")
            deliver = verdict.fault is not None and verdict.fault.deliver
            if deliver:
                self._accept(form, account, None)
            else:
                self.ledger.record(to, _content(form, account), verdict.outcome(_LIMITED))
            await endure(verdict, self._player)
            return answers.refusal(code, retry_after_seconds=verdict.retry_after_seconds)
        wrong = _wrong(form, account)
        if wrong is not None:
            self.ledger.record(to, _content(form, account), wrong)
            await endure(verdict, self._player)
            return answers.refusal(wrong)
        message = self._accept(form, account, verdict.fault.error if verdict.fault else None)
        resource = message.resource()
        await endure(verdict, self._player)
        return json_response(201, resource)

    def _accept(self, form: dict[str, str], account: SmsAccount, delivery_error: str | None) -> Message:
        message = Message(
            sid=f"SM{secrets.token_hex(16)}",
            account_sid=account.account_sid,
            to=form.get("To", ""),
            sender=form.get("From"),
            service_sid=form.get("MessagingServiceSid"),
            body=form.get("Body", ""),
            created_at=self._clock(),
        )
        self._messages[message.sid] = message
        if len(self._messages) > self._capacity:
            self._messages.popitem(last=False)
        self.ledger.record(message.to, {**_content(form, account), "sid": message.sid}, ACCEPTED)
        plan = self._plan(message.to, delivery_error)
        self.callbacks.post(message, form.get("StatusCallback") or None, account.auth_token, plan)
        return message

    def _plan(self, to: str, delivery_error: str | None) -> Callbacks:
        plan = Callbacks()
        for each in self.script.callbacks:
            prefix = each.match is not None and each.match.endswith("*") and to.startswith(each.match[:-1])
            if each.match is None or each.match == to or prefix:
                plan = each
        if delivery_error is None:
            return plan
        final, _ = DELIVERY_ERRORS[delivery_error]
        statuses = ("failed",) if final == "failed" else ("sent", final)
        return plan.model_copy(update={"statuses": statuses, "error_code": int(delivery_error)})

    def _fetch(self, sid: str, account: SmsAccount) -> Response:
        message = self._messages.get(sid)
        if message is None or message.account_sid != account.account_sid:
            return answers.refusal("20404")
        return json_response(200, message.resource())


def _wrong(form: dict[str, str], account: SmsAccount) -> str | None:
    """The code against this form, if there is one."""
    to, sender, body = form.get("To", ""), form.get("From", ""), form.get("Body", "")
    callback = urlsplit(form["StatusCallback"]) if form.get("StatusCallback") else None
    checks = {
        "21604": not to,
        "21603": not sender and not form.get("MessagingServiceSid"),
        "21211": not _E164.fullmatch(to),
        "21212": bool(sender) and not _SENDER.fullmatch(sender),
        "21606": bool(sender) and bool(account.numbers) and sender not in account.numbers,
        "21602": not body,
        "21617": len(body) > MAX_BODY_CHARACTERS,
        "21609": callback is not None and (callback.scheme not in {"http", "https"} or not callback.hostname),
    }
    return next((code for code, holds in checks.items() if holds), None)


def _content(form: dict[str, str], account: SmsAccount) -> dict[str, object]:
    return {
        "account_sid": account.account_sid,
        "from": form.get("From"),
        "messaging_service_sid": form.get("MessagingServiceSid"),
        "body": form.get("Body"),
        "status_callback": form.get("StatusCallback"),
    }
