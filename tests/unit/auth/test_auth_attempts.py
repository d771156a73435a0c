from __future__ import annotations

import pytest

from services.auth.attempts import BURST, MAX_CLIENTS, REFILL_SECONDS, Attempts
from services.runtime.errors import RateLimited


class Seconds:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def attempts(seconds: Seconds) -> Attempts:
    return Attempts(now=seconds)


def fail(attempts: Attempts, client_id: str, times: int) -> None:
    for _ in range(times):
        attempts.check(client_id)
        attempts.failed(client_id)


def test_after_a_burst_of_wrong_secrets_the_client_has_to_wait(attempts: Attempts, seconds: Seconds) -> None:
    fail(attempts, "shop", BURST)
    with pytest.raises(RateLimited) as caught:
        attempts.check("shop")
    assert caught.value.retry_after == pytest.approx(REFILL_SECONDS)
    seconds.now += REFILL_SECONDS
    fail(attempts, "shop", 1)
    with pytest.raises(RateLimited):
        attempts.check("shop")


def test_the_right_secret_clears_the_count(attempts: Attempts) -> None:
    fail(attempts, "shop", BURST - 1)
    attempts.succeeded("shop")
    fail(attempts, "shop", BURST)


def test_other_clients_are_not_held_up(attempts: Attempts) -> None:
    fail(attempts, "shop", BURST)
    attempts.check("other")


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first(attempts: Attempts) -> None:
    fail(attempts, "first", BURST)
    for number in range(MAX_CLIENTS - 1):
        attempts.failed(f"guess-{number}")
    with pytest.raises(RateLimited):
        attempts.check("first")
    attempts.failed("one more")
    attempts.check("first")
