"""What the notification service counts, each declared once with its meaning."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from services.runtime.metrics import BATCH_BUCKETS, LATENCY_BUCKETS

ACCEPTED = Counter("clarion_notifications_accepted_total", "Notifications stored by a majority.")
DUPLICATES = Counter("clarion_notifications_duplicate_total", "Notifications whose idempotency key was known.")
TURNED_AWAY = Counter(
    "clarion_notifications_turned_away_total",
    "Notifications not taken: too many waited for the store ('full'), or it could not be reached ('down').",
    ["why"],
)
FLUSH_ITEMS = Histogram(
    "clarion_acceptance_flush_items", "Notifications that shared one insert.", buckets=BATCH_BUCKETS
)
FLUSH_SECONDS = Histogram("clarion_acceptance_flush_seconds", "Time of one insert.", buckets=LATENCY_BUCKETS)
BACKLOG = Gauge("clarion_publication_backlog", "Accepted notifications that wait for Kafka.")
LEFT_TO_RECONCILER = Counter(
    "clarion_publication_left_total",
    "Accepted notifications not published: the backlog was full ('full'), Kafka did not acknowledge ('unavailable'), "
    "the process ended ('ended'), or something unexpected ('failed').",
    ["why"],
)
WATCHERS = Gauge("clarion_notification_watchers", "WatchNotification calls being served.")
