"""How many calls one account has under way at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.delivery.credentials import Account
    from services.delivery.message import ProviderName


class Slots:
    """A bound for each account, so that a slow provider or a busy tenant holds up nobody else."""

    def __init__(self, sizes: Mapping[ProviderName, int]) -> None:
        """So many calls an account at each provider."""
        self._sizes = sizes
        self._used: WeakValueDictionary[tuple[str, str, str], asyncio.Semaphore] = WeakValueDictionary()

    def of(self, account: Account) -> asyncio.Semaphore:
        """The account's slots; the same ones for as long as anybody holds them."""
        slots = self._used.get(account.key)
        if slots is None:
            slots = asyncio.Semaphore(self._sizes[account.provider])
            self._used[account.key] = slots
        return slots
