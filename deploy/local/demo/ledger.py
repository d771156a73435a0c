"""Reads what the provider peers received from their inspection API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deploy.local.demo.letters import Letter, Peer, Receipt, data_detail

if TYPE_CHECKING:
    import aiohttp

_PAGE = 1000
ANY = "any"


class Ledgers:
    """The ledgers of the four peers, over HTTP."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        """`url` is the inspection API's."""
        self._session = session
        self._url = url

    async def counts(self) -> dict[Peer, dict[str, int]]:
        """How many messages met each outcome, by peer."""
        async with self._session.get(f"{self._url}/counts") as answer:
            answer.raise_for_status()
            document = await answer.json()
        return {peer: dict(document[peer]) for peer in Peer}

    async def total(self) -> int:
        """How many messages reached the peers, whatever the outcome."""
        return sum(sum(outcomes.values()) for outcomes in (await self.counts()).values())

    async def receipts(self, peer: Peer, *, address: str | None = None) -> list[Receipt]:
        """Every message that a peer received, accepted or not, oldest first; of one address if given."""
        return [receipt(peer, each) for each in await self.messages(peer, address=address)]

    async def messages(self, peer: Peer, *, address: str | None = None) -> list[dict[str, Any]]:
        """The same as the peer itself shows it."""
        found: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            query = {"outcome": ANY, "limit": str(_PAGE), "after": str(after)}
            if address is not None:
                query["address"] = address
            async with self._session.get(f"{self._url}/{peer}/messages", params=query) as answer:
                answer.raise_for_status()
                document = await answer.json()
            found += document["messages"]
            after = document["next_after"]
        return found

    async def register(self, what: str, credential: str) -> None:
        """Make a credential known, such as `fcm/projects`; `credential` is JSON."""
        async with self._session.post(f"{self._url}/{what}", data=credential) as answer:
            answer.raise_for_status()

    async def play(self, peer: Peer, *faults: dict[str, Any]) -> None:
        """Let a peer do these things wrong, and nothing else; without faults it does all right."""
        async with self._session.post(f"{self._url}/{peer}/script", json={"faults": faults}) as answer:
            answer.raise_for_status()


def receipt(peer: Peer, message: dict[str, Any]) -> Receipt:
    """Read one message of the inspection API."""
    title, body, detail = _READERS[peer](message["content"])
    letter = Letter(
        peer=peer, address=message["address"], title=title, body=body, detail=detail, outcome=message["outcome"]
    )
    return Receipt(letter=letter, received_at=float(message["received_at"]))


def _fcm(content: dict[str, Any]) -> tuple[str, str, str]:
    message = content.get("message") or {}
    shown = message.get("notification") or {}
    return shown.get("title", ""), shown.get("body", ""), data_detail(message.get("data") or {})


def _apns(content: dict[str, Any]) -> tuple[str, str, str]:
    payload = dict(content.get("payload") or {})
    alert = (payload.pop("aps", None) or {}).get("alert") or {}
    return alert.get("title", ""), alert.get("body", ""), data_detail({key: str(payload[key]) for key in payload})


def _sms(content: dict[str, Any]) -> tuple[str, str, str]:
    return "", content.get("body") or "", ""


def _smtp(content: dict[str, Any]) -> tuple[str, str, str]:
    subject = next((value for name, value in content.get("headers", ()) if name.lower() == "subject"), "")
    # A mail's lines end in CRLF, and its last one too.
    text, html = ((content.get(kind) or "").replace("\r\n", "\n").removesuffix("\n") for kind in ("text", "html"))
    return subject, text, html


_READERS = {Peer.FCM: _fcm, Peer.APNS: _apns, Peer.SMS: _sms, Peer.SMTP: _smtp}
