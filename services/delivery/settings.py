"""What the delivery service reads from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from services.runtime.settings import (
    KafkaSettings,
    MongoSettings,
    PageSettings,
    ProcessSettings,
    RedisSettings,
    SealingSettings,
    VerifierSettings,
)

_URL = r"^https?://[^/\s]+[^\s]*$"


class DeliverySettings(
    ProcessSettings, MongoSettings, RedisSettings, KafkaSettings, VerifierSettings, PageSettings, SealingSettings
):
    """The settings of one delivery process; times are in seconds."""

    fcm_url: str = Field("https://fcm.googleapis.com", pattern=_URL)
    fcm_token_url: str = Field("https://oauth2.googleapis.com/token", pattern=_URL)
    apns_url: str = Field("https://api.push.apple.com", pattern=_URL)
    apns_sandbox_url: str = Field("https://api.sandbox.push.apple.com", pattern=_URL)
    twilio_url: str = Field("https://api.twilio.com", pattern=_URL)
    provider_outbound: str = Field(
        "",
        pattern=r"^([^/\s:]+:[0-9]{1,5})?$",
        examples=["127.0.0.1:15001"],
        description="the one address that provider calls dial in plain HTTP/1.1, naming the provider as Host, where a "
        "sidecar originates TLS and HTTP/2; empty: dial the providers",
    )
    provider_ca_file: str = Field("", description="further authorities, in PEM, that providers' certificates may have")
    twilio_status_callback_url: str = Field(
        "", pattern=rf"({_URL})|^$", description="told what becomes of messages; empty: nobody is told"
    )
    smtp_host: str = Field(
        "localhost", min_length=1, max_length=253, description="the relay of accounts that name no host"
    )
    smtp_port: int = Field(587, ge=1, le=65535)
    smtp_security: str = Field("STARTTLS", pattern="^(STARTTLS|TLS|NONE)$", examples=["STARTTLS"])
    smtp_hostname: str = Field(
        "localhost", pattern=r"^[A-Za-z0-9.-]{1,253}$", description="the name we give in EHLO, e.g. mail.example.com"
    )
    unsubscribe_url: str = Field(
        "",
        pattern=r"^(https://\S*\{delivery_id\}\S*)?$",
        examples=["https://example.com/unsubscribe/{delivery_id}"],
        description="makes List-Unsubscribe headers, which take HTTPS only (RFC 8058); empty: none",
    )
    provider_concurrency: int = Field(128, ge=1, le=2_000, description="calls at a time for each account")
    smtp_connections: int = Field(8, ge=1, le=100, description="connections to mail servers for each account")
    provider_call_seconds: float = Field(10.0, gt=0, le=60, description="what one call to a provider may take")
    deliver_batches: int = Field(16, ge=1, le=1_000, description="Deliver calls at a time; more are turned away")
    claim_seconds: int = Field(40, ge=30, le=600, description="how long a dead worker's items stay claimed")
    account_cache_seconds: float = Field(
        3.0, ge=0, le=60, description="how long another replica's change of an account may go unseen"
    )
    delivery_retention_days: int = Field(30, ge=1, le=3_650, description="how long a delivery is remembered")
    retry_base_seconds: float = Field(5.0, gt=0, le=600, description="the first backoff is up to this")
    retry_cap_seconds: float = Field(900.0, gt=0, le=86_400, description="no backoff is longer")
    retry_after_cap_seconds: float = Field(3_600.0, gt=0, le=86_400, description="what is believed of Retry-After")

    @field_validator("provider_ca_file")
    @classmethod
    def _readable(cls, value: str) -> str:
        if value and not Path(value).is_file():
            raise ValueError(f"there is no file {value}")
        return value
