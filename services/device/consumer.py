"""Reads `device-events`: tokens that a provider declared gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clarion.device.v1 import GoneToken as GoneTokenMessage
from clarion.events.v1 import DeviceEvent

from services.device import messages
from services.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.device.domain import GoneToken
    from services.device.service import Devices
    from services.runtime.kafka import Received


def parse(message: Received) -> GoneToken:
    """The token that is gone.

    Raises DecodeError or ValueError for what is no such event, or breaks the contract.
    """
    event = DeviceEvent.FromString(message.value)
    if not event.HasField("token_gone"):
        raise ValueError("a device event of no known kind")
    gone = event.token_gone
    try:
        (token,) = messages.to_gone(
            [GoneTokenMessage(tenant=event.tenant, address=gone.address, gone_time=gone.gone_time)]
        )
    except InvalidInput as exc:
        raise ValueError("a device event that breaks the contract") from exc
    return token


class GoneTokens:
    """Drops what was read."""

    def __init__(self, devices: Devices) -> None:
        """The use cases."""
        self._devices = devices

    async def handle(self, gone: Sequence[GoneToken]) -> None:
        """Drop these; the same ones again change nothing."""
        await self._devices.drop_gone(gone)
