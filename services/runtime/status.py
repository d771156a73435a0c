"""The taxonomy of errors as `google.rpc.Status`, and back."""

from __future__ import annotations

from typing import cast

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from services.runtime import errors

DOMAIN = "clarion"
MAX_VIOLATIONS = 100
"""Violations beyond this many are left out: error details travel in headers, which are limited to 8 KiB."""
MAX_DETAILS_BYTES = 6_000

_CODES: dict[type[errors.ClarionError], grpc.StatusCode] = {
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.PreconditionFailed: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Denied: grpc.StatusCode.PERMISSION_DENIED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.Unimplemented: grpc.StatusCode.UNIMPLEMENTED,
    errors.Conflict: grpc.StatusCode.ABORTED,
    errors.RateLimited: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.LimitReached: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_INTERNAL_TEXT = "Something went wrong on our side. Quote the trace id if you report it."


def to_status(error: BaseException) -> Status:
    """Describe an error as callers see it; what is not in the taxonomy becomes INTERNAL without its text."""
    code = _CODES.get(type(error)) if isinstance(error, errors.ClarionError) else None
    if code is None or not isinstance(error, errors.ClarionError):
        return Status(code=grpc.StatusCode.INTERNAL.value[0], message=_INTERNAL_TEXT)
    status = Status(code=code.value[0], message=str(error)[:1000])
    _attach(status, ErrorInfo(reason=error.reason, domain=DOMAIN))
    if isinstance(error, errors.InvalidInput):
        _attach(status, _bad_request(error))
    if error.retry_after is not None:
        delay = Duration()
        delay.FromMilliseconds(int(error.retry_after * 1000))
        _attach(status, RetryInfo(retry_delay=delay))
    return status


def from_rpc_error(error: grpc.aio.AioRpcError) -> errors.ClarionError:
    """Read a peer's answer back into the taxonomy, keeping its reason and its retry delay."""
    code = error.code()
    message = f"{code.name}: {error.details() or ''}"[:300]
    reason, retry_after = "", None
    violations: list[errors.Violation] = []
    status = rpc_status.from_call(cast("grpc.Call", error))
    for detail in status.details if status else ():
        info, retry, bad = ErrorInfo(), RetryInfo(), BadRequest()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToMilliseconds() / 1000
        elif detail.Unpack(bad):
            violations = [errors.Violation(each.field, each.description) for each in bad.field_violations]
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return errors.InvalidInput(violations or [errors.Violation("request", message)])
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return errors.RateLimited(message, reason=reason, retry_after=retry_after or 1.0)
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN):
        return errors.Unavailable(message, reason=reason, retry_after=retry_after or 1.0)
    for kind, known in _CODES.items():
        if known is code:
            return kind(message, reason=reason)
    return errors.PeerFailed(message, reason=reason)


def _bad_request(error: errors.InvalidInput) -> BadRequest:
    detail = BadRequest()
    for violation in error.violations[:MAX_VIOLATIONS]:
        detail.field_violations.add(field=violation.field, description=violation.description)
        if detail.ByteSize() > MAX_DETAILS_BYTES:
            del detail.field_violations[-1]
            break
    return detail


def _attach(status: Status, detail: ErrorInfo | BadRequest | RetryInfo) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)
