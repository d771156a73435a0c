"""One call reaches each provider, with what was said, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from clarion.delivery.v1 import PROVIDER_APNS, PROVIDER_FCM, PROVIDER_SMTP, PROVIDER_TWILIO
from clarion.notification.v1 import (
    NOTIFICATION_STATE_COMPLETED,
    NOTIFICATION_STATE_SUPPRESSED,
    BatchSendNotificationsRequest,
    DeliveryOptions,
    Recipient,
    SendNotificationRequest,
)
from clarion.type.v1 import (
    DELIVERY_STATE_DELIVERED,
    DELIVERY_STATE_SENT,
    PLATFORM_ANDROID,
    PLATFORM_IOS,
    PRIORITY_BULK,
    PRIORITY_CRITICAL,
    PRIORITY_NORMAL,
    ROUTING_ALL,
    Address,
    Content,
)

from deploy.local.demo.letters import Letter, Peer
from deploy.local.demo.providers import MAIL_SENDER, SMS_SENDER
from tests.e2e.refusals import parsed
from tests.e2e.world import UNSUBSCRIBE, email, phone, user

if TYPE_CHECKING:
    from clarion.type.v1 import Priority

    from deploy.local.demo.scenario import Person
    from tests.e2e.world import World

PROVIDERS = {
    Peer.FCM: PROVIDER_FCM,
    Peer.APNS: PROVIDER_APNS,
    Peer.SMS: PROVIDER_TWILIO,
    Peer.SMTP: PROVIDER_SMTP,
}


def address(peer: Peer, person: Person) -> str:
    return {Peer.SMS: person.phone, Peer.SMTP: person.email}.get(peer, person.device.token)


def letter(peer: Peer, person: Person, word: str) -> Letter:
    title, body, detail = {
        Peer.SMS: ("", f"Text {word}", ""),
        Peer.SMTP: (f"Subject {word}", f"Text {word}", f"<p>HTML {word}</p>"),
    }.get(peer, (f"Title {word}", f"Body {word}", f"k={word}"))
    return Letter(peer=peer, address=address(peer, person), title=title, body=body, detail=detail)


@pytest.mark.parametrize("peer", Peer)
async def test_a_user_is_reached_on_each_channel(world: World, peer: Peer) -> None:
    person = await world.person(PLATFORM_IOS if peer is Peer.APNS else PLATFORM_ANDROID)
    word, content = world.content(peer)
    answer = await world.send(user(person), content=content)
    end = await world.final(answer.notification_id)
    assert end.state == NOTIFICATION_STATE_COMPLETED
    assert end.progress.sent == 1
    assert await world.letters(peer, address(peer, person)) == [letter(peer, person, word)]
    (delivery,) = await world.deliveries(answer.notification_id)
    assert delivery.state in {DELIVERY_STATE_SENT, DELIVERY_STATE_DELIVERED}
    assert delivery.provider == PROVIDERS[peer]
    assert delivery.user_id == person.user_id
    assert delivery.provider_message_id
    assert len(delivery.attempts) == 1


@pytest.mark.parametrize("peer", Peer)
async def test_an_address_that_nobody_registered_is_reached_too(world: World, peer: Peer) -> None:
    stranger = world.stranger(PLATFORM_IOS if peer is Peer.APNS else PLATFORM_ANDROID)
    word, content = world.content(peer)
    recipient = {Peer.SMS: phone(stranger.phone), Peer.SMTP: email(stranger.email)}.get(
        peer, Recipient(address=Address(device=stranger.device))
    )
    answer = await world.send(recipient, content=content)
    assert (await world.final(answer.notification_id)).state == NOTIFICATION_STATE_COMPLETED
    assert await world.letters(peer, address(peer, stranger)) == [letter(peer, stranger, word)]


async def test_all_channels_at_once_where_they_are_asked_for(world: World) -> None:
    person = await world.person()
    word, content = world.content(Peer.FCM, Peer.SMS, Peer.SMTP)
    answer = await world.send(user(person), content=content, options=DeliveryOptions(routing=ROUTING_ALL))
    end = await world.final(answer.notification_id)
    assert end.state == NOTIFICATION_STATE_COMPLETED
    assert end.progress.sent == 3
    for peer in (Peer.FCM, Peer.SMS, Peer.SMTP):
        assert await world.letters(peer, address(peer, person)) == [letter(peer, person, word)]


async def test_the_first_channel_alone_where_nothing_is_asked_for(world: World) -> None:
    person = await world.person()
    word, content = world.content(Peer.FCM, Peer.SMS, Peer.SMTP)
    answer = await world.send(user(person), content=content)
    assert (await world.final(answer.notification_id)).progress.sent == 1
    assert await world.letters(Peer.FCM, person.device.token) == [letter(Peer.FCM, person, word)]
    assert await world.letters(Peer.SMS, person.phone) == []
    assert await world.letters(Peer.SMTP, person.email) == []


@pytest.mark.parametrize("priority", [PRIORITY_CRITICAL, PRIORITY_NORMAL, PRIORITY_BULK])
async def test_every_lane_is_served(world: World, priority: Priority.ValueType) -> None:
    stranger = world.stranger()
    word, content = world.content(Peer.SMS)
    answer = await world.send(phone(stranger.phone), content=content, options=DeliveryOptions(priority=priority))
    assert (await world.final(answer.notification_id)).state == NOTIFICATION_STATE_COMPLETED
    assert await world.letters(Peer.SMS, stranger.phone) == [letter(Peer.SMS, stranger, word)]


async def test_a_batch_of_five_hundred_arrives_whole(world: World) -> None:
    strangers = [world.stranger() for _ in range(500)]
    contents = [world.content(Peer.SMS) for _ in strangers]
    requests = [
        SendNotificationRequest(recipients=[phone(each.phone)], content=content)
        for each, (_, content) in zip(strangers, contents, strict=True)
    ]
    answer = await world.call(
        world.tenant.notifications.BatchSendNotifications, BatchSendNotificationsRequest(requests=requests)
    )
    ends = await world.finals(result.accepted.notification_id for result in answer.results)
    assert {end.state for end in ends} == {NOTIFICATION_STATE_COMPLETED}
    numbers = {each.phone for each in strangers}
    received = [each.letter for each in await world.ledgers.receipts(Peer.SMS) if each.letter.address in numbers]
    expected = [letter(Peer.SMS, each, word) for each, (word, _) in zip(strangers, contents, strict=True)]
    assert sorted(received, key=str) == sorted(expected, key=str)


async def test_many_recipients_of_one_notification_are_each_reached_once(world: World) -> None:
    strangers = [world.stranger() for _ in range(1200)]
    word, content = world.content(Peer.SMS)
    answer = await world.send(*(phone(each.phone) for each in strangers), content=content)
    end = await world.final(answer.notification_id)
    assert end.state == NOTIFICATION_STATE_COMPLETED
    assert end.recipient_count == end.progress.sent == 1200
    received = [each.letter for each in await world.ledgers.receipts(Peer.SMS) if word in each.letter.body]
    assert sorted(each.address for each in received) == sorted(each.phone for each in strangers)


async def test_senders_are_those_of_the_tenants_accounts(world: World) -> None:
    person = await world.person(PLATFORM_IOS)
    _, content = world.content(Peer.APNS, Peer.SMS, Peer.SMTP)
    answer = await world.send(user(person), content=content, options=DeliveryOptions(routing=ROUTING_ALL))
    await world.final(answer.notification_id)
    (push,) = await world.ledgers.messages(Peer.APNS, address=person.device.token)
    assert push["content"]["topic"] == world.accounts.apns.topic
    assert push["content"]["team_id"] == world.accounts.apns.team_id
    (text,) = await world.ledgers.messages(Peer.SMS, address=person.phone)
    assert text["content"]["from"] == SMS_SENDER
    (mail,) = await world.ledgers.messages(Peer.SMTP, address=person.email)
    headers = dict(mail["content"]["headers"])
    assert mail["content"]["username"] == world.accounts.smtp.username
    assert MAIL_SENDER in headers["From"]
    assert person.email in headers["To"]
    (delivery,) = (each for each in await world.deliveries(answer.notification_id) if each.provider == PROVIDER_SMTP)
    assert headers["List-Unsubscribe"].strip() == f"<{UNSUBSCRIBE.format(delivery_id=delivery.delivery_id)}>"
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


async def test_nobody_to_reach_is_suppressed_with_a_reason(world: World) -> None:
    _, content = world.content(Peer.SMS)
    answer = await world.send(user(world.stranger()), content=content)
    end = await world.final(answer.notification_id)
    assert end.state == NOTIFICATION_STATE_SUPPRESSED
    assert end.reason


async def test_one_bad_item_of_a_batch_fails_alone(world: World) -> None:
    stranger = world.stranger()
    word, content = world.content(Peer.SMS)
    good = SendNotificationRequest(recipients=[phone(stranger.phone)], content=content)
    bad = SendNotificationRequest(recipients=[phone("911")], content=Content())
    answer = await world.call(
        world.tenant.notifications.BatchSendNotifications, BatchSendNotificationsRequest(requests=[bad, good, bad])
    )
    assert [each.WhichOneof("outcome") for each in answer.results] == ["error", "accepted", "error"]
    named = parsed(answer.results[0].error).fields
    assert "recipients[0].address.phone" in named
    assert "content" in named
    await world.final(answer.results[1].accepted.notification_id)
    assert await world.letters(Peer.SMS, stranger.phone) == [letter(Peer.SMS, stranger, word)]
