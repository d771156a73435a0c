"""`python -m services.device`."""

from services.device.bootstrap import build
from services.device.settings import DeviceSettings
from services.runtime.process import run

run("device", DeviceSettings, build)
