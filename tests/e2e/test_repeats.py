"""The same request twice is one notification, however it comes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
from clarion.auth.v1 import ROLE_SENDER, ROLE_VIEWER
from clarion.notification.v1 import BatchSendNotificationsRequest, SendNotificationRequest

from deploy.local.demo.letters import Peer
from tests.e2e.refusals import parsed, refusal
from tests.e2e.world import phone

if TYPE_CHECKING:
    from tests.e2e.world import World


async def test_the_same_key_and_content_answer_the_first_answer_again(world: World) -> None:
    stranger = world.stranger()
    _, content = world.content(Peer.SMS)
    first = await world.send(phone(stranger.phone), content=content, idempotency_key="same-key-1")
    await world.final(first.notification_id)
    again = await world.send(phone(stranger.phone), content=content, idempotency_key="same-key-1")
    assert (first.duplicate, again.duplicate) == (False, True)
    again.duplicate = False
    assert again == first
    assert len(await world.letters(Peer.SMS, stranger.phone)) == 1


async def test_concurrent_repeats_are_one_notification(world: World) -> None:
    stranger = world.stranger()
    _, content = world.content(Peer.SMS)
    answers = await asyncio.gather(
        *(world.send(phone(stranger.phone), content=content, idempotency_key="same-key-2") for _ in range(50))
    )
    (notification_id,) = {each.notification_id for each in answers}
    assert sum(not each.duplicate for each in answers) == 1
    await world.final(notification_id)
    assert len(await world.letters(Peer.SMS, stranger.phone)) == 1


async def test_repeats_within_a_batch_are_one_notification(world: World) -> None:
    stranger = world.stranger()
    _, content = world.content(Peer.SMS)
    request = SendNotificationRequest(recipients=[phone(stranger.phone)], content=content, idempotency_key="same-key-3")
    answer = await world.call(
        world.tenant.notifications.BatchSendNotifications, BatchSendNotificationsRequest(requests=[request] * 10)
    )
    (notification_id,) = {each.accepted.notification_id for each in answer.results}
    await world.final(notification_id)
    assert len(await world.letters(Peer.SMS, stranger.phone)) == 1


async def test_the_same_key_with_other_content_is_refused(world: World) -> None:
    stranger = world.stranger()
    _, content = world.content(Peer.SMS)
    _, other = world.content(Peer.SMS)
    first = await world.send(phone(stranger.phone), content=content, idempotency_key="same-key-4")
    no = await refusal(world.send(phone(stranger.phone), content=other, idempotency_key="same-key-4"))
    assert no.code is grpc.StatusCode.ALREADY_EXISTS
    assert no.reason == "IDEMPOTENCY_KEY_REUSED"
    request = SendNotificationRequest(recipients=[phone(stranger.phone)], content=other, idempotency_key="same-key-4")
    batch = await world.call(
        world.tenant.notifications.BatchSendNotifications, BatchSendNotificationsRequest(requests=[request])
    )
    assert parsed(batch.results[0].error).reason == "IDEMPOTENCY_KEY_REUSED"
    await world.final(first.notification_id)
    assert len(await world.letters(Peer.SMS, stranger.phone)) == 1


async def test_the_same_key_of_another_tenant_is_another_notification(world: World) -> None:
    stranger = world.stranger()
    _, content = world.content(Peer.SMS)
    mine = await world.send(phone(stranger.phone), content=content, idempotency_key="same-key-5")
    other = await world.client(ROLE_SENDER, ROLE_VIEWER, tenant="e2e-repeats")
    theirs = await world.call(
        world.tenant.notifications.SendNotification,
        SendNotificationRequest(recipients=[phone(stranger.phone)], content=content, idempotency_key="same-key-5"),
        metadata=other,
    )
    assert theirs.notification_id != mine.notification_id
    assert not theirs.duplicate
