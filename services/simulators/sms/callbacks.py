"""Status callbacks of the SMS gateway: signed, and in whatever order a script says."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING

import aiohttp

from services.simulators.ledger import ACCEPTED, Ledger
from services.simulators.sms.answers import API_VERSION, Message

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from services.simulators.ledger import Clock
    from services.simulators.script import Callbacks

_TIMEOUT_SECONDS = 15
_AT_ONCE = 50
_MAX_PENDING = 5_000
_MAX_KEPT = 5_000


def signature(auth_token: str, url: str, parameters: Mapping[str, str]) -> str:
    """X-Twilio-Signature of a form post (twilio.com: webhooks security)."""
    signed = url + "".join(name + parameters[name] for name in sorted(parameters))
    digest = hmac.new(auth_token.encode(), signed.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


class CallbackPoster:
    """Posts each message's statuses one after another, messages side by side.

    `ledger` keeps every attempt: accepted, or `http_STATUS`, `unreachable`, `overflow`.
    """

    def __init__(self, *, clock: Clock, tls: ssl.SSLContext | None) -> None:
        self.ledger = Ledger(capacity=_MAX_KEPT, clock=clock)
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._pending: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def post(self, message: Message, url: str | None, auth_token: str, plan: Callbacks) -> None:
        """Move the message through the plan's statuses, telling `url` of each if there is one."""
        if len(self._pending) >= _MAX_PENDING:
            self.ledger.record(message.to, {}, "overflow")
            return
        task = asyncio.get_running_loop().create_task(self._run(message, url, auth_token, plan))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def idle(self) -> None:
        """Wait until nothing is pending."""
        while self._pending:
            await asyncio.gather(*self._pending, return_exceptions=True)

    async def cancel(self) -> None:
        """Give up what is pending."""
        for task in tuple(self._pending):
            task.cancel()
        await self.idle()

    async def stop(self) -> None:
        """Give up what is pending and close connections."""
        await self.cancel()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _run(self, message: Message, url: str | None, auth_token: str, plan: Callbacks) -> None:
        for status in plan.statuses:
            if plan.delay_seconds:
                await asyncio.sleep(plan.delay_seconds)
            message.status = status
            message.error_code = plan.error_code if status in {"failed", "undelivered"} else None
            if url is not None:
                parameters = {**_parameters(message), **plan.extra}
                outcome = await self._post(url, parameters, auth_token)
                self.ledger.record(message.to, parameters, outcome)

    async def _post(self, url: str, parameters: dict[str, str], auth_token: str) -> str:
        headers = {
            "x-twilio-signature": signature(auth_token, url, parameters),
            "i-twilio-idempotency-token": secrets.token_hex(16),
            "user-agent": "TwilioProxy/1.1",
        }
        try:
            async with (
                self._slots,
                self._client().post(url, data=parameters, headers=headers, allow_redirects=False) as answer,
            ):
                return ACCEPTED if answer.ok else f"http_{answer.status}"
        except (aiohttp.ClientError, TimeoutError):
            return "unreachable"

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls or True, limit=_AT_ONCE),
                timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS),
            )
        return self._session


def _parameters(message: Message) -> dict[str, str]:
    parameters = {
        "AccountSid": message.account_sid,
        "ApiVersion": API_VERSION,
        "MessageSid": message.sid,
        "MessageStatus": message.status,
        "SmsSid": message.sid,
        "SmsStatus": message.status,
        "To": message.to,
    }
    if message.sender is not None:
        parameters["From"] = message.sender
    if message.service_sid is not None:
        parameters["MessagingServiceSid"] = message.service_sid
    if message.error_code is not None:
        parameters["ErrorCode"] = str(message.error_code)
    return parameters
