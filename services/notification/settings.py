"""What the notification service is told by its environment."""

from __future__ import annotations

from pydantic import Field

from services.runtime.settings import KafkaSettings, MongoSettings, PageSettings, ProcessSettings, VerifierSettings


class NotificationSettings(MongoSettings, KafkaSettings, VerifierSettings, PageSettings, ProcessSettings):
    """This process's settings."""

    retention_days: int = Field(
        30, ge=1, le=3650, description="how long a notification and its idempotency key are kept"
    )
    pending_items: int = Field(
        20_000, ge=1000, description="notifications that may wait for the store; beyond, callers are told to wait"
    )
    pending_bytes: int = Field(128 * 1024 * 1024, ge=16 * 1024 * 1024, description="the same, by size")
    concurrent_flushes: int = Field(2, ge=1, le=16, description="inserts under way at the same time")
    backlog_items: int = Field(
        50_000, ge=1000, description="accepted notifications that may wait for Kafka; beyond, the reconciler has them"
    )
    backlog_bytes: int = Field(128 * 1024 * 1024, ge=16 * 1024 * 1024, description="the same, by size")
    max_watchers: int = Field(500, ge=1, le=100_000, description="WatchNotification calls served at the same time")
