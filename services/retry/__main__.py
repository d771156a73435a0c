"""The process of the retry service."""

from services.retry.bootstrap import build
from services.retry.settings import Settings
from services.runtime.process import run

run("retry", Settings, build)
