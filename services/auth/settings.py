"""What the auth service reads from the environment."""

from __future__ import annotations

from pydantic import Field

from services.auth.domain import MAX_TOKEN_SECONDS
from services.runtime.settings import (
    MongoSettings,
    PageSettings,
    ProcessSettings,
    SealingSettings,
    VerifierSettings,
)


class Settings(ProcessSettings, MongoSettings, PageSettings, SealingSettings, VerifierSettings):
    """The settings of one auth process. `issuer` is the public URL of its HTTP endpoints."""

    auth_http_port: int = Field(ge=0, le=65535, examples=["8080"], description="tokens, keys and discovery over HTTP")
    bootstrap_clients_file: str = Field(
        "", description="a JSON list of clients to register: client_id, client_secret, tenant, roles, display_name"
    )
    token_seconds: int = Field(900, ge=60, le=MAX_TOKEN_SECONDS, description="how long an access token lives")
    key_publish_seconds: int = Field(
        600,
        ge=0,
        le=86_400,
        description="how long a new signing key is published before it signs; more than verifiers cache keys for",
    )
