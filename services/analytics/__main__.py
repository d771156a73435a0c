"""The process of the analytics service."""

from services.analytics.bootstrap import build
from services.analytics.settings import Settings
from services.runtime.process import run

run("analytics", Settings, build)
