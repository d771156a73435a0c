"""This process's settings."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads it at run time

from pydantic import BaseModel, Field

from services.runtime.settings import ProcessSettings

_PORT = "0 lets the system choose"


class SimulatorOptions(BaseModel):
    """Where the peers listen and what they keep."""

    sim_fcm_port: int = Field(ge=0, le=65535, examples=["18443"], description=f"FCM with its token endpoint; {_PORT}")
    sim_apns_port: int = Field(ge=0, le=65535, examples=["18444"], description=f"APNs; {_PORT}")
    sim_sms_port: int = Field(ge=0, le=65535, examples=["18445"], description=f"the SMS gateway; {_PORT}")
    sim_smtp_port: int = Field(ge=0, le=65535, examples=["18587"], description=f"SMTP with STARTTLS; {_PORT}")
    sim_inspect_port: int = Field(ge=0, le=65535, examples=["18080"], description=f"the inspection API; {_PORT}")
    sim_cert_file: Path = Field(examples=["certs/simulators.pem"], description="the peers' certificate in PEM")
    sim_key_file: Path = Field(examples=["certs/simulators.key"], description="its private key in PEM")
    sim_credentials_file: Path | None = Field(
        default=None, examples=["credentials.json"], description="JSON with lists fcm, apns, sms and smtp to register"
    )
    sim_callback_ca_file: Path | None = Field(
        default=None, examples=["certs/ca.pem"], description="whom to trust when SMS status callbacks go to https"
    )
    sim_ledger_capacity: int = Field(default=20_000, ge=1, le=1_000_000, description="messages kept per peer")
    sim_smtp_size_limit: int = Field(default=10_485_760, ge=1024, description="the largest mail in bytes")


class Settings(ProcessSettings, SimulatorOptions):
    """What the simulators' process reads from the environment."""
