"""The processor's settings."""

from __future__ import annotations

from pydantic import Field

from services.runtime.settings import CallerSettings, KafkaSettings, ProcessSettings


class Settings(ProcessSettings, KafkaSettings, CallerSettings):
    """How much is taken at once, and how the lanes share it."""

    weight_critical: int = Field(8, ge=1, le=1000, description="the critical lane's share where all lanes wait")
    weight_normal: int = Field(3, ge=1, le=1000, description="the normal lane's share")
    weight_bulk: int = Field(1, ge=1, le=1000, description="the bulk lane's share")
    concurrent_batches: int = Field(3, ge=1, le=64, description="batches under way that any lane may have")
    reserved_batches: int = Field(1, ge=1, le=64, description="batches on top of those that only critical may have")
    batch_messages: int = Field(500, ge=1, le=1000, description="messages that a lane reads at once")
    batch_recipients: int = Field(2000, ge=1, le=100_000, description="recipients that are processed as one batch")
    batch_seconds: float = Field(30.0, gt=0, le=240, description="the deadline of a batch")
    deliver_items: int = Field(1000, ge=1, le=1000, description="items of one Deliver call")
    concurrent_calls: int = Field(4, ge=1, le=64, description="calls of one kind that one batch has under way")
