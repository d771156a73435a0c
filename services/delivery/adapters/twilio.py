"""SMS in Twilio's form (twilio.com: Message resource, create)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from services.delivery.adapters import twilio_codes
from services.delivery.adapters.http import Silence
from services.delivery.adapters.meaning import UNCONFIRMED
from services.delivery.credentials import TwilioCredentials
from services.delivery.message import PhoneAddress, SmsContent

if TYPE_CHECKING:
    from services.delivery.adapters.http import Endpoint, HttpClient
    from services.delivery.credentials import Account
    from services.delivery.domain import Outcome
    from services.delivery.message import Message
    from services.runtime.clock import Clock

MAX_VALIDITY_SECONDS: Final = 36_000


class TwilioProvider:
    """Sends SMS. A lost answer is not tried again; twilio_codes.py says why."""

    def __init__(self, http: HttpClient, endpoint: Endpoint, *, status_callback: str, clock: Clock) -> None:
        """`status_callback` is the URL that is told what becomes of messages; empty for none."""
        self._http, self._endpoint = http, endpoint
        self._status_callback, self._clock = status_callback, clock

    async def send(self, account: Account, message: Message, timeout: float) -> Outcome:
        """Make one attempt."""
        credentials, address, content = account.credentials, message.address, message.content
        if (
            not isinstance(credentials, TwilioCredentials)
            or not isinstance(address, PhoneAddress)
            or not isinstance(content, SmsContent)
        ):
            raise TypeError("a Twilio account, a phone number and SMS content are needed")
        form = {
            "To": address.number,
            "From": credentials.sender,
            "Body": content.body,
            "ValidityPeriod": str(self._validity(message)),
        }
        if self._status_callback:
            form["StatusCallback"] = self._status_callback
        basic = base64.b64encode(f"{credentials.account_sid}:{credentials.auth_token}".encode()).decode()
        answer = await self._http.post(
            self._endpoint,
            f"/2010-04-01/Accounts/{credentials.account_sid}/Messages.json",
            headers={"authorization": f"Basic {basic}", "content-type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode(),
            timeout=timeout,
        )
        return answer.outcome(UNCONFIRMED) if isinstance(answer, Silence) else twilio_codes.read(answer)

    def _validity(self, message: Message) -> int:
        left = int((message.expire_at - self._clock()).total_seconds())
        return min(MAX_VALIDITY_SECONDS, max(1, left))
