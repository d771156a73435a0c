"""The only place that constructs things."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from clarion.notification.v1 import add_NotificationServiceServicer_to_server, template_service_pb2

from services.access import ACCESS
from services.notification.acceptance import Acceptor
from services.notification.adapters.changes import MongoChanges
from services.notification.adapters.kafka import KafkaEvents
from services.notification.adapters.mongo import MongoNotifications
from services.notification.api import NotificationApi
from services.notification.domain import random_id
from services.notification.publication import Publication
from services.notification.service import Notifications
from services.runtime import kafka, mongo
from services.runtime.clock import utc_now
from services.runtime.identity import KeySet, Verifier
from services.runtime.pages import PageTokens
from services.runtime.unserved import unserved

if TYPE_CHECKING:
    from services.notification.settings import NotificationSettings
    from services.runtime.process import Process

_ENTROPY_BYTES = 14


async def build(process: Process[NotificationSettings]) -> None:
    """Put the notification service together. What is opened later is closed earlier: acceptance before publication."""
    settings = process.settings
    database = await process.open(mongo.opened(settings))
    store = MongoNotifications(database)
    await store.create_indexes()
    publisher = await process.open(kafka.publisher(settings))
    publication = await process.open(
        Publication(KafkaEvents(publisher), backlog_items=settings.backlog_items, backlog_bytes=settings.backlog_bytes)
    )
    acceptor = await process.open(
        Acceptor(
            store,
            publication,
            pending_items=settings.pending_items,
            pending_bytes=settings.pending_bytes,
            concurrent_flushes=settings.concurrent_flushes,
        )
    )
    changes = await process.open(MongoChanges(database))
    process.on_drain(changes.end)
    notifications = Notifications(
        store=store,
        acceptor=acceptor,
        feed=changes,
        pages=PageTokens(settings),
        clock=utc_now,
        ids=_new_id,
        retention=timedelta(days=settings.retention_days),
        max_watchers=settings.max_watchers,
    )
    process.admit(Verifier(settings, KeySet(settings.issuer)), ACCESS)
    templates = template_service_pb2.DESCRIPTOR.services_by_name["TemplateService"]
    process.serve(
        {
            "clarion.notification.v1.NotificationService": partial(
                add_NotificationServiceServicer_to_server, NotificationApi(notifications)
            ),
            templates.full_name: unserved(templates),
        }
    )


def _new_id(created_at: datetime) -> str:
    return random_id(created_at, secrets.token_bytes(_ENTROPY_BYTES))
