"""The device service's metrics, each declared once with its meaning."""

from __future__ import annotations

from prometheus_client import Counter

CACHE_LOOKUPS = Counter(
    "clarion_device_cache_lookups_total",
    "Users looked up in the cache: hit, miss, or unavailable where Redis did not answer.",
    ["result"],
)
CACHE_INVALIDATIONS = Counter(
    "clarion_device_cache_invalidations_total",
    "Users whose cached answer was to be forgotten after a write: done, or failed where Redis did not answer.",
    ["result"],
)
CACHE_FILLS_FAILED = Counter("clarion_device_cache_fills_failed_total", "Users whose answer could not be cached.")
TOKENS_DROPPED = Counter("clarion_device_tokens_dropped_total", "Devices dropped because their provider said gone.")
TOKENS_KEPT = Counter(
    "clarion_device_tokens_kept_total", "Tokens declared gone that were unknown, or registered after that."
)
