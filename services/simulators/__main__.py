"""Be the providers' stand-ins."""

from services.runtime.process import run
from services.simulators.bootstrap import build
from services.simulators.settings import Settings

run("simulators", Settings, build)
