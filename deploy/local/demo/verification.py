"""Compares what the providers received with what they should have: exactly that, exactly once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.local.demo.letters import ACCEPTED, Letter, Peer, Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """How the providers' ledgers differ from what was expected; nothing in any of them is as it should be."""

    missing: tuple[Letter, ...] = ()
    repeated: tuple[Letter, ...] = ()
    """Expected, and received more often than once; each surplus receipt is one entry."""
    unexpected: tuple[Letter, ...] = ()
    """Never to be received: another content, address or outcome, or a notification that was held back."""

    def __bool__(self) -> bool:
        """Whether anything was found."""
        return bool(self.missing or self.repeated or self.unexpected)

    def lines(self) -> list[str]:
        """Say each finding in a line."""
        kinds = (("missing", self.missing), ("repeated", self.repeated), ("unexpected", self.unexpected))
        return [
            f"{kind}: {each.peer} {each.outcome} {each.title or each.body!r} to {each.address}"
            for kind, letters in kinds
            for each in letters
        ]


def compare(expected: Sequence[Letter], receipts: Sequence[Receipt]) -> Findings:
    """Match receipts to expected letters, each letter to one receipt that equals it in every field."""
    wanted = Counter(expected)
    received = Counter(each.letter for each in receipts)
    surplus = received - wanted
    return Findings(
        missing=tuple((wanted - received).elements()),
        repeated=tuple(each for each in surplus.elements() if each in wanted),
        unexpected=tuple(each for each in surplus.elements() if each not in wanted),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFigures:
    """One provider's row: how many notifications were sent to it, what became of them, and how long it took."""

    peer: Peer
    sent: int
    held_back: int
    delivered: int
    failed: int
    latencies: tuple[float, ...]
    """Seconds from accept to the provider's receipt, sorted."""

    def percentile(self, percent: int) -> float | None:
        """The nearest-rank percentile of the latencies in seconds, None without any."""
        if not self.latencies:
            return None
        rank = -(-percent * len(self.latencies) // 100)
        return self.latencies[max(rank, 1) - 1]


def figures(
    peer: Peer,
    *,
    sent: int,
    held_back: int,
    receipts: Sequence[Receipt],
    accepted_at: Mapping[Letter, float],
) -> ChannelFigures:
    """Count one provider's receipts; `accepted_at` is when the service accepted what a letter came from."""
    own = [each for each in receipts if each.letter.peer is peer]
    delivered = [each for each in own if each.letter.outcome == ACCEPTED]
    latencies = sorted(each.received_at - accepted_at[each.letter] for each in delivered if each.letter in accepted_at)
    return ChannelFigures(
        peer=peer,
        sent=sent,
        held_back=held_back,
        delivered=len(delivered),
        failed=len(own) - len(delivered),
        latencies=tuple(latencies),
    )
