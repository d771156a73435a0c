"""What always holds of devices, recipients and answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.device.domain import (
    MAX_BATCH,
    MAX_DEVICES,
    MAX_REACH_BYTES,
    UNKNOWN,
    DeviceAddress,
    Platform,
    Position,
    device_id,
    latest_by_device,
    listed,
    reach,
)
from services.device.messages import MAX_TOKEN_CHARS, from_reach, to_reach
from services.runtime.channels import MAX_MESSAGE_BYTES
from tests.unit.device.builders import address, at, device, email, gone, phone, recipient

if TYPE_CHECKING:
    from services.device.domain import Device

printable = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)
addresses = st.builds(DeviceAddress, platform=st.sampled_from(Platform), app=printable, token=printable)


@given(st.tuples(printable, addresses), st.tuples(printable, addresses))
def test_a_device_id_is_the_same_exactly_for_the_same_address_of_the_same_tenant(
    one: tuple[str, DeviceAddress], other: tuple[str, DeviceAddress]
) -> None:
    assert (device_id(*one) == device_id(*other)) == (one == other)


def test_a_device_id_does_not_change_from_release_to_release() -> None:
    assert device_id("acme", address("token-1")) == "b53dc4159dcb40a59682494e2defc00e"


def test_where_a_part_ends_belongs_to_the_device_id() -> None:
    assert device_id("acme", address("bc", app="a")) != device_id("acme", address("c", app="ab"))


def test_of_a_user_without_profile_and_devices_nothing_is_known() -> None:
    assert reach(None, []) == UNKNOWN
    assert not UNKNOWN.found


def test_a_profile_alone_or_a_device_alone_makes_a_user_known() -> None:
    assert reach(recipient(), []).found
    assert reach(None, [device()]).found


def test_only_verified_contact_points_are_given_and_the_first_of_each_kind() -> None:
    person = recipient(
        "ada",
        phone("+351910000001", verified=False),
        email("old@example.com", verified=False),
        phone("+351910000002"),
        phone("+351910000003"),
        email("new@example.com"),
    )
    answer = reach(person, [])
    assert (answer.phone, answer.email) == ("+351910000002", "new@example.com")


def test_nobody_is_reached_by_an_unverified_contact_point() -> None:
    answer = reach(recipient("ada", phone(verified=False), email(verified=False)), [])
    assert (answer.found, answer.phone, answer.email) == (True, "", "")


def test_devices_come_last_seen_first() -> None:
    devices = [device(token="old", seen=1), device(token="new", seen=9), device(token="mid", seen=5)]
    assert [each.token for each in reach(None, devices).devices] == ["new", "mid", "old"]


def test_the_persons_locale_precedes_their_devices() -> None:
    devices = [
        device(token="a", locale="de", seen=1),
        device(token="b", locale="fr", seen=2),
        device(token="c", seen=3),
    ]
    assert reach(recipient(locale="pt-PT"), devices).locale == "pt-PT"
    assert reach(recipient(locale=""), devices).locale == "fr"


def test_an_answer_has_no_more_devices_than_a_user_may_have() -> None:
    devices = [device(token=f"t{number}", seen=number) for number in range(MAX_DEVICES + 5)]
    answer = reach(None, devices)
    assert len(answer.devices) == MAX_DEVICES
    assert answer.devices[0].token == f"t{MAX_DEVICES + 4}"


def test_all_of_a_users_usual_tokens_fit_into_an_answer() -> None:
    devices = [device(token=f"{number:0163d}") for number in range(MAX_DEVICES)]
    assert len(reach(None, devices).devices) == MAX_DEVICES


def test_answers_full_of_the_longest_tokens_fit_into_one_message() -> None:
    devices = [device(token=f"{number:0{MAX_TOKEN_CHARS}d}") for number in range(MAX_DEVICES)]
    points = [phone(), email("a" * 64 + "@" + ".".join(["d" * 60] * 3) + ".com")]
    answer = reach(recipient("ada", *points), devices)
    assert answer.devices
    size = from_reach(answer).ByteSize()
    assert size <= MAX_REACH_BYTES + 500
    assert MAX_BATCH * (size + 8) < MAX_MESSAGE_BYTES


def test_an_answer_survives_being_written_and_read() -> None:
    answer = reach(recipient("ada", phone(), email()), [device(token="a"), device(token="b", seen=3)])
    assert to_reach(from_reach(answer)) == answer
    assert to_reach(from_reach(UNKNOWN)) == UNKNOWN


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=20), st.integers(1, 5))
def test_pages_cut_at_a_position_have_every_device_once_and_in_order(seen: list[tuple[int, int]], size: int) -> None:
    everything = listed(device(token=f"t{number}", seen=when) for number, (when, _) in enumerate(seen))
    pages: list[Device] = []
    after: Position | None = None
    while page := [each for each in everything if after is None or after.precedes(each)][:size]:
        pages += page
        after = Position.from_cursor(
            Position(last_seen_time=page[-1].last_seen_time, device_id=page[-1].device_id).cursor()
        )
    assert pages == everything


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_of_several_declarations_for_a_token_the_latest_counts(order: tuple[int, int]) -> None:
    latest = latest_by_device([gone(when=when) for when in order] + [gone("other", when=0)])
    assert sorted(each.gone_time for each in latest.values()) == [at(0), at(2)]
