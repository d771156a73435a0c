"""Waits before a crashed process is started again."""

from __future__ import annotations

from deploy.local.supervision.backoff import Backoff


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(first=0.5, most=3.0)
    assert [backoff.delay(crashes) for crashes in (1, 2, 3, 4, 5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_a_thousand_crashes_wait_no_longer_than_the_longest() -> None:
    assert Backoff(first=0.5, most=30.0).delay(1000) == 30.0


def test_a_process_that_stayed_up_long_enough_begins_anew() -> None:
    backoff = Backoff(forgiven_after=30.0)
    assert backoff.crashes_in_a_row(4, up_for=29.9) == 5
    assert backoff.crashes_in_a_row(4, up_for=30.0) == 1
