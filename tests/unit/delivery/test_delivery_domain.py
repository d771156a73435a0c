from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.delivery.domain import (
    MAX_ATTEMPTS_KEPT,
    Outcome,
    State,
    Verdict,
    begun,
    concluded,
    expired,
)
from services.delivery.message import (
    DeviceAddress,
    EmailAddress,
    PhoneAddress,
    Platform,
    ProviderName,
    as_uuid,
    delivery_id,
)
from services.delivery.policy import RetryPolicy
from tests.unit.delivery.builders import NOW, RETENTION, android, email, ios, phone, record

if TYPE_CHECKING:
    from services.delivery.message import Address

POLICY = RetryPolicy(base=10, cap=100, retry_after_cap=600, jitter=lambda: 0.5)
HOUR = NOW + timedelta(hours=1)


def after(verdict: Verdict, **fields: Any) -> State:
    outcome = Outcome(verdict=verdict)
    return concluded(record(**fields), outcome, now=NOW, expire_at=HOUR, policy=POLICY).state


@given(parts=st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4), st.text(max_size=4)), min_size=2, max_size=2))
def test_two_deliveries_share_an_id_only_if_all_their_parts_are_the_same(parts: list[tuple[str, str, str]]) -> None:
    first, second = (
        delivery_id(tenant=tenant, notification_id="n", user_id=user, address=PhoneAddress(number=number))
        for tenant, user, number in parts
    )
    assert (first == second) == (parts[0] == parts[1])


def test_an_id_tells_channels_apart_and_stays_the_same_between_releases() -> None:
    addresses: list[Address | None] = [
        PhoneAddress(number="x"),
        EmailAddress(mailbox="x"),
        DeviceAddress(platform=Platform.IOS, app="", token="x"),
        DeviceAddress(platform=Platform.ANDROID, app="", token="x"),
        None,
    ]
    ids = [delivery_id(tenant="t", notification_id="n", user_id="u", address=each) for each in addresses]
    assert len(set(ids)) == 5
    assert ids[0] == "babc53da4735f02b03583a7533c0b4fd"
    assert as_uuid(ids[0]) == "babc53da-4735-f02b-0358-3a7533c0b4fd"


def test_ios_goes_by_apns_and_other_devices_by_fcm() -> None:
    found = [each.provider for each in (ios(), android(), android(platform=Platform.WEB), phone(), email())]
    assert found == [
        ProviderName.APNS, ProviderName.FCM, ProviderName.FCM, ProviderName.TWILIO, ProviderName.SMTP,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        (Verdict.ACCEPTED, State.SENT),
        (Verdict.GONE, State.FAILED),
        (Verdict.REJECTED, State.FAILED),
        (Verdict.UNCONFIRMED, State.FAILED),
        (Verdict.TRANSIENT, State.RETRYING),
        (Verdict.DEFERRED, State.RETRYING),
    ],
)
def test_a_verdict_leads_to_a_state(verdict: Verdict, state: State) -> None:
    assert after(verdict) is state


def test_a_transient_failure_says_when_it_is_due_again_and_counts_its_attempt() -> None:
    outcome = Outcome(verdict=Verdict.TRANSIENT, reason="THROTTLED", code="429", retry_after=60)
    made = concluded(record(), outcome, now=NOW, expire_at=HOUR, policy=POLICY)
    assert made.due_at == NOW + timedelta(seconds=65)
    assert (made.reason, made.attempt_count, [each.code for each in made.attempts]) == ("THROTTLED", 1, ["429"])


def test_no_attempt_is_counted_where_no_call_was_made() -> None:
    outcome = Outcome(verdict=Verdict.DEFERRED, reason="NO_CAPACITY")
    made = concluded(record(), outcome, now=NOW, expire_at=HOUR, policy=POLICY)
    assert (made.attempt_count, made.attempts, made.reason) == (0, (), "NO_CAPACITY")


@pytest.mark.parametrize(
    ("verdict", "state"), [(Verdict.TRANSIENT, State.FAILED), (Verdict.DEFERRED, State.SUPPRESSED)]
)
def test_what_cannot_be_tried_again_in_time_has_expired(verdict: Verdict, state: State) -> None:
    made = concluded(record(), Outcome(verdict=verdict), now=NOW, expire_at=NOW, policy=POLICY)
    assert (made.state, made.reason, made.due_at) == (state, "EXPIRED", None)


def test_past_its_time_it_is_suppressed_if_never_tried_and_failed_otherwise() -> None:
    assert expired(record(), NOW).state is State.SUPPRESSED
    assert expired(record(attempt_count=1), NOW).state is State.FAILED


def test_attempts_are_bounded_and_their_count_goes_on() -> None:
    delivery = record()
    for _ in range(MAX_ATTEMPTS_KEPT + 5):
        delivery = concluded(delivery, Outcome(verdict=Verdict.TRANSIENT), now=NOW, expire_at=HOUR, policy=POLICY)
    assert (len(delivery.attempts), delivery.attempt_count) == (MAX_ATTEMPTS_KEPT, MAX_ATTEMPTS_KEPT + 5)


def test_a_record_outlives_its_message() -> None:
    late = phone(expire_at=NOW + timedelta(days=28))
    assert begun(late, NOW, RETENTION).purge_at == NOW + timedelta(days=58)
    assert begun(phone(expire_at=NOW), NOW, RETENTION).purge_at == NOW + RETENTION


def test_nothing_personal_shows_in_a_messages_text() -> None:
    for each in (ios("secret-token"), phone("+351999"), email("ada@example.com")):
        shown = repr(each)
        assert not any(
            word in shown for word in ("secret-token", "+351999", "ada@example.com", "1234", "Hello", "words")
        )
