"""APNs over HTTP/2 (developer.apple.com: Sending notification requests to APNs)."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from services.delivery.adapters import apns_codes
from services.delivery.adapters.http import Silence
from services.delivery.adapters.meaning import NO_ANSWER
from services.delivery.credentials import ApnsCredentials
from services.delivery.domain import Outcome, Verdict
from services.delivery.message import DeviceAddress, Priority, PushContent, as_uuid

if TYPE_CHECKING:
    from services.delivery.adapters.apns_connections import ApnsConnections
    from services.delivery.adapters.apns_tokens import ApnsTokens
    from services.delivery.adapters.http import Answer
    from services.delivery.credentials import Account
    from services.delivery.message import Message

MAX_COLLAPSE_ID_BYTES: Final = 64


class ApnsProvider:
    """Sends to iOS. A lost answer is tried again: the same collapse id lets a second copy replace the first."""

    def __init__(self, connections: ApnsConnections, tokens: ApnsTokens) -> None:
        """Both are shared by all accounts."""
        self._connections, self._tokens = connections, tokens

    async def send(self, account: Account, message: Message, timeout: float) -> Outcome:
        """Make one attempt; a second one at once only where another provider token is the one to use."""
        credentials = account.credentials
        if not isinstance(credentials, ApnsCredentials):
            raise TypeError("an APNs account is needed")
        until = asyncio.get_running_loop().time() + timeout
        try:
            async with asyncio.timeout(timeout):
                token = await self._tokens.get(credentials)
                outcome = _outcome(message, await self._post(credentials, message, token, until))
                if outcome.code in apns_codes.TOKEN_TROUBLE:
                    other = await self._tokens.instead_of(token, credentials)
                    if other != token:
                        outcome = _outcome(message, await self._post(credentials, message, other, until))
                return outcome
        except TimeoutError:
            return NO_ANSWER.outcome("TIMEOUT")

    async def _post(self, credentials: ApnsCredentials, message: Message, token: str, until: float) -> Answer | Silence:
        address, content = message.address, message.content
        if not isinstance(address, DeviceAddress) or not isinstance(content, PushContent):
            raise TypeError("a device's address and push content are needed")
        headers = {
            "authorization": f"bearer {token}",
            "content-type": "application/json",
            "apns-id": as_uuid(message.delivery_id),
            "apns-topic": credentials.topic,
            # A background push must have priority 5, and nothing in `aps` but content-available.
            "apns-push-type": "background" if content.silent else "alert",
            "apns-priority": "5" if content.silent or message.priority is Priority.BULK else "10",
            "apns-expiration": str(int(message.expire_at.timestamp())),
            "apns-collapse-id": _collapse_id(message),
        }
        path = f"/3/device/{quote(address.token, safe='')}"
        return await self._connections.post(credentials, path, headers=headers, body=_payload(content), until=until)


def _collapse_id(message: Message) -> str:
    wanted = message.collapse_key or message.delivery_id
    if wanted.isascii() and wanted.isprintable() and len(wanted) <= MAX_COLLAPSE_ID_BYTES:
        return wanted
    return hashlib.sha256(wanted.encode()).hexdigest()


def _payload(content: PushContent) -> bytes:
    aps: dict[str, object] = {"content-available": 1} if content.silent else {}
    if content.title or content.body:
        aps["alert"] = {"title": content.title, "body": content.body}
    if content.sound:
        aps["sound"] = content.sound
    if content.badge is not None:
        aps["badge"] = content.badge
    made: dict[str, object] = dict(content.data)
    if content.image_url and not content.silent:
        # An app's notification service extension fetches it.
        aps["mutable-content"] = 1
        made["image_url"] = content.image_url
    return json.dumps(made | {"aps": aps}, ensure_ascii=False, separators=(",", ":")).encode()


def _outcome(message: Message, answer: Answer | Silence) -> Outcome:
    if isinstance(answer, Silence):
        return answer.outcome()
    if answer.status == 200:
        return Outcome(verdict=Verdict.ACCEPTED, provider_message_id=as_uuid(message.delivery_id))
    return apns_codes.read(answer)
