"""The SMS gateway's answers, in Twilio's form (twilio.com: Message resource, error dictionary)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING

from services.simulators.wire.exchange import Response, json_response

if TYPE_CHECKING:
    from collections.abc import Mapping

API_VERSION = "2010-04-01"

ERRORS: Mapping[str, tuple[int, str]] = {
    "20003": (401, "Authenticate"),
    "20404": (404, "The requested resource was not found"),
    "20429": (429, "Too Many Requests"),
    "20500": (500, "An internal server error has occurred"),
    "20503": (503, "Service unavailable"),
    "21211": (400, "The 'To' number is not a valid phone number."),
    "21212": (400, "The 'From' number is not a valid phone number, shortcode, or alphanumeric sender ID."),
    "21408": (400, "Permission to send an SMS has not been enabled for the region indicated by the 'To' number."),
    "21602": (400, "Message body is required."),
    "21603": (400, "A 'From' phone number is required."),
    "21604": (400, "A 'To' phone number is required."),
    "21606": (400, "The 'From' phone number provided is not a valid message-capable number for this account."),
    "21608": (400, "The number is unverified. Trial accounts cannot send messages to unverified numbers."),
    "21609": (400, "The 'StatusCallback' URL is not a valid URL."),
    "21610": (400, "Attempt to send to unsubscribed recipient"),
    "21611": (429, "This 'From' number has exceeded the maximum number of queued messages"),
    "21612": (400, "Message cannot be sent with the current combination of 'To' and/or 'From' parameters"),
    "21614": (400, "'To' number is not a valid mobile number"),
    "21617": (400, "The concatenated message body exceeds the 1600 character limit"),
}
"""What a request can be refused with: code to HTTP status and message."""

DELIVERY_ERRORS: Mapping[str, tuple[str, str]] = {
    "30001": ("failed", "Queue overflow"),
    "30002": ("failed", "Account suspended"),
    "30003": ("undelivered", "Unreachable destination handset"),
    "30004": ("undelivered", "Message blocked"),
    "30005": ("undelivered", "Unknown destination handset"),
    "30006": ("undelivered", "Landline or unreachable carrier"),
    "30007": ("undelivered", "Carrier violation"),
    "30008": ("undelivered", "Unknown error"),
    "30036": ("undelivered", "Validity period expired"),
}
"""What an accepted message can end with: code to final status and message."""

# GSM 03.38's basic table takes 160 characters in one segment; anything else makes it UCS-2.
_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà^{}\\[~]|€"
)


@dataclass(slots=True, kw_only=True)
class Message:
    """A message the gateway took, as its status moves on."""

    sid: str
    account_sid: str
    to: str
    sender: str | None
    service_sid: str | None
    body: str
    created_at: float
    status: str = "queued"
    error_code: int | None = None

    def resource(self) -> dict[str, object]:
        """The Message resource in JSON's terms."""
        created = format_datetime(datetime.fromtimestamp(int(self.created_at), UTC))
        uri = f"/{API_VERSION}/Accounts/{self.account_sid}/Messages/{self.sid}"
        known = DELIVERY_ERRORS.get(str(self.error_code))
        return {
            "account_sid": self.account_sid,
            "api_version": API_VERSION,
            "body": self.body,
            "date_created": created,
            "date_sent": None if self.status == "queued" else created,
            "date_updated": created,
            "direction": "outbound-api",
            "error_code": self.error_code,
            "error_message": known[1] if known else None,
            "from": self.sender,
            "messaging_service_sid": self.service_sid,
            "num_media": "0",
            "num_segments": str(segments(self.body)),
            "price": None,
            "price_unit": "USD",
            "sid": self.sid,
            "status": self.status,
            "subresource_uris": {"media": f"{uri}/Media.json"},
            "to": self.to,
            "uri": f"{uri}.json",
        }


def segments(body: str) -> int:
    """How many SMS a text takes: 160 or 153 characters of GSM 03.38 each, else 70 or 67 of UCS-2."""
    single, joined = (160, 153) if _GSM.issuperset(body) else (70, 67)
    return 1 if len(body) <= single else math.ceil(len(body) / joined)


def refusal(code: str, *, retry_after_seconds: int | None = None) -> Response:
    """The answer for one of `ERRORS`."""
    status, message = ERRORS[code]
    headers = {}
    if status == 401:
        headers["www-authenticate"] = 'Basic realm="Twilio API"'
    if retry_after_seconds is not None:
        headers["retry-after"] = str(retry_after_seconds)
    body = {
        "code": int(code),
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return json_response(status, body, headers)
