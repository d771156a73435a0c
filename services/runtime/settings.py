"""Settings come from the environment, once; all that is missing or wrong is said at once."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.runtime.errors import StartupError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

PREFIX = "CLARION_"
CREDENTIAL_KEY_BYTES = 32
AnySettings = TypeVar("AnySettings", bound=BaseSettings)


class EnvironmentSettings(BaseSettings):
    """Settings whose variables begin with the prefix. Every part derives from it: of several parts with
    configurations of their own, pydantic would take the last one's."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")


class ProcessSettings(EnvironmentSettings):
    """What every process has."""

    bind_address: str = Field("127.0.0.1", description="the address that the ports are bound to")
    grpc_port: int = Field(ge=0, le=65535, examples=["50051"], description="0 lets the system choose")
    metrics_port: int = Field(ge=0, le=65535, examples=["9464"], description="Prometheus scrapes it")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", examples=["INFO"])
    otlp_endpoint: str = Field("", examples=["http://127.0.0.1:4317"], description="empty: no tracing, no cost")
    drain_seconds: float = Field(20.0, gt=0, le=600, description="from SIGTERM to the end, at most")
    drain_notice_seconds: float = Field(
        0.0, ge=0, le=60, description="how long NOT_SERVING is shown before intake stops, for load balancers to see"
    )


class MongoSettings(EnvironmentSettings):
    """Where MongoDB is."""

    mongo_url: SecretStr = Field(examples=["mongodb://127.0.0.1:27017/?replicaSet=rs0"])
    mongo_database: str = Field("clarion", pattern=r"^[A-Za-z0-9_-]{1,38}$")


class RedisSettings(EnvironmentSettings):
    """Where Redis is."""

    redis_url: SecretStr = Field(examples=["redis://127.0.0.1:6379/0"])


class KafkaSettings(EnvironmentSettings):
    """Where Kafka is."""

    kafka_bootstrap: str = Field(min_length=3, examples=["127.0.0.1:9092"])
    topic_prefix: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,40}$", description="keeps several stacks apart")


class VerifierSettings(EnvironmentSettings):
    """Whose access tokens are taken."""

    issuer: str = Field(pattern="^https?://", examples=["http://127.0.0.1:8080"], description="the auth service")
    audience: str = Field("clarion", min_length=1)


class CallerSettings(EnvironmentSettings):
    """How other services are called."""

    outbound: str = Field(
        "",
        examples=["127.0.0.1:15001"],
        description="the one address that every call dials, naming its peer as authority; empty: dial the peer's name",
    )
    issuer: str = Field(pattern="^https?://", examples=["http://127.0.0.1:8080"])
    client_id: str = Field(min_length=1, examples=["clarion-processor"])
    client_secret: SecretStr = Field(examples=["the secret of that client"])


class PageSettings(EnvironmentSettings):
    """What page tokens are signed with; the same in every replica."""

    page_token_key: SecretStr = Field(min_length=16, examples=["32 random characters"])


class SealingSettings(EnvironmentSettings):
    """What stored secrets are encrypted with; the same in every replica of every service that shares them."""

    credential_key_file: str = Field("", description="a file that holds CLARION_CREDENTIAL_KEY; it goes before it")
    credential_key: SecretStr = Field(
        SecretStr(""),
        validate_default=True,
        examples=["what `openssl rand -base64 32` prints"],
        description="or CLARION_CREDENTIAL_KEY_FILE, which holds it",
    )

    @field_validator("credential_key")
    @classmethod
    def _key(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        text, file = value.get_secret_value(), info.data.get("credential_key_file")
        if file:
            try:
                text = Path(file).read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError) as exc:
                raise ValueError(f"the file {file} cannot be read ({type(exc).__name__})") from None
        if not text:
            raise ValueError("is required")
        try:
            size = len(base64.b64decode(text, validate=True))
        except binascii.Error:
            size = 0
        if size != CREDENTIAL_KEY_BYTES:
            raise ValueError(f"must be {CREDENTIAL_KEY_BYTES} bytes in base64")
        return SecretStr(text)


def load(kind: type[AnySettings]) -> AnySettings:
    """Read the environment.

    Raises StartupError that lists every missing and every wrong variable with an example.
    """
    try:
        return kind()
    except ValidationError as exc:
        problems = []
        for error in exc.errors():
            name = str(error["loc"][0])
            field = kind.model_fields.get(name)
            message = error["msg"].removeprefix("Value error, ")
            problems.append(f"{PREFIX}{name.upper()}: {message}{_example(field)}")
        raise StartupError("; ".join(problems)) from None


def _example(field: FieldInfo | None) -> str:
    if field is None:
        return ""
    example = f", for example {field.examples[0]!r}" if field.examples else ""
    return f"{example} ({field.description})" if field.description else example
