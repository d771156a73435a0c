"""Where the analytics service is put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clarion.analytics.v1 import analytics_service_pb2

from services.access import ACCESS
from services.runtime.identity import KeySet, Verifier
from services.runtime.unserved import unserved

if TYPE_CHECKING:
    from services.analytics.settings import Settings
    from services.runtime.process import Process

_SERVICE = analytics_service_pb2.DESCRIPTOR.services_by_name["AnalyticsService"]


async def build(process: Process[Settings]) -> None:
    """Connect the parts of one analytics process: its methods answer UNIMPLEMENTED to who may call them."""
    process.admit(Verifier(process.settings, KeySet(process.settings.issuer)), ACCESS)
    process.serve({_SERVICE.full_name: unserved(_SERVICE)})
