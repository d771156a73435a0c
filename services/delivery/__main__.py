"""The process of the delivery service."""

from services.delivery.bootstrap import build
from services.delivery.settings import DeliverySettings
from services.runtime.process import run

run("delivery", DeliverySettings, build)
