"""The scenario is what the demo promises: 1,000 notifications, four providers, each special case once."""

from __future__ import annotations

from collections import Counter

from clarion.type.v1 import PLATFORM_ANDROID, PLATFORM_IOS

from deploy.local.demo.letters import ACCEPTED, Peer
from deploy.local.demo.scenario import BATCH, Part, scenario


def test_a_thousand_notifications_go_to_four_providers_in_equal_parts() -> None:
    assert Counter(each.peer for each in scenario().sendings) == dict.fromkeys(Peer, 250)


def test_each_special_case_happens_once_and_both_ways_of_sending_are_used() -> None:
    parts = Counter(each.part for each in scenario().sendings)
    assert [parts[part] for part in (Part.CANCELLED, Part.EXPIRED, Part.REPEATED, Part.GONE)] == [1, 1, 1, 1]
    assert parts[Part.BATCH] > 3 * BATCH
    assert parts[Part.SINGLE] > 500


def test_what_is_held_back_is_not_expected() -> None:
    plan = scenario()
    held_back = {each.letter for each in plan.of(Part.CANCELLED, Part.EXPIRED)}
    assert len(plan.expected()) == 998
    assert not held_back & set(plan.expected())


def test_letters_and_keys_are_all_different_so_that_a_mix_up_shows() -> None:
    plan = scenario()
    assert len({each.letter for each in plan.sendings}) == 1000
    assert len({each.request.idempotency_key for each in plan.sendings}) == 1000


def test_only_the_lost_device_is_expected_to_be_refused() -> None:
    plan = scenario()
    (gone,) = plan.of(Part.GONE)
    assert [each for each in plan.expected() if each.outcome != ACCEPTED] == [gone.letter]
    assert gone.letter.address == plan.uninstalled.device.token
    assert plan.uninstalled not in plan.people


def test_pushes_go_to_the_provider_of_the_device() -> None:
    plan = scenario()
    platforms = {each.device.token: each.device.platform for each in (*plan.people, plan.uninstalled)}
    for each in plan.sendings:
        if each.peer in {Peer.FCM, Peer.APNS}:
            assert platforms[each.letter.address] == {Peer.FCM: PLATFORM_ANDROID, Peer.APNS: PLATFORM_IOS}[each.peer]


def test_users_and_direct_addresses_are_both_reached_by_sms_and_mail() -> None:
    plan = scenario()
    for peer in (Peer.SMS, Peer.SMTP):
        kinds = Counter(each.request.recipients[0].WhichOneof("target") for each in plan.sendings if each.peer is peer)
        assert kinds == {"user_id": 125, "address": 125}


def test_the_scenario_is_the_same_each_time() -> None:
    assert scenario() == scenario()
