"""Each provider over real sockets: what it is sent, and what becomes of its failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from clarion.type import v1 as wire
from clarion.type.v1 import DeliveryState

from services.simulators.script import Action, Fault, Limit, Outage, Script, Stage
from tests.integration.delivery.conftest import android, ios, mail, sms

if TYPE_CHECKING:
    from clarion.delivery import v1

    from services.simulators.testing import RunningSimulators
    from tests.integration.delivery.conftest import Caller

SENT, RETRYING, FAILED = (
    DeliveryState.DELIVERY_STATE_SENT,
    DeliveryState.DELIVERY_STATE_RETRYING,
    DeliveryState.DELIVERY_STATE_FAILED,
)
DATA_ALONE = wire.Content(push=wire.PushContent(data={"order": "7"}))


def told(results: list[v1.DeliverResult]) -> list[tuple[int, str]]:
    return [(each.state, each.reason) for each in results]


class TestFcm:
    async def test_a_push_arrives_whole(self, delivery: Caller, simulators: RunningSimulators) -> None:
        (result,) = await delivery.deliver(android(priority=wire.Priority.PRIORITY_CRITICAL))
        (received,) = simulators.fcm.ledger.messages("fcm-token-0001")
        message = received.content["message"]
        assert isinstance(message, dict)
        assert result.state == SENT
        assert message["notification"] == {"title": "Hello Ada", "body": "Out for delivery"}
        assert message["data"] == {"order": "7"}
        assert message["android"]["priority"] == "HIGH"
        assert message["android"]["notification"] == {
            "tag": result.delivery_id,
            "sound": "ping",
            "notification_count": 2,
        }
        assert 3590 <= int(message["android"]["ttl"][:-1]) <= 3600
        (kept,) = await delivery.listed("n-1")
        assert kept.provider_message_id == received.content["name"]

    async def test_a_browser_gets_a_web_push_and_bulk_is_not_urgent(
        self, delivery: Caller, simulators: RunningSimulators
    ) -> None:
        await delivery.deliver(
            android("web-token-1", platform="WEB", priority=wire.Priority.PRIORITY_BULK),
            android(priority=wire.Priority.PRIORITY_BULK),
        )
        web, phone = (
            simulators.fcm.ledger.messages(each)[0].content["message"] for each in ("web-token-1", "fcm-token-0001")
        )
        assert isinstance(web, dict)
        assert isinstance(phone, dict)
        assert web["webpush"]["headers"]["Urgency"] == "low"
        assert "android" not in web
        assert phone["android"]["priority"] == "NORMAL"

    async def test_data_alone_goes_to_the_app_and_shows_nothing(
        self, delivery: Caller, simulators: RunningSimulators
    ) -> None:
        await delivery.deliver(android(), android("web-token-1", platform="WEB"), content=DATA_ALONE)
        for token, part in (("fcm-token-0001", "android"), ("web-token-1", "webpush")):
            (received,) = simulators.fcm.ledger.messages(token)
            message = received.content["message"]
            assert isinstance(message, dict)
            assert message["data"] == {"order": "7"}
            assert "notification" not in message
            assert "notification" not in message[part]

    async def test_failures_are_read_for_what_they_mean(self, delivery: Caller, simulators: RunningSimulators) -> None:
        errors = [
            "UNREGISTERED",
            "SENDER_ID_MISMATCH",
            "QUOTA_EXCEEDED",
            "INTERNAL",
            "UNAVAILABLE",
            "HTML_502",
            "OVERSIZE",
        ]
        faults = tuple(Fault(match=f"token-{error}", error=error) for error in errors)
        await simulators.fcm.play(Script(faults=faults))
        results = await delivery.deliver(*(android(f"token-{error}") for error in errors), android())
        assert told(results) == [
            (FAILED, "TOKEN_GONE"),
            (FAILED, "SENDER_MISMATCH"),
            (RETRYING, "THROTTLED"),
            (RETRYING, "PROVIDER_ERROR"),
            (RETRYING, "PROVIDER_ERROR"),
            (RETRYING, "PROVIDER_ERROR"),
            (FAILED, "INVALID_MESSAGE"),
            (SENT, ""),
        ]

    async def test_one_token_serves_a_batch_and_is_fetched_again_when_it_is_refused(
        self, delivery: Caller, simulators: RunningSimulators
    ) -> None:
        before = simulators.fcm.tokens.issued
        results = await delivery.deliver(*(android(f"fcm-token-{n:04}") for n in range(100)))
        assert {each.state for each in results} == {SENT}
        assert simulators.fcm.tokens.issued == before + 1
        simulators.fcm.tokens.revoke_all()
        results = await delivery.deliver(*(android(f"fcm-token-{n:04}", notification_id="n-2") for n in range(100)))
        assert {each.state for each in results} == {SENT}
        assert simulators.fcm.tokens.issued <= before + 3

    async def test_a_token_endpoint_that_fails_is_no_messages_fault(
        self, delivery: Caller, simulators: RunningSimulators
    ) -> None:
        await simulators.fcm.play(Script(faults=(Fault(match="/token", error="UNAVAILABLE", times=1),)))
        (first,) = await delivery.deliver(android())
        assert (first.state, first.reason) == (RETRYING, "PROVIDER_UNREACHABLE")
        await simulators.fcm.play(Script(faults=(Fault(match="/token", error="UNAUTHENTICATED", times=1),)))
        (second,) = await delivery.deliver(android("another-token-1"))
        assert (second.state, second.reason) == (RETRYING, "PROVIDER_CREDENTIALS")


class TestApns:
    async def test_a_push_arrives_whole(self, delivery: Caller, simulators: RunningSimulators) -> None:
        (result,) = await delivery.deliver(ios(collapse_key="order-7"))
        (received,) = simulators.apns.ledger.messages("ab" * 32)
        content = received.content
        assert result.state == SENT
        assert content["payload"] == {
            "aps": {"alert": {"title": "Hello Ada", "body": "Out for delivery"}, "badge": 2, "sound": "ping"},
            "order": "7",
        }
        assert str(content["apns_id"]).replace("-", "").lower() == result.delivery_id
        assert (content["topic"], content["push_type"], content["priority"], content["collapse_id"]) == (
            simulators.apns_key.topic, "alert", "10", "order-7",
        )  # fmt: skip

    async def test_data_alone_is_a_background_push(self, delivery: Caller, simulators: RunningSimulators) -> None:
        await delivery.deliver(ios(), content=DATA_ALONE)
        (received,) = simulators.apns.ledger.messages("ab" * 32)
        assert received.content["payload"] == {"aps": {"content-available": 1}, "order": "7"}
        assert (received.content["push_type"], received.content["priority"]) == ("background", "5")

    async def test_a_badge_alone_is_shown(self, delivery: Caller, simulators: RunningSimulators) -> None:
        await delivery.deliver(ios(), content=wire.Content(push=wire.PushContent(data={"order": "7"}, badge=0)))
        (received,) = simulators.apns.ledger.messages("ab" * 32)
        assert received.content["payload"] == {"aps": {"badge": 0}, "order": "7"}
        assert received.content["push_type"] == "alert"

    async def test_bulk_has_low_priority_and_a_long_collapse_key_is_shortened(
        self, delivery: Caller, simulators: RunningSimulators
    ) -> None:
        await delivery.deliver(ios(priority=wire.Priority.PRIORITY_BULK, collapse_key="ü" * 100))
        (received,) = simulators.apns.ledger.messages("ab" * 32)
        assert received.content["priority"] == "5"
        assert len(str(received.content["collapse_id"])) == 64

    async def test_a_batch_on_a_new_connection_is_sent_without_a_refusal(
        self, delivery: Caller, simulators: RunningSimulators
    ) -> None:
        results = await delivery.deliver(*(ios(f"{n:064x}") for n in range(200)))
        assert {each.state for each in results} == {SENT}
        assert simulators.apns.counts() == {"accepted": 200}

    async def test_failures_are_read_for_what_they_mean(self, delivery: Caller, simulators: RunningSimulators) -> None:
        errors = [
            "BadDeviceToken",
            "DeviceTokenNotForTopic",
            "Unregistered",
            "TooManyRequests",
            "InternalServerError",
            "PayloadTooLarge",
        ]
        tokens = {error: f"{number:064x}" for number, error in enumerate(errors)}
        await simulators.apns.play(Script(faults=tuple(Fault(match=tokens[each], error=each) for each in errors)))
        results = await delivery.deliver(*(ios(tokens[each]) for each in errors))
        assert told(results) == [
            (FAILED, "BAD_TOKEN"),
            (FAILED, "TOKEN_NOT_FOR_TOPIC"),
            (FAILED, "TOKEN_GONE"),
            (RETRYING, "THROTTLED"),
            (RETRYING, "PROVIDER_ERROR"),
            (FAILED, "TOO_LARGE"),
        ]

    async def test_a_token_that_is_no_path_segment_stays_one(
        self, delivery: Caller, simulators: RunningSimulators
    ) -> None:
        (result,) = await delivery.deliver(ios("../../3/device/" + "ab" * 32))
        assert (result.state, result.reason) == (FAILED, "BAD_TOKEN")

    async def test_a_connection_that_apns_ends_is_replaced(
        self, delivery: Caller, simulators: RunningSimulators
    ) -> None:
        await delivery.deliver(ios())
        simulators.apns.go_away("Shutdown")
        first = await delivery.deliver(*(ios(f"{n:064x}") for n in range(20)))
        again = await delivery.deliver(*(ios(f"{n:064x}") for n in range(20)))
        assert {each.state for each in first} <= {SENT, RETRYING}
        assert {each.state for each in again} == {SENT}

    async def test_an_outage_is_retried_and_over_when_it_is_over(
        self, delivery: Caller, simulators: RunningSimulators
    ) -> None:
        await delivery.deliver(ios())
        await simulators.apns.play(Script(outage=Outage.REFUSE))
        (down,) = await delivery.deliver(ios(notification_id="n-2"))
        await simulators.apns.play(Script())
        (up,) = await delivery.deliver(ios(notification_id="n-2"))
        assert (down.state, down.reason, up.state) == (RETRYING, "PROVIDER_UNREACHABLE", SENT)


class TestTwilio:
    async def test_a_text_arrives_whole(self, delivery: Caller, simulators: RunningSimulators) -> None:
        (result,) = await delivery.deliver(sms())
        (received,) = simulators.sms.ledger.messages("+351211234567")
        assert result.state == SENT
        assert (received.content["body"], received.content["from"]) == ("Your code is 1234", "+15005550006")
        (kept,) = await delivery.listed("n-1")
        assert kept.provider_message_id == received.content["sid"]

    async def test_failures_are_read_for_what_they_mean(self, delivery: Caller, simulators: RunningSimulators) -> None:
        codes = ["21211", "21610", "21614", "20429", "21611", "20500"]
        numbers = {code: f"+35121123400{number}" for number, code in enumerate(codes)}
        await simulators.sms.play(Script(faults=tuple(Fault(match=numbers[each], error=each) for each in codes)))
        results = await delivery.deliver(*(sms(numbers[each]) for each in codes))
        assert told(results) == [
            (FAILED, "INVALID_ADDRESS"),
            (FAILED, "OPTED_OUT"),
            (FAILED, "NOT_MOBILE"),
            (RETRYING, "THROTTLED"),
            (RETRYING, "PROVIDER_QUEUE_FULL"),
            (RETRYING, "PROVIDER_ERROR"),
        ]

    @pytest.mark.parametrize("action", [Action.HANG, Action.DROP])
    async def test_a_lost_answer_is_not_sent_again(
        self, delivery: Caller, simulators: RunningSimulators, action: Action
    ) -> None:
        await simulators.sms.play(Script(faults=(Fault(action=action, deliver=True, times=1),)))
        (first,) = await delivery.deliver(sms(seconds=2))
        (again,) = await delivery.deliver(sms(seconds=2))
        assert told([first, again]) == [(FAILED, "UNCONFIRMED")] * 2
        assert simulators.sms.ledger.accepted == 1

    async def test_a_gateway_that_cannot_be_reached_is_tried_again(
        self, delivery: Caller, simulators: RunningSimulators
    ) -> None:
        await simulators.sms.play(Script(outage=Outage.REFUSE))
        (down,) = await delivery.deliver(sms())
        await simulators.sms.play(Script())
        (up,) = await delivery.deliver(sms())
        assert (down.state, down.reason, up.state) == (RETRYING, "PROVIDER_UNREACHABLE", SENT)
        assert simulators.sms.ledger.accepted == 1

    async def test_throttling_fails_no_message_and_says_when_to_come_back(
        self, delivery: Caller, simulators: RunningSimulators
    ) -> None:
        await simulators.sms.play(Script(limits=(Limit(requests=5, window_seconds=600),)))
        results = await delivery.deliver(*(sms(f"+3512112340{n:02}") for n in range(20)))
        assert [each.state for each in results].count(SENT) == 5
        waiting = [each for each in results if each.state == RETRYING]
        assert len(waiting) == 15
        assert all(each.due_time.ToSeconds() > 500 for each in waiting)


class TestSmtp:
    async def test_a_mail_arrives_whole(self, delivery: Caller, simulators: RunningSimulators) -> None:
        (result,) = await delivery.deliver(mail())
        (received,) = simulators.smtp.ledger.messages("ada@example.org")
        headers = dict(received.content["headers"])  # type: ignore[call-overload]  # pairs, by mail.py
        assert result.state == SENT
        assert received.content["mail_from"] == "shop@example.com"
        assert received.content["username"] == simulators.smtp_account.username
        assert (headers["Subject"], headers["From"]) == ("Olá Ada", "The Shop <shop@example.com>")
        assert headers["Message-ID"] == f"<{result.delivery_id}@example.com>"
        assert headers["List-Unsubscribe"].strip() == f"<https://example.com/unsubscribe/{result.delivery_id}>"
        assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        bodies = [str(received.content[kind]).strip() for kind in ("text", "html")]
        assert bodies == ["Plain words", "<p>Marked words</p>"]

    async def test_failures_are_read_for_what_they_mean(self, delivery: Caller, simulators: RunningSimulators) -> None:
        replies = {
            "unknown@example.org": "550 5.1.1 No such user",
            "full@example.org": "552 5.2.2 Mailbox full",
            "policy@example.org": "550 5.7.1 Not from you",
            "grey@example.org": "450 4.7.1 Greylisted",
            "storage@example.org": "452 4.3.1 Storage",
            "closing@example.org": "421 4.3.2 Closing",
        }
        await simulators.smtp.play(Script(faults=tuple(Fault(match=to, error=reply) for to, reply in replies.items())))
        results = await delivery.deliver(*map(mail, replies), mail())
        assert told(results) == [
            (FAILED, "ADDRESS_UNKNOWN"),
            (RETRYING, "MAILBOX_FULL"),
            (FAILED, "POLICY"),
            (RETRYING, "MAILBOX_BUSY"),
            (RETRYING, "PROVIDER_STORAGE"),
            (RETRYING, "PROVIDER_CLOSING"),
            (SENT, ""),
        ]

    async def test_a_batch_shares_a_few_connections(self, delivery: Caller, simulators: RunningSimulators) -> None:
        await simulators.smtp.play(Script(faults=(Fault(stage=Stage.CONNECT, error="421 4.7.0 Too many", skip=8),)))
        results = await delivery.deliver(*(mail(f"u{n}@example.org") for n in range(60)))
        assert {each.state for each in results} == {SENT}
        assert simulators.smtp.ledger.accepted == 60

    async def test_a_connection_lost_after_the_final_dot_is_sent_again_under_the_same_message_id(
        self, delivery: Caller, simulators: RunningSimulators
    ) -> None:
        await simulators.smtp.play(Script(faults=(Fault(stage=Stage.DATA, action=Action.DROP, deliver=True, times=1),)))
        (lost,) = await delivery.deliver(mail())
        (sent,) = await delivery.deliver(mail())
        assert (lost.state, lost.reason, sent.state) == (RETRYING, "UNCONFIRMED", SENT)
        names = [dict(each.content["headers"])["Message-ID"] for each in simulators.smtp.ledger.messages()]  # type: ignore[call-overload]
        assert names == [f"<{sent.delivery_id}@example.com>"] * 2

    async def test_a_server_that_restarted_gets_the_next_mail_on_a_new_connection(
        self, delivery: Caller, simulators: RunningSimulators
    ) -> None:
        await delivery.deliver(mail())
        await simulators.smtp.play(Script(outage=Outage.REFUSE))
        (down,) = await delivery.deliver(mail(notification_id="n-2"))
        await simulators.smtp.play(Script())
        (up,) = await delivery.deliver(mail(notification_id="n-2"))
        assert (down.state, up.state) == (RETRYING, SENT)

    async def test_header_injection_reaches_nobody(self, delivery: Caller, simulators: RunningSimulators) -> None:
        content = wire.Content(email=wire.EmailContent(subject="Hi\r\nBcc: eve@example.com", text="x"))
        results = await delivery.deliver(mail(), content=content)
        results += await delivery.deliver(mail("ada@example.org>\r\nRCPT TO:<eve@example.com"))
        assert told(results) == [(FAILED, "INVALID_CONTENT"), (FAILED, "INVALID_ADDRESS")]
        assert simulators.smtp.counts() == {}
