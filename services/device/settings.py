"""The device service's settings."""

from __future__ import annotations

from pydantic import Field

from services.runtime.settings import (
    KafkaSettings,
    MongoSettings,
    PageSettings,
    ProcessSettings,
    RedisSettings,
    VerifierSettings,
)


class DeviceSettings(ProcessSettings, MongoSettings, RedisSettings, KafkaSettings, VerifierSettings, PageSettings):
    """What the device service reads from the environment."""

    device_cache_seconds: float = Field(
        60.0,
        ge=0.1,
        le=3600,
        examples=["60"],
        description="how long a cached answer lives; also how long one can be stale after an outage of Redis",
    )
    device_unknown_cache_seconds: float = Field(
        10.0, ge=0.1, le=3600, examples=["10"], description="the same for users who are not known"
    )
