"""The servicer: a message in, a use case, a message out."""
# ruff: noqa: N802 - the methods have the contract's names

from __future__ import annotations

from typing import TYPE_CHECKING

from clarion.notification.v1 import (
    BatchSendNotificationsResponse,
    CancelNotificationResponse,
    GetNotificationResponse,
    ListNotificationsResponse,
    NotificationServiceServicer,
    ReportProgressResponse,
    WatchNotificationResponse,
)

from services.notification.domain import Caller
from services.notification.messages import batch_result, notification, progress_result, send_response
from services.runtime import identity, tracing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from clarion.notification.v1 import (
        BatchSendNotificationsRequest,
        CancelNotificationRequest,
        GetNotificationRequest,
        ListNotificationsRequest,
        ReportProgressRequest,
        SendNotificationRequest,
        SendNotificationResponse,
        WatchNotificationRequest,
    )

    from services.notification.service import Notifications
    from services.runtime.server import Context


class NotificationApi(NotificationServiceServicer):
    """clarion.notification.v1.NotificationService."""

    def __init__(self, notifications: Notifications) -> None:
        """Every call goes to the use cases."""
        self._notifications = notifications

    async def SendNotification(self, request: SendNotificationRequest, context: Context) -> SendNotificationResponse:
        """Accept one notification."""
        return send_response(await self._notifications.send(_caller(), request))

    async def BatchSendNotifications(
        self, request: BatchSendNotificationsRequest, context: Context
    ) -> BatchSendNotificationsResponse:
        """Accept up to 1000, each for itself."""
        outcomes = await self._notifications.send_batch(_caller(), request.requests)
        return BatchSendNotificationsResponse(results=map(batch_result, outcomes))

    async def GetNotification(self, request: GetNotificationRequest, context: Context) -> GetNotificationResponse:
        """One notification, whole."""
        found = await self._notifications.get(_caller(), request.notification_id)
        return GetNotificationResponse(notification=notification(found))

    async def ListNotifications(self, request: ListNotificationsRequest, context: Context) -> ListNotificationsResponse:
        """The tenant's notifications, newest first."""
        page, following = await self._notifications.list(_caller(), request)
        return ListNotificationsResponse(notifications=map(notification, page), next_page_token=following)

    async def CancelNotification(
        self, request: CancelNotificationRequest, context: Context
    ) -> CancelNotificationResponse:
        """Stop what no worker has begun."""
        cancelled = await self._notifications.cancel(_caller(), request.notification_id)
        return CancelNotificationResponse(notification=notification(cancelled))

    async def WatchNotification(
        self, request: WatchNotificationRequest, context: Context
    ) -> AsyncIterator[WatchNotificationResponse]:
        """The notification now and after each change, until it is final."""
        async for each in self._notifications.watch(_caller(), request.notification_id):
            yield WatchNotificationResponse(notification=notification(each))

    async def ReportProgress(self, request: ReportProgressRequest, context: Context) -> ReportProgressResponse:
        """Take what workers say; the tenants are in the reports."""
        standings = await self._notifications.report(request.reports)
        return ReportProgressResponse(results=[progress_result(*each) for each in standings])


def _caller() -> Caller:
    return Caller(tenant=identity.tenant(), trace=tracing.headers())
