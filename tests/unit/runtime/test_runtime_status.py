from __future__ import annotations

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status

from services.runtime import errors
from services.runtime.status import MAX_DETAILS_BYTES, MAX_VIOLATIONS, from_rpc_error, to_status

TABLE = [
    (errors.InvalidInput([errors.Violation("a", "is wrong")]), grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NotFound(), grpc.StatusCode.NOT_FOUND),
    (errors.AlreadyExists(), grpc.StatusCode.ALREADY_EXISTS),
    (errors.PreconditionFailed(), grpc.StatusCode.FAILED_PRECONDITION),
    (errors.Denied(), grpc.StatusCode.PERMISSION_DENIED),
    (errors.Unauthenticated(), grpc.StatusCode.UNAUTHENTICATED),
    (errors.Unimplemented(), grpc.StatusCode.UNIMPLEMENTED),
    (errors.Conflict(), grpc.StatusCode.ABORTED),
    (errors.RateLimited(retry_after=3), grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.LimitReached(), grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.Unavailable(retry_after=2), grpc.StatusCode.UNAVAILABLE),
    (errors.DeadlineExceeded(), grpc.StatusCode.DEADLINE_EXCEEDED),
]


def as_peers_see_it(error: errors.ClarionError) -> grpc.aio.AioRpcError:
    status = to_status(error)
    code = next(each for each in grpc.StatusCode if each.value[0] == status.code)
    trailing = grpc.aio.Metadata(*(rpc_status.to_status(status).trailing_metadata or ()))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details=status.message)


@pytest.mark.parametrize(("error", "code"), TABLE, ids=lambda each: type(each).__name__)
def test_every_error_has_a_status_with_its_reason(error: errors.ClarionError, code: grpc.StatusCode) -> None:
    status = to_status(error)
    info = ErrorInfo()
    assert status.code == code.value[0]
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == (error.reason, "clarion")


SENT_BY_PEERS = [error for error, _ in TABLE if not isinstance(error, errors.LimitReached)]


@pytest.mark.parametrize("error", SENT_BY_PEERS, ids=lambda each: type(each).__name__)
def test_what_a_peer_answered_is_read_back_as_it_was_meant(error: errors.ClarionError) -> None:
    read = from_rpc_error(as_peers_see_it(error))
    assert type(read) is type(error)
    assert read.retry_after == error.retry_after


def test_every_kind_of_error_has_a_status_of_its_own_or_is_internal() -> None:
    internal = {errors.StartupError, errors.PeerFailed}
    assert {type(error) for error, _ in TABLE} | internal == set(errors.ClarionError.__subclasses__())


def test_every_offending_field_is_named() -> None:
    violations = [errors.Violation(f"recipients[{number}]", "is wrong") for number in range(3)]
    bad = BadRequest()
    assert to_status(errors.InvalidInput(violations)).details[1].Unpack(bad)
    assert [each.field for each in bad.field_violations] == [each.field for each in violations]
    read = from_rpc_error(as_peers_see_it(errors.InvalidInput(violations)))
    assert isinstance(read, errors.InvalidInput)
    assert read.violations == tuple(violations)


@pytest.mark.parametrize("description", ["is wrong", "x" * 500])
def test_details_fit_into_headers_however_much_is_wrong(description: str) -> None:
    many = [errors.Violation(f"items[{number}]", description) for number in range(10_000)]
    status = to_status(errors.InvalidInput(many))
    bad = BadRequest()
    assert status.details[1].Unpack(bad)
    assert 0 < len(bad.field_violations) <= MAX_VIOLATIONS
    assert bad.ByteSize() <= MAX_DETAILS_BYTES
    assert status.ByteSize() < 8192


def test_a_delay_is_told_to_the_millisecond() -> None:
    retry = RetryInfo()
    assert to_status(errors.RateLimited(retry_after=1.25)).details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 1250


@pytest.mark.parametrize("error", [ValueError("inner detail"), errors.StartupError("inner detail")])
def test_what_is_not_in_the_taxonomy_is_internal_without_its_text(error: Exception) -> None:
    status = to_status(error)
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert "inner detail" not in str(status)


@pytest.mark.parametrize("code", [grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN])
def test_a_call_that_broke_off_may_be_repeated(code: grpc.StatusCode) -> None:
    error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata())
    assert from_rpc_error(error).retryable


def test_a_message_is_its_classes_sentence_where_none_is_given() -> None:
    assert str(errors.NotFound()) == "There is no such thing."
