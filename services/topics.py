"""The Kafka topics, each declared once with its meaning."""

from __future__ import annotations

from typing import Final

NOTIFICATIONS_CRITICAL: Final = "notification-events-critical"
NOTIFICATIONS_NORMAL: Final = "notification-events"
NOTIFICATIONS_BULK: Final = "notification-events-bulk"
"""Accepted notifications (NotificationEvent), one lane for each priority."""

DEVICE_EVENTS: Final = "device-events"
"""What providers say of tokens (DeviceEvent)."""

ANALYTICS_EVENTS: Final = "analytics-events"
"""Steps in the life of notifications and deliveries (AnalyticsEvent)."""

DEAD_LETTERS: Final = "dead-letters"
"""What no consumer could take: key and value as they came, where from and why in the headers."""

ALL: Final = (
    NOTIFICATIONS_CRITICAL,
    NOTIFICATIONS_NORMAL,
    NOTIFICATIONS_BULK,
    DEVICE_EVENTS,
    ANALYTICS_EVENTS,
    DEAD_LETTERS,
)
PARTITIONS: Final = 6
"""A topic's partitions: how many workers of one group can share it."""
