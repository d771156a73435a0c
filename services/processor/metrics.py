"""What the processor counts, each declared once with its meaning."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from services.runtime.metrics import LATENCY_BUCKETS

_LONG_BUCKETS = (*LATENCY_BUCKETS, 300.0, 1800.0, 7200.0)

BATCHES = Counter("clarion_processor_batches_total", "Batches by how they ended (done, failed).", ["lane", "result"])
OUTCOMES = Counter(
    "clarion_processor_outcomes_total",
    "Deliveries, and recipients who had none, by where they stand.",
    ["lane", "outcome"],
)
DROPPED = Counter(
    "clarion_processor_dropped_total",
    "Chunks that were not to be processed (final, done, unknown).",
    ["lane", "standing"],
)
STAGE_SECONDS = Histogram(
    "clarion_processor_stage_seconds",
    "Time that a stage takes for a batch, without the stages after it.",
    ["stage"],
    buckets=LATENCY_BUCKETS,
)
TURN_SECONDS = Histogram(
    "clarion_processor_turn_seconds", "Time that a batch waits for its lane's turn.", ["lane"], buckets=LATENCY_BUCKETS
)
LAG_SECONDS = Histogram(
    "clarion_processor_lag_seconds",
    "From accepting a notification to reporting a chunk of it as processed.",
    ["lane"],
    buckets=_LONG_BUCKETS,
)
