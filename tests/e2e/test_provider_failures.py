"""What a provider says is read for what it means: gone, the message's fault, or worth another try."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from clarion.notification.v1 import NOTIFICATION_STATE_FAILED, NOTIFICATION_STATE_PARTIAL, NOTIFICATION_STATE_PROCESSING
from clarion.type.v1 import (
    DELIVERY_STATE_FAILED,
    DELIVERY_STATE_RETRYING,
    PLATFORM_ANDROID,
    PLATFORM_IOS,
)

from deploy.local.demo import people
from deploy.local.demo.letters import Peer
from deploy.local.demo.waiting import until
from services.topics import DEVICE_EVENTS
from tests.e2e.world import SECONDS, email, phone, user

if TYPE_CHECKING:
    from clarion.notification.v1 import Notification

    from deploy.local.demo.scenario import Person
    from tests.e2e.world import World

HOUR_MS = 3_600_000


async def test_a_token_that_fcm_calls_unregistered_is_dropped(world: World) -> None:
    person = await world.person(PLATFORM_ANDROID)
    async with world.playing(Peer.FCM, match=person.device.token, error="UNREGISTERED"):
        end = await _pushed(world, Peer.FCM, person)
    assert end.state == NOTIFICATION_STATE_FAILED
    (delivery,) = await world.deliveries(end.notification_id)
    assert delivery.state == DELIVERY_STATE_FAILED
    assert delivery.attempts[0].provider_code == "UNREGISTERED"
    assert await _dropped(world, person)


async def test_a_token_that_apns_calls_gone_is_dropped(world: World) -> None:
    person = await world.person(PLATFORM_IOS)
    since = int(time.time() * 1000) + HOUR_MS
    async with world.playing(Peer.APNS, match=person.device.token, error="Unregistered", timestamp_ms=since):
        end = await _pushed(world, Peer.APNS, person)
    assert end.state == NOTIFICATION_STATE_FAILED
    assert await _dropped(world, person)


async def test_a_token_that_was_registered_after_the_providers_timestamp_is_kept(world: World) -> None:
    person = await world.person(PLATFORM_IOS)
    since = int(time.time() * 1000) - HOUR_MS
    before = await world.metric("device", "clarion_consumed_total", topic=DEVICE_EVENTS)
    async with world.playing(Peer.APNS, match=person.device.token, error="Unregistered", timestamp_ms=since):
        end = await _pushed(world, Peer.APNS, person)
    assert end.state == NOTIFICATION_STATE_FAILED

    async def consumed() -> bool:
        return await world.metric("device", "clarion_consumed_total", topic=DEVICE_EVENTS) > before

    assert await until(consumed, seconds=SECONDS), "the provider's word never came to the device service"
    assert await people.tokens(world.tenant, person.user_id) == {person.device.token}


@pytest.mark.parametrize(("peer", "error"), [(Peer.FCM, "INVALID_ARGUMENT"), (Peer.APNS, "BadDeviceToken")])
async def test_a_refused_token_alone_proves_nothing_and_is_kept(world: World, peer: Peer, error: str) -> None:
    person = await world.person(PLATFORM_IOS if peer is Peer.APNS else PLATFORM_ANDROID)
    async with world.playing(peer, match=person.device.token, error=error):
        end = await _pushed(world, peer, person)
    assert end.state == NOTIFICATION_STATE_FAILED
    (delivery,) = await world.deliveries(end.notification_id)
    assert delivery.attempts[0].provider_code == error


@pytest.mark.parametrize(
    ("peer", "fault"),
    [
        (Peer.FCM, {"error": "UNAVAILABLE", "retry_after_seconds": 600}),
        (Peer.APNS, {"error": "ServiceUnavailable", "retry_after_seconds": 600}),
        (Peer.SMS, {"error": "20429", "retry_after_seconds": 600}),
        (Peer.SMTP, {"error": "451 4.3.0 Try again later"}),
    ],
)
async def test_a_transient_failure_is_recorded_with_its_due_time(
    world: World, peer: Peer, fault: dict[str, Any]
) -> None:
    stranger = world.stranger(PLATFORM_IOS if peer is Peer.APNS else PLATFORM_ANDROID)
    _, content = world.content(peer)
    target = {Peer.SMS: stranger.phone, Peer.SMTP: stranger.email}.get(peer, stranger.device.token)
    async with world.playing(peer, match=target, **fault):
        if peer in {Peer.SMS, Peer.SMTP}:
            recipient = phone(stranger.phone) if peer is Peer.SMS else email(stranger.email)
        else:
            await people.register(world.tenant, [stranger])
            recipient = user(stranger)
        answer = await world.send(recipient, content=content)

        async def recorded() -> bool:
            return any(each.state == DELIVERY_STATE_RETRYING for each in await world.deliveries(answer.notification_id))

        assert await until(recorded, seconds=SECONDS)
    (delivery,) = await world.deliveries(answer.notification_id)
    wait = delivery.due_time.seconds - time.time()
    assert wait > (500 if "retry_after_seconds" in fault else 0), "the provider's Retry-After is not honoured"
    assert delivery.attempts[0].state == DELIVERY_STATE_RETRYING
    assert delivery.attempts[0].provider_code

    async def reported() -> bool:
        return (await world.get(answer.notification_id)).progress.retrying == 1

    assert await until(reported, seconds=SECONDS)
    assert (await world.get(answer.notification_id)).state == NOTIFICATION_STATE_PROCESSING
    assert await world.letters(peer, target) == []


async def test_a_permanent_refusal_of_one_address_does_not_hold_back_the_others(world: World) -> None:
    good, bad = world.stranger(), world.stranger()
    _, content = world.content(Peer.SMS)
    async with world.playing(Peer.SMS, match=bad.phone, error="21610"):
        answer = await world.send(phone(good.phone), phone(bad.phone), content=content)
        end = await world.final(answer.notification_id)
    assert end.state == NOTIFICATION_STATE_PARTIAL
    assert (end.progress.sent, end.progress.failed) == (1, 1)
    assert len(await world.letters(Peer.SMS, good.phone)) == 1


async def _pushed(world: World, peer: Peer, person: Person) -> Notification:
    _, content = world.content(peer)
    answer = await world.send(user(person), content=content)
    return await world.final(answer.notification_id)


async def _dropped(world: World, person: Person) -> bool:
    async def gone() -> bool:
        return await people.tokens(world.tenant, person.user_id) == set()

    return await until(gone, seconds=SECONDS)
