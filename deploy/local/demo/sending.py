"""Sends notifications through the public API, keeps when each was accepted, and follows them to their end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import grpc
from clarion.notification.v1 import (
    NOTIFICATION_STATE_ACCEPTED,
    NOTIFICATION_STATE_PROCESSING,
    BatchSendNotificationsRequest,
    CancelNotificationRequest,
    ListNotificationsRequest,
    NotificationState,
    WatchNotificationRequest,
)

from deploy.local.demo.scenario import BATCH
from deploy.local.demo.tenant import CALL_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from clarion.notification.v1 import Notification, SendNotificationResponse

    from deploy.local.demo.letters import Letter
    from deploy.local.demo.scenario import Sending
    from deploy.local.demo.tenant import Tenant

Item = TypeVar("Item")


class Unmet(Exception):
    """The demo cannot go on: a service refused what it should take, or did not get to where it should."""


class Sender:
    """Sends on behalf of a tenant."""

    def __init__(self, tenant: Tenant) -> None:
        """Nothing has been accepted yet."""
        self._tenant = tenant
        self.accepted_at: dict[Letter, float] = {}
        """When each letter's notification was accepted, by the service's clock, in seconds since the epoch."""

    async def single(self, sending: Sending) -> SendNotificationResponse:
        """Send one by a call of its own."""
        answer = await self._tenant.notifications.SendNotification(
            sending.request, metadata=self._tenant.metadata, timeout=CALL_SECONDS
        )
        self._keep(sending, answer)
        return answer

    async def singles(self, sendings: Sequence[Sending], *, seconds: float) -> None:
        """Send each by a call of its own, spread over some seconds and whether or not others have been answered."""
        async with asyncio.TaskGroup() as group:
            async for sending in _spread(sendings, seconds):
                group.create_task(self.single(sending))

    async def batches(self, sendings: Sequence[Sending], *, seconds: float) -> None:
        """Send them in batches, spread over some seconds. Raises Unmet if an item is refused."""
        async for batch in _spread(in_batches(sendings), seconds):
            request = BatchSendNotificationsRequest(requests=[each.request for each in batch])
            answer = await self._tenant.notifications.BatchSendNotifications(
                request, metadata=self._tenant.metadata, timeout=CALL_SECONDS
            )
            for sending, result in zip(batch, answer.results, strict=True):
                if result.WhichOneof("outcome") != "accepted":
                    raise Unmet(f"an item of a batch was refused: {result.error.message}")
                self._keep(sending, result.accepted)

    async def cancel(self, notification_id: str) -> Notification:
        """Cancel one that no worker has begun."""
        answer = await self._tenant.notifications.CancelNotification(
            CancelNotificationRequest(notification_id=notification_id),
            metadata=self._tenant.metadata,
            timeout=CALL_SECONDS,
        )
        return answer.notification

    async def final(self, notification_id: str, *, seconds: float) -> Notification:
        """Watch one until its state is final. Raises Unmet if that takes longer than `seconds`."""
        last: Notification | None = None
        try:
            async for answer in self._tenant.notifications.WatchNotification(
                WatchNotificationRequest(notification_id=notification_id),
                metadata=self._tenant.metadata,
                timeout=seconds,
            ):
                last = answer.notification
        except grpc.aio.AioRpcError as exc:
            if exc.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
            state = named(last) if last is not None else "not shown"
            raise Unmet(f"a notification was still {state} after {seconds:.0f} s") from exc
        if last is None:
            raise Unmet("WatchNotification ended without a word")
        return last

    async def none_under_way(self) -> bool:
        """Whether every notification of the tenant has a final state."""
        answer = await self._tenant.notifications.ListNotifications(
            ListNotificationsRequest(page_size=1, states=[NOTIFICATION_STATE_ACCEPTED, NOTIFICATION_STATE_PROCESSING]),
            metadata=self._tenant.metadata,
            timeout=CALL_SECONDS,
        )
        return not answer.notifications

    def _keep(self, sending: Sending, answer: SendNotificationResponse) -> None:
        at = answer.create_time
        self.accepted_at.setdefault(sending.letter, at.seconds + at.nanos / 1e9)


def in_batches(sendings: Sequence[Sending]) -> list[Sequence[Sending]]:
    """The same in batches."""
    return [sendings[start : start + BATCH] for start in range(0, len(sendings), BATCH)]


async def _spread(items: Sequence[Item], seconds: float) -> AsyncIterator[Item]:
    clock = asyncio.get_running_loop().time
    began = clock()
    for index, item in enumerate(items):
        await asyncio.sleep(began + seconds * index / len(items) - clock())
        yield item


def named(notification: Notification) -> str:
    """A notification's state as it is written in the documentation."""
    return NotificationState.Name(notification.state).removeprefix("NOTIFICATION_STATE_")
