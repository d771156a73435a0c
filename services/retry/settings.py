"""What the retry service reads from the environment."""

from __future__ import annotations

from services.runtime.settings import ProcessSettings, VerifierSettings


class Settings(ProcessSettings, VerifierSettings):
    """The settings of one retry process."""
