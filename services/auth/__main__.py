"""The process of the auth service."""

from services.auth.bootstrap import build
from services.auth.settings import Settings
from services.runtime.process import run

run("auth", Settings, build)
