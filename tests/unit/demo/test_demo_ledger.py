"""Each peer's own words are read as the same kind of letter."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.local.demo.ledger import receipt
from deploy.local.demo.letters import Letter, Peer


def shown(content: dict[str, Any], *, address: str = "to", outcome: str = "accepted") -> dict[str, Any]:
    return {"sequence": 1, "received_at": 12.5, "address": address, "outcome": outcome, "content": content}


@pytest.mark.parametrize(
    ("peer", "content", "expected"),
    [
        (
            Peer.FCM,
            {"message": {"token": "to", "notification": {"title": "T", "body": "B"}, "data": {"b": "2", "a": "1"}}},
            ("T", "B", "a=1 b=2"),
        ),
        (Peer.APNS, {"payload": {"aps": {"alert": {"title": "T", "body": "B"}}, "a": "1"}}, ("T", "B", "a=1")),
        (Peer.SMS, {"body": "B", "from": "+15005550006"}, ("", "B", "")),
        (
            Peer.SMTP,
            {"headers": [["From", "x"], ["Subject", "T"]], "text": "B\r\n", "html": "<p>B</p>\r\n"},
            ("T", "B", "<p>B</p>"),
        ),
    ],
)
def test_a_message_of_each_peer_is_read(peer: Peer, content: dict[str, Any], expected: tuple[str, str, str]) -> None:
    title, body, detail = expected
    read = receipt(peer, shown(content))
    assert read.letter == Letter(peer=peer, address="to", title=title, body=body, detail=detail)
    assert read.received_at == 12.5


@pytest.mark.parametrize("peer", Peer)
def test_a_refusal_without_content_is_read_too(peer: Peer) -> None:
    content: dict[str, Any] = {"payload": None, "message": None, "body": None}
    read = receipt(peer, shown(content, outcome="refused"))
    assert read.letter == Letter(peer=peer, address="to", title="", body="", outcome="refused")
