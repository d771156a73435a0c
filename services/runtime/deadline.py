"""Deadlines travel: what a call starts gets what is left of its caller's time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def remaining() -> float | None:
    """Seconds left of the current call's time, at least 0; None if it has no deadline."""
    at = _deadline.get()
    return None if at is None else max(0.0, at - time.monotonic())


@contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """Hold what is done inside to `seconds` from now, or to the surrounding deadline if that is nearer."""
    left = remaining()
    bounds = [bound for bound in (seconds, left) if bound is not None]
    token = _deadline.set(time.monotonic() + min(bounds) if bounds else None)
    try:
        yield
    finally:
        _deadline.reset(token)


@contextmanager
def extended(seconds: float) -> Iterator[None]:
    """Give what must be finished `seconds` from now, whatever is left of the caller's time."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)
