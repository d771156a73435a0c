"""Ledgers are compared exactly: nothing missing, nothing twice, nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deploy.local.demo.letters import Letter, Peer, Receipt
from deploy.local.demo.verification import compare, figures

MAIL = Letter(peer=Peer.SMTP, address="ada@example.com", title="Parcel", body="It comes.", detail="<p>It comes.</p>")
SMS = Letter(peer=Peer.SMS, address="+447700900000", title="", body="It comes.")


def received(*letters: Letter, at: float = 0.0) -> list[Receipt]:
    return [Receipt(letter=letter, received_at=at) for letter in letters]


def test_equal_ledgers_show_nothing() -> None:
    findings = compare([MAIL, SMS], received(SMS, MAIL))
    assert not findings
    assert findings.lines() == []


def test_what_did_not_arrive_is_missing() -> None:
    assert compare([MAIL, SMS], received(SMS)).missing == (MAIL,)


def test_each_surplus_receipt_is_a_repetition() -> None:
    findings = compare([MAIL], received(MAIL, MAIL, MAIL))
    assert findings.repeated == (MAIL, MAIL)
    assert not findings.missing
    assert not findings.unexpected


@pytest.mark.parametrize(
    "wrong",
    [
        replace(MAIL, address="eve@example.com"),
        replace(MAIL, title="Parcels"),
        replace(MAIL, body="It went."),
        replace(MAIL, detail=""),
        replace(MAIL, peer=Peer.SMS),
        replace(MAIL, outcome="550 5.1.1"),
    ],
)
def test_a_letter_that_differs_in_one_field_is_missing_and_unexpected(wrong: Letter) -> None:
    findings = compare([MAIL], received(wrong))
    assert findings.missing == (MAIL,)
    assert findings.unexpected == (wrong,)
    assert any(line.startswith("missing") for line in findings.lines())
    assert any(line.startswith("unexpected") for line in findings.lines())


def test_two_equal_letters_want_two_receipts() -> None:
    assert compare([SMS, SMS], received(SMS)).missing == (SMS,)
    assert not compare([SMS, SMS], received(SMS, SMS))


def test_figures_count_own_receipts_and_time_those_that_were_taken() -> None:
    refused = replace(SMS, body="no", outcome="21610")
    receipts = received(SMS, at=10.5) + received(refused, at=11.0) + received(MAIL, at=99.0)
    row = figures(Peer.SMS, sent=3, held_back=1, receipts=receipts, accepted_at={SMS: 10.0, refused: 10.0, MAIL: 0.0})
    assert (row.sent, row.held_back, row.delivered, row.failed) == (3, 1, 1, 1)
    assert row.latencies == (0.5,)


@pytest.mark.parametrize(("percent", "expected"), [(50, 50.0), (99, 99.0), (100, 100.0), (1, 1.0)])
def test_percentiles_are_by_nearest_rank(percent: int, expected: float) -> None:
    letters = [replace(SMS, body=str(number)) for number in range(100)]
    receipts = [Receipt(letter=each, received_at=float(number + 1)) for number, each in enumerate(letters)]
    row = figures(Peer.SMS, sent=100, held_back=0, receipts=receipts, accepted_at=dict.fromkeys(letters, 0.0))
    assert row.percentile(percent) == expected


def test_without_receipts_there_is_no_percentile() -> None:
    assert figures(Peer.SMS, sent=0, held_back=0, receipts=[], accepted_at={}).percentile(50) is None
