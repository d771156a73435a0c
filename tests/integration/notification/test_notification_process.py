"""The process: it starts on real engines, serves, and drains on SIGTERM."""

from __future__ import annotations

import json

import grpc
from clarion.notification.v1 import NotificationServiceStub, WatchNotificationRequest

from tests.processes import serving
from tests.serving import Issuer, published_keys, refusal
from tests.unit.notification.builders import send_request


async def test_it_serves_and_drains(mongo_url: str, mongo_database: str, kafka_bootstrap: str) -> None:
    issuer = Issuer()
    async with published_keys(issuer) as url:
        environment = {
            "CLARION_MONGO_URL": mongo_url,
            "CLARION_MONGO_DATABASE": mongo_database,
            "CLARION_KAFKA_BOOTSTRAP": kafka_bootstrap,
            "CLARION_TOPIC_PREFIX": "nowhere-",
            "CLARION_ISSUER": url,
            "CLARION_PAGE_TOKEN_KEY": "sixteen characters",
            "CLARION_LOG_LEVEL": "DEBUG",
            "CLARION_DRAIN_SECONDS": "5",
        }
        metadata = issuer.metadata("sender", issuer=url)
        async with serving("services.notification", environment) as (process, channel):
            api = NotificationServiceStub(channel)
            secret = send_request("ada-lovelace", title="Nobody logs this")
            sent = await api.SendNotification(secret, metadata=metadata)
            watch = api.WatchNotification(
                WatchNotificationRequest(notification_id=sent.notification_id), metadata=metadata
            )
            await watch.read()
            process.terminate()
            refused = await refusal(watch.read())
            assert (refused.code, refused.retry_after) == (grpc.StatusCode.UNAVAILABLE, 0.1)
            assert await process.end() == 0
            said = json.dumps(process.events) + await process.complaint()
    assert "call_served" in said
    assert "ada-lovelace" not in said
    assert "Nobody logs this" not in said
