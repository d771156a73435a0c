"""Where the retry service is put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clarion.retry.v1 import retry_service_pb2

from services.access import ACCESS
from services.runtime.identity import KeySet, Verifier
from services.runtime.unserved import unserved

if TYPE_CHECKING:
    from services.retry.settings import Settings
    from services.runtime.process import Process

_SERVICE = retry_service_pb2.DESCRIPTOR.services_by_name["RetryService"]


async def build(process: Process[Settings]) -> None:
    """Connect the parts of one retry process: its methods answer UNIMPLEMENTED to who may call them."""
    process.admit(Verifier(process.settings, KeySet(process.settings.issuer)), ACCESS)
    process.serve({_SERVICE.full_name: unserved(_SERVICE)})
