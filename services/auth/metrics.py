"""The auth service's metrics, each declared once with its meaning."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from services.runtime.metrics import LATENCY_BUCKETS

TOKEN_REQUESTS = Counter(
    "clarion_auth_token_requests_total", "Requests to the token endpoint, by how they ended.", ["outcome"]
)
TOKEN_SECONDS = Histogram(
    "clarion_auth_token_seconds", "Time to answer a request to the token endpoint.", buckets=LATENCY_BUCKETS
)
