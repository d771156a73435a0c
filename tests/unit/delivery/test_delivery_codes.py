"""Every code that the providers' documents list, and what we make of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from services.delivery.adapters import apns_codes, fcm_codes, smtp_codes, twilio_codes
from services.delivery.adapters.http import Answer, Silence
from services.delivery.adapters.meaning import UNCONFIRMED
from services.delivery.adapters.smtp_codes import Stage
from services.delivery.domain import Outcome, Verdict
from services.simulators.apns import request as apns_request
from services.simulators.fcm import answers as fcm_answers
from services.simulators.sms import answers as sms_answers

GONE, REJECTED, TRANSIENT, ACCEPTED = Verdict.GONE, Verdict.REJECTED, Verdict.TRANSIENT, Verdict.ACCEPTED


def fcm(
    http: int, status: str, code: str | None = None, message: str = "", *details: dict[str, Any], **headers: float
) -> Outcome:
    found = list(details)
    if code:
        found.append({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code})
    body = {"error": {"code": http, "message": message, "status": status, "details": found}}
    return fcm_codes.read(Answer(status=http, body=json.dumps(body).encode(), **headers))


@pytest.mark.parametrize(
    ("http", "status", "code", "verdict", "reason", "wait"),
    [
        (404, "NOT_FOUND", "UNREGISTERED", GONE, "TOKEN_GONE", None),
        (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", REJECTED, "INVALID_MESSAGE", None),
        (400, "INVALID_ARGUMENT", None, REJECTED, "INVALID_MESSAGE", None),
        (401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", TRANSIENT, "PROVIDER_CREDENTIALS", 60),
        (401, "UNAUTHENTICATED", None, TRANSIENT, "PROVIDER_CREDENTIALS", 60),
        (403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", REJECTED, "SENDER_MISMATCH", None),
        (403, "PERMISSION_DENIED", None, TRANSIENT, "PROVIDER_CREDENTIALS", 60),
        (404, "NOT_FOUND", None, TRANSIENT, "PROVIDER_CONFIGURATION", 60),
        (429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", TRANSIENT, "THROTTLED", 60),
        (429, "RESOURCE_EXHAUSTED", None, TRANSIENT, "THROTTLED", 60),
        (500, "INTERNAL", "INTERNAL", TRANSIENT, "PROVIDER_ERROR", 10),
        (503, "UNAVAILABLE", "UNAVAILABLE", TRANSIENT, "PROVIDER_ERROR", 10),
        (500, "UNKNOWN", "SOMETHING_NEW", TRANSIENT, "PROVIDER_ERROR", 10),
        (418, "UNKNOWN", "SOMETHING_NEW", REJECTED, "INVALID_MESSAGE", None),
    ],
)
def test_fcm(http: int, status: str, code: str | None, verdict: Verdict, reason: str, wait: float | None) -> None:
    outcome = fcm(http, status, code)
    assert (outcome.verdict, outcome.reason, outcome.retry_after) == (verdict, reason, wait)
    assert outcome.code == (code or status)


def test_fcm_retry_after_goes_before_our_own_wait() -> None:
    assert fcm(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", retry_after=7.0).retry_after == 7


def test_fcms_html_from_a_load_balancer_is_transient() -> None:
    outcome = fcm_codes.read(Answer(status=502, body=b"<!DOCTYPE html><title>Error 502</title>"))
    assert (outcome.verdict, outcome.code, outcome.retry_after) == (TRANSIENT, "HTTP_502", 10)


@pytest.mark.parametrize(
    ("fields", "message", "verdict"),
    [
        (["message.token"], "Request contains an invalid argument.", GONE),
        ([], "The registration token is not a valid FCM registration token", GONE),
        (["message.android.ttl"], "Invalid TTL", REJECTED),
        (["message.token", "message.data"], "Invalid", REJECTED),
        (["message.data"], "The registration token is not a valid FCM registration token", REJECTED),
    ],
)
def test_fcm_drops_a_token_only_where_the_token_is_at_fault(fields: list[str], message: str, verdict: Verdict) -> None:
    bad = {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": each} for each in fields],
    }
    assert fcm(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", message, bad).verdict is verdict


@pytest.mark.parametrize("body", [b"", b"[]", b'{"error":[]}', b'{"error":{"details":[1,{"@type":2}]}}', b"\xff"])
def test_an_answer_that_makes_no_sense_is_read_by_its_status(body: bytes) -> None:
    assert fcm_codes.read(Answer(status=503, body=body)).verdict is TRANSIENT
    assert apns_codes.read(Answer(status=503, body=body)).verdict is TRANSIENT
    assert twilio_codes.read(Answer(status=503, body=body)).verdict is TRANSIENT


def apns(status: int, reason: str, **more: object) -> Outcome:
    return apns_codes.read(Answer(status=status, body=json.dumps({"reason": reason, **more}).encode()))


@pytest.mark.parametrize(
    ("status", "reason", "verdict", "ours"),
    [
        (400, "BadDeviceToken", REJECTED, "BAD_TOKEN"),
        (400, "DeviceTokenNotForTopic", REJECTED, "TOKEN_NOT_FOR_TOPIC"),
        (400, "BadTopic", REJECTED, "WRONG_TOPIC"),
        (400, "MissingTopic", REJECTED, "WRONG_TOPIC"),
        (400, "TopicDisallowed", REJECTED, "WRONG_TOPIC"),
        (400, "BadCollapseId", REJECTED, "INVALID_MESSAGE"),
        (400, "BadExpirationDate", REJECTED, "INVALID_MESSAGE"),
        (400, "BadMessageId", REJECTED, "INVALID_MESSAGE"),
        (400, "BadPriority", REJECTED, "INVALID_MESSAGE"),
        (400, "PayloadEmpty", REJECTED, "INVALID_MESSAGE"),
        (400, "DuplicateHeaders", REJECTED, "INVALID_MESSAGE"),
        (400, "IdleTimeout", TRANSIENT, "PROVIDER_ERROR"),
        (403, "InvalidProviderToken", TRANSIENT, "PROVIDER_CREDENTIALS"),
        (403, "MissingProviderToken", TRANSIENT, "PROVIDER_CREDENTIALS"),
        (403, "ExpiredProviderToken", TRANSIENT, "PROVIDER_ERROR"),
        (403, "Forbidden", TRANSIENT, "PROVIDER_CREDENTIALS"),
        (403, "BadCertificate", TRANSIENT, "PROVIDER_CREDENTIALS"),
        (404, "BadPath", REJECTED, "INVALID_MESSAGE"),
        (405, "MethodNotAllowed", REJECTED, "INVALID_MESSAGE"),
        (410, "Unregistered", GONE, "TOKEN_GONE"),
        (410, "ExpiredToken", GONE, "TOKEN_GONE"),
        (413, "PayloadTooLarge", REJECTED, "TOO_LARGE"),
        (429, "TooManyRequests", TRANSIENT, "THROTTLED"),
        (429, "TooManyProviderTokenUpdates", TRANSIENT, "THROTTLED"),
        (500, "InternalServerError", TRANSIENT, "PROVIDER_ERROR"),
        (503, "ServiceUnavailable", TRANSIENT, "PROVIDER_ERROR"),
        (503, "Shutdown", TRANSIENT, "PROVIDER_ERROR"),
        (410, "SomethingNew", GONE, "TOKEN_GONE"),
        (400, "SomethingNew", REJECTED, "INVALID_MESSAGE"),
        (429, "SomethingNew", TRANSIENT, "THROTTLED"),
    ],
)
def test_apns(status: int, reason: str, verdict: Verdict, ours: str) -> None:
    outcome = apns(status, reason)
    assert (outcome.verdict, outcome.reason, outcome.code) == (verdict, ours, reason)


def test_apns_says_since_when_a_token_is_gone_in_milliseconds() -> None:
    assert apns(410, "Unregistered", timestamp=1_700_000_000_123).gone_at == datetime(
        2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC
    )
    assert apns(400, "BadDeviceToken", timestamp=1_700_000_000_123).gone_at is None


@pytest.mark.parametrize("timestamp", [None, "soon", True, 10**40, -(10**40)])
def test_a_timestamp_that_makes_no_sense_is_none(timestamp: object) -> None:
    assert apns(410, "Unregistered", timestamp=timestamp).gone_at is None


def twilio(http: int, **body: object) -> Outcome:
    return twilio_codes.read(Answer(status=http, body=json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("status", "code", "verdict", "reason"),
    [
        (429, 20429, TRANSIENT, "THROTTLED"),
        (429, 21611, TRANSIENT, "PROVIDER_QUEUE_FULL"),
        (400, 30001, TRANSIENT, "PROVIDER_QUEUE_FULL"),
        (400, 30036, REJECTED, "EXPIRED"),
        (400, 21211, REJECTED, "INVALID_ADDRESS"),
        (400, 21610, REJECTED, "OPTED_OUT"),
        (400, 21614, REJECTED, "NOT_MOBILE"),
        (400, 30003, REJECTED, "NOT_REACHABLE"),
        (400, 30004, REJECTED, "BLOCKED"),
        (400, 30005, REJECTED, "NOT_REACHABLE"),
        (400, 30006, REJECTED, "NOT_REACHABLE"),
        (400, 30007, REJECTED, "FILTERED"),
        (401, 20003, TRANSIENT, "PROVIDER_CREDENTIALS"),
        (500, 20500, TRANSIENT, "PROVIDER_ERROR"),
        (503, 20503, TRANSIENT, "PROVIDER_ERROR"),
        (400, 99999, REJECTED, "INVALID_MESSAGE"),
        (429, 99999, TRANSIENT, "THROTTLED"),
        (500, 99999, TRANSIENT, "PROVIDER_ERROR"),
        (504, 99999, Verdict.UNCONFIRMED, "UNCONFIRMED"),
    ],
)
def test_twilio(status: int, code: int, verdict: Verdict, reason: str) -> None:
    outcome = twilio(status, code=code, message="+351211234567 is wrong")
    assert (outcome.verdict, outcome.reason, outcome.code) == (verdict, reason, str(code))


@pytest.mark.parametrize(
    ("code", "verdict"), [(30001, TRANSIENT), (30003, REJECTED), (30007, REJECTED), (None, REJECTED)]
)
def test_a_message_that_twilio_took_may_have_failed_already(code: int | None, verdict: Verdict) -> None:
    assert twilio(201, sid="SM1", status="undelivered", error_code=code).verdict is verdict
    assert twilio(201, sid="SM1", status="queued", error_code=None).verdict is ACCEPTED


@pytest.mark.parametrize(
    ("silence", "verdict", "reason"),
    [
        (Silence(sent=True, late=True), Verdict.UNCONFIRMED, "UNCONFIRMED"),
        (Silence(sent=True, late=False), Verdict.UNCONFIRMED, "UNCONFIRMED"),
        (Silence(sent=False, late=True), TRANSIENT, "PROVIDER_TIMEOUT"),
        (Silence(sent=False, late=False), TRANSIENT, "PROVIDER_UNREACHABLE"),
    ],
)
def test_twilios_silence_is_ambiguous_once_the_request_was_sent(
    silence: Silence, verdict: Verdict, reason: str
) -> None:
    outcome = silence.outcome(UNCONFIRMED)
    assert (outcome.verdict, outcome.reason) == (verdict, reason)


@pytest.mark.parametrize("late", [True, False])
def test_a_pushs_silence_is_transient(late: bool) -> None:
    assert Silence(sent=True, late=late).outcome().verdict is TRANSIENT


@pytest.mark.parametrize(
    ("stage", "code", "text", "verdict", "reason"),
    [
        (Stage.RCPT, 421, "4.3.2 closing", TRANSIENT, "PROVIDER_CLOSING"),
        (Stage.RCPT, 450, "4.7.1 Greylisted", TRANSIENT, "MAILBOX_BUSY"),
        (Stage.RCPT, 451, "4.3.0 Local error", TRANSIENT, "PROVIDER_ERROR"),
        (Stage.DATA, 452, "4.3.1 storage", TRANSIENT, "PROVIDER_STORAGE"),
        (Stage.RCPT, 452, "4.2.2 full", TRANSIENT, "PROVIDER_STORAGE"),
        (Stage.RCPT, 550, "5.1.1 No such user <ada@example.com>", REJECTED, "ADDRESS_UNKNOWN"),
        (Stage.RCPT, 552, "5.2.2 Mailbox full", TRANSIENT, "MAILBOX_FULL"),
        (Stage.DATA, 552, "5.2.2 Mailbox full", TRANSIENT, "MAILBOX_FULL"),
        (Stage.DATA, 552, "5.3.4 Too big", REJECTED, "TOO_LARGE"),
        (Stage.DATA, 552, "too much", REJECTED, "TOO_LARGE"),
        (Stage.RCPT, 550, "5.7.1 Not allowed", REJECTED, "POLICY"),
        (Stage.DATA, 554, "5.7.1 Spam", REJECTED, "POLICY"),
        (Stage.DATA, 550, "5.7.26 Unauthenticated", REJECTED, "POLICY"),
        (Stage.RCPT, 550, "no code", REJECTED, "MAILBOX_REFUSED"),
        (Stage.RCPT, 553, "no code", REJECTED, "ADDRESS_UNKNOWN"),
        (Stage.DATA, 554, "no code", REJECTED, "REFUSED"),
        (Stage.AUTH, 535, "5.7.8 Bad credentials", TRANSIENT, "PROVIDER_CREDENTIALS"),
        (Stage.AUTH, 454, "4.7.0 Later", TRANSIENT, "PROVIDER_ERROR"),
        (Stage.MAIL, 530, "5.7.0 Authentication required", TRANSIENT, "PROVIDER_CREDENTIALS"),
        (Stage.MAIL, 550, "5.1.1 Sender unknown", REJECTED, "SENDER_REFUSED"),
        (Stage.CONNECT, 554, "no service", TRANSIENT, "PROVIDER_ERROR"),
        (Stage.CONNECT, 421, "too many", TRANSIENT, "PROVIDER_CLOSING"),
        (Stage.RCPT, 299, "strange", TRANSIENT, "PROVIDER_ERROR"),
    ],
)
def test_smtp(stage: Stage, code: int, text: str, verdict: Verdict, reason: str) -> None:
    outcome = smtp_codes.read(stage, code, text)
    assert (outcome.verdict, outcome.reason) == (verdict, reason)
    assert "ada" not in outcome.code


def test_no_code_that_a_simulator_can_play_is_left_to_chance() -> None:
    assert apns_request.REASONS.keys() <= apns_codes.BY_REASON.keys()
    assert {int(code) for code in (*sms_answers.ERRORS, *sms_answers.DELIVERY_ERRORS)} <= twilio_codes.BY_CODE.keys()
    platform = {"OVERSIZE", "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", fcm_answers.BAD_GATEWAY}
    assert fcm_answers.ERRORS - platform == fcm_codes.BY_ERROR_CODE.keys()
