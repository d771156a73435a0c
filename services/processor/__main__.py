"""Starts the processor."""

from services.processor.bootstrap import build
from services.processor.settings import Settings
from services.runtime.process import run

if __name__ == "__main__":
    run("processor", Settings, build)
