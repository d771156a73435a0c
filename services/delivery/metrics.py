"""Delivery's metrics, each declared once with its meaning."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from services.runtime.metrics import BATCH_BUCKETS, LATENCY_BUCKETS

PROVIDER_CALLS = Counter(
    "clarion_provider_calls_total", "Calls to providers by what they came to.", ["provider", "outcome"]
)
PROVIDER_SECONDS = Histogram(
    "clarion_provider_call_seconds", "Time of one call to a provider.", ["provider"], buckets=LATENCY_BUCKETS
)
ACCEPT_TO_PROVIDER_SECONDS = Histogram(
    "clarion_accept_to_provider_seconds",
    "From accepting a notification to the provider's taking one of its messages.",
    ["channel"],
    buckets=(*LATENCY_BUCKETS, 300.0, 1800.0, 7200.0),
)
DELIVERIES = Counter("clarion_deliveries_total", "Deliveries that came to a state.", ["channel", "state", "reason"])
KNOWN = Counter("clarion_deliveries_known_total", "Items that were asked for again and cost no call.")
BATCH_ITEMS = Histogram("clarion_deliver_batch_items", "Items of one Deliver call.", buckets=BATCH_BUCKETS)
BATCHES_IN_FLIGHT = Gauge("clarion_deliver_batches_in_flight", "Deliver calls under way.")
WITHOUT_CLAIMS = Counter("clarion_deliver_without_claims_total", "Batches sent while claims could not be made.")
UNTOLD = Counter("clarion_delivery_events_lost_total", "Steps that could not be published.")
APNS_TOKENS_MINTED = Counter("clarion_apns_tokens_minted_total", "Provider tokens of APNs that this process signed.")
FCM_TOKENS_FETCHED = Counter("clarion_fcm_tokens_fetched_total", "Access tokens of FCM that this process fetched.")
SMTP_CONNECTIONS = Gauge("clarion_smtp_connections", "Open connections to mail servers.")
