from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.delivery.policy import RetryPolicy
from tests.unit.delivery.builders import NOW

HOUR = NOW + timedelta(hours=1)


def policy(jitter: float = 0.5, **fields: float) -> RetryPolicy:
    bounds = {"base": 4.0, "cap": 60.0, "retry_after_cap": 600.0} | fields
    return RetryPolicy(jitter=lambda: jitter, **bounds)


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 2), (1, 2), (2, 4), (3, 8), (4, 16), (5, 30), (500, 30)])
def test_the_backoff_doubles_up_to_the_cap(attempts: int, seconds: float) -> None:
    due = policy().due(attempts=attempts, retry_after=None, now=NOW, expire_at=HOUR)
    assert due == NOW + timedelta(seconds=seconds)


def test_jitter_covers_the_whole_window() -> None:
    soon, late = (policy(jitter).due(attempts=3, retry_after=None, now=NOW, expire_at=HOUR) for jitter in (0.0, 0.999))
    assert soon == NOW
    assert late == NOW + timedelta(seconds=15.984)


def test_retry_after_is_waited_out_before_the_jitter_begins() -> None:
    assert policy(0.0).due(attempts=1, retry_after=90, now=NOW, expire_at=HOUR) == NOW + timedelta(seconds=90)
    assert policy(0.5).due(attempts=1, retry_after=90, now=NOW, expire_at=HOUR) == NOW + timedelta(seconds=92)


def test_an_absurd_retry_after_is_capped() -> None:
    assert policy(0.0).due(attempts=1, retry_after=1e9, now=NOW, expire_at=HOUR) == NOW + timedelta(seconds=600)


def test_a_retry_after_beyond_the_messages_life_ends_it() -> None:
    assert policy().due(attempts=1, retry_after=300, now=NOW, expire_at=NOW + timedelta(seconds=300)) is None


def test_a_backoff_beyond_the_messages_life_becomes_a_last_chance_before_its_end() -> None:
    expire_at = NOW + timedelta(seconds=10)
    assert policy().due(attempts=9, retry_after=None, now=NOW, expire_at=expire_at) == NOW + timedelta(seconds=9)
    assert policy().due(attempts=9, retry_after=None, now=NOW + timedelta(seconds=9), expire_at=expire_at) is None


@given(
    attempts=st.integers(0, 10_000),
    retry_after=st.none() | st.floats(0, 1e12),
    jitter=st.floats(0, 1, exclude_max=True),
    life=st.floats(-10, 1e7),
)
def test_it_is_never_due_in_the_past_nor_after_the_message_expires(
    attempts: int, retry_after: float | None, jitter: float, life: float
) -> None:
    expire_at = NOW + timedelta(seconds=life)
    due = policy(jitter).due(attempts=attempts, retry_after=retry_after, now=NOW, expire_at=expire_at)
    assert due is None or NOW <= due < expire_at
