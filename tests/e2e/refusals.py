"""How a service says no, taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from google.rpc.status_pb2 import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A status with the fields that it names and its reason."""

    code: grpc.StatusCode
    fields: frozenset[str]
    reason: str


async def refusal(call: Awaitable[Any]) -> Refusal:
    """Make a call that must be refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(cast("grpc.Call", caught.value))
    assert status is not None, f"{caught.value.code()} came without google.rpc.Status: {caught.value.details()}"
    return parsed(status)


def parsed(status: Status) -> Refusal:
    """Read a google.rpc.Status."""
    fields: set[str] = set()
    reason = ""
    for detail in status.details:
        bad, info = BadRequest(), ErrorInfo()
        if detail.Unpack(bad):
            fields |= {each.field for each in bad.field_violations}
        elif detail.Unpack(info):
            assert info.domain == "clarion"
            reason = info.reason
    code = next(each for each in grpc.StatusCode if each.value[0] == status.code)
    return Refusal(code=code, fields=frozenset(fields), reason=reason)
