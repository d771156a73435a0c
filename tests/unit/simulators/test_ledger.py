from __future__ import annotations

from services.simulators.ledger import Ledger


def ledger(capacity: int = 3) -> Ledger:
    return Ledger(capacity=capacity, clock=lambda: 7.0)


def test_the_oldest_are_forgotten_and_the_counts_stay_exact() -> None:
    kept = ledger()
    for number in range(10):
        kept.record(f"a{number}", {"n": number})
    assert [each.address for each in kept.messages()] == ["a7", "a8", "a9"]
    assert (kept.accepted, kept.counts()) == (10, {"accepted": 10})


def test_a_flood_of_rejected_messages_keeps_the_accepted() -> None:
    kept = ledger()
    kept.record("good", {})
    for _ in range(100):
        kept.record("bad", {}, "E")
    assert [each.address for each in kept.messages()] == ["good"]
    assert kept.counts() == {"accepted": 1, "E": 100}


def test_pages_follow_the_sequence_through_all_outcomes() -> None:
    kept = ledger(capacity=100)
    for number in range(6):
        kept.record(f"a{number % 2}", {}, "accepted" if number % 3 else "E")
    first = kept.page(address=None, outcome="any", after=0, limit=4)
    rest = kept.page(address=None, outcome="any", after=first[-1].sequence, limit=4)
    assert [each.sequence for each in (*first, *rest)] == [1, 2, 3, 4, 5, 6]
    assert [each.sequence for each in kept.page(address="a0", outcome=None, after=0, limit=9)] == [3, 5]
    assert [each.sequence for each in kept.page(address=None, outcome="E", after=1, limit=9)] == [4]


def test_sequences_go_on_after_a_reset() -> None:
    kept = ledger()
    kept.record("a", {})
    kept.clear()
    assert kept.counts() == {}
    assert kept.record("a", {}).sequence == 2
    assert kept.messages()[0].received_at == 7.0
