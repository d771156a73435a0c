from __future__ import annotations

import pytest

from services.runtime import deadline


class Seconds:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Seconds:
    seconds = Seconds()
    monkeypatch.setattr("services.runtime.deadline.time.monotonic", seconds)
    return seconds


def test_without_a_deadline_there_is_no_end() -> None:
    assert deadline.remaining() is None
    with deadline.within(None):
        assert deadline.remaining() is None


def test_what_is_left_gets_less_and_never_negative(seconds: Seconds) -> None:
    with deadline.within(5):
        seconds.now += 2
        assert deadline.remaining() == pytest.approx(3)
        seconds.now += 10
        assert deadline.remaining() == 0
    assert deadline.remaining() is None


def test_the_nearer_deadline_holds(seconds: Seconds) -> None:
    with deadline.within(5), deadline.within(60):
        assert deadline.remaining() == pytest.approx(5)
    with deadline.within(60):
        with deadline.within(5):
            assert deadline.remaining() == pytest.approx(5)
        assert deadline.remaining() == pytest.approx(60)


def test_what_must_be_finished_gets_its_own_time(seconds: Seconds) -> None:
    with deadline.within(1):
        seconds.now += 1
        with deadline.extended(10):
            assert deadline.remaining() == pytest.approx(10)
        assert deadline.remaining() == 0
