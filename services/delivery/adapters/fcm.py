"""FCM's HTTP v1 API (firebase.google.com: REST resource projects.messages)."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

from services.delivery.adapters import fcm_codes
from services.delivery.adapters.http import Silence
from services.delivery.adapters.meaning import NO_ANSWER, UNREACHABLE, WRONG_CREDENTIALS
from services.delivery.credentials import FcmCredentials
from services.delivery.domain import Outcome, Verdict
from services.delivery.message import DeviceAddress, Platform, Priority, PushContent
from services.runtime.errors import PreconditionFailed, Unavailable

if TYPE_CHECKING:
    from services.delivery.adapters.fcm_tokens import FcmTokens
    from services.delivery.adapters.http import Answer, Endpoint, HttpClient
    from services.delivery.credentials import Account
    from services.delivery.message import Message
    from services.runtime.clock import Clock

MAX_TTL_SECONDS: Final = 2_419_200


class FcmProvider:
    """Sends to Android and the web. A lost answer is tried again: the message's tag lets a second copy replace the
    first on the screen."""

    def __init__(self, http: HttpClient, endpoint: Endpoint, tokens: FcmTokens, *, clock: Clock) -> None:
        """`endpoint` is FCM's."""
        self._http, self._endpoint, self._tokens, self._clock = http, endpoint, tokens, clock

    async def send(self, account: Account, message: Message, timeout: float) -> Outcome:
        """Make one attempt; a second one at once only where FCM no longer takes our access token."""
        try:
            async with asyncio.timeout(timeout) as within:
                answer = await self._post(account, message, _left(within))
                outcome = _outcome(answer)
                if outcome.code == fcm_codes.UNAUTHENTICATED:
                    outcome = _outcome(await self._post(account, message, _left(within)))
                return outcome
        except TimeoutError:
            return NO_ANSWER.outcome("TIMEOUT")
        except PreconditionFailed:
            return WRONG_CREDENTIALS.outcome("TOKEN_REFUSED")
        except Unavailable as exc:
            return UNREACHABLE.outcome("TOKEN_UNAVAILABLE", retry_after=exc.retry_after)

    async def _post(self, account: Account, message: Message, timeout: float) -> Answer | Silence:
        credentials = account.credentials
        if not isinstance(credentials, FcmCredentials):
            raise TypeError("an FCM account is needed")
        token = await self._tokens.get(account.key, credentials)
        answer = await self._http.post(
            self._endpoint,
            f"/v1/projects/{credentials.project_id}/messages:send",
            headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
            body=json.dumps({"message": self._message(message)}, ensure_ascii=False).encode(),
            timeout=timeout,
        )
        if not isinstance(answer, Silence) and answer.status == 401:
            self._tokens.forget(account.key, token)
        return answer

    def _message(self, message: Message) -> dict[str, object]:
        address, content = message.address, message.content
        if not isinstance(address, DeviceAddress) or not isinstance(content, PushContent):
            raise TypeError("a device's address and push content are needed")
        made: dict[str, object] = {"token": address.token}
        if not content.silent:
            # With this key FCM shows something, however empty; without it the message goes to the app.
            made["notification"] = _shown(content)
        if content.data:
            made["data"] = dict(content.data)
        if address.platform is Platform.WEB:
            made["webpush"] = self._webpush(message, content)
        else:
            made["android"] = self._android(message, content)
        return made

    def _android(self, message: Message, content: PushContent) -> dict[str, object]:
        made: dict[str, object] = {
            "priority": "NORMAL" if message.priority is Priority.BULK else "HIGH",
            "ttl": f"{self._ttl(message)}s",
        }
        if message.collapse_key:
            made["collapse_key"] = message.collapse_key
        if content.silent:
            return made
        notification: dict[str, object] = {"tag": message.collapse_key or message.delivery_id}
        if content.sound:
            notification["sound"] = content.sound
        if content.badge is not None:
            notification["notification_count"] = content.badge
        return made | {"notification": notification}

    def _webpush(self, message: Message, content: PushContent) -> dict[str, object]:
        urgency = {Priority.CRITICAL: "high", Priority.NORMAL: "normal", Priority.BULK: "low"}[message.priority]
        made: dict[str, object] = {"headers": {"TTL": str(self._ttl(message)), "Urgency": urgency}}
        if not content.silent:
            made["notification"] = {"tag": message.collapse_key or message.delivery_id}
        return made

    def _ttl(self, message: Message) -> int:
        return min(MAX_TTL_SECONDS, max(0, int((message.expire_at - self._clock()).total_seconds())))


def _shown(content: PushContent) -> dict[str, str]:
    shown = {"title": content.title, "body": content.body}
    return shown | {"image": content.image_url} if content.image_url else shown


def _left(within: asyncio.Timeout) -> float:
    at = within.when()
    return max(0.001, at - asyncio.get_running_loop().time()) if at is not None else 1.0


def _outcome(answer: Answer | Silence) -> Outcome:
    if isinstance(answer, Silence):
        return answer.outcome()
    if answer.status != 200:
        return fcm_codes.read(answer)
    name = str(answer.parsed().get("name", ""))[:256]
    return Outcome(verdict=Verdict.ACCEPTED, provider_message_id=name)
