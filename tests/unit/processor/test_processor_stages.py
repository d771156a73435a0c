from __future__ import annotations

from datetime import timedelta

import pytest

from services.processor.domain import (
    Channel,
    End,
    Lane,
    Outcome,
    Recipient,
    Routing,
    Standing,
    User,
)
from services.processor.stages.begin import Begin
from services.processor.stages.deliver import Deliver
from services.processor.stages.expire import Expire
from services.processor.stages.report import Report
from services.processor.stages.resolve import Resolve
from services.processor.stages.route import Route
from services.runtime.errors import Conflict
from tests.unit.processor.fakes import (
    NOW,
    FakeDeliveries,
    FakeDirectory,
    FakeProgress,
    ManualClock,
    Recorder,
    chunk,
    device,
    job,
    mailbox,
    phone,
)

ADA = (device("a1"), device("a2"), phone("+351211111111"), mailbox("ada@example.com"))


def ends(*pairs: tuple[Outcome, str]) -> tuple[End, ...]:
    return tuple(End(outcome=outcome, reason=reason) for outcome, reason in pairs)


@pytest.mark.parametrize("standing", [Standing.FINAL, Standing.DONE, Standing.UNKNOWN])
async def test_what_is_over_is_begun_no_further(standing: Standing) -> None:
    then = Recorder()
    progress = FakeProgress(standings={"over": standing})
    await Begin(progress, then)([job(chunk("over"), "u"), job(chunk("open"), "u")])
    assert [each.chunk.notification_id for each in then.jobs] == ["open"]
    assert progress.begun == [("acme", "over", 0), ("acme", "open", 0)]


async def test_a_batch_that_is_all_over_ends_at_once() -> None:
    then = Recorder()
    await Begin(FakeProgress(standings={"n1": Standing.FINAL}), then)([job(chunk(), "u")])
    assert then.batches == []


async def test_a_chunk_that_came_twice_goes_on_once_but_each_chunk_of_a_notification_does() -> None:
    then = Recorder()
    await Begin(FakeProgress(), then)([job(chunk(), "u"), job(chunk(), "u"), job(chunk(number=1), "v")])
    assert [each.chunk.number for each in then.jobs] == [0, 1]


@pytest.mark.parametrize(("late", "expired"), [(-0.001, False), (0, True), (5, True)])
async def test_past_its_ttl_every_recipient_is_expired(late: float, expired: bool) -> None:
    then = Recorder()
    of = chunk(expire_time=NOW - timedelta(seconds=late))
    await Expire(ManualClock(), then)([job(of, "u", "v")])
    (only,) = then.jobs
    assert only.ends == (ends((Outcome.EXPIRED, "EXPIRED"), (Outcome.EXPIRED, "EXPIRED")) if expired else ())
    assert len(only.recipients) == (0 if expired else 2)


async def test_each_user_of_a_batch_is_asked_for_once_and_addresses_are_not() -> None:
    then = Recorder()
    directory = FakeDirectory({"ada": ADA})
    direct = Recipient(addresses=(phone("+351222222222"),))
    await Resolve(directory, then)([job(chunk("n1"), "ada", direct), job(chunk("n2"), "ada", "bob")])
    assert directory.asked == [[User("acme", "ada"), User("acme", "bob")]]
    first, second = then.jobs
    assert [each.addresses for each in first.recipients] == [ADA, direct.addresses]
    assert [each.user_id for each in second.recipients] == ["ada"]
    assert second.ends == ends((Outcome.SUPPRESSED, "USER_UNKNOWN"))


async def test_nobody_is_asked_where_all_are_addresses() -> None:
    then = Recorder()
    directory = FakeDirectory()
    await Resolve(directory, then)([job(chunk(), Recipient(addresses=(phone("+351222222222"),)))])
    assert directory.asked == []
    assert len(then.jobs[0].recipients) == 1


@pytest.mark.parametrize(
    ("routing", "channels", "contents", "expected"),
    [
        (Routing.FIRST, (Channel.PUSH, Channel.SMS, Channel.EMAIL), tuple(Channel), (ADA[:2], ADA[2:3], ADA[3:])),
        (Routing.FIRST, (Channel.EMAIL, Channel.PUSH), tuple(Channel), (ADA[3:], ADA[:2])),
        (Routing.FIRST, (Channel.PUSH, Channel.SMS), (Channel.SMS,), (ADA[2:3],)),
        (Routing.ALL, (Channel.PUSH, Channel.SMS, Channel.EMAIL), tuple(Channel), (ADA,)),
        (Routing.ALL, (Channel.SMS, Channel.PUSH), tuple(Channel), ((ADA[2], ADA[0], ADA[1]),)),
    ],
)
async def test_routes_follow_the_order_of_the_channels(
    routing: Routing,
    channels: tuple[Channel, ...],
    contents: tuple[Channel, ...],
    expected: tuple[object, ...],
) -> None:
    then = Recorder()
    of = chunk(routing=routing, channels=channels, contents=dict.fromkeys(contents, b""))
    await Route(then)([job(of, Recipient(user_id="ada", addresses=ADA))])
    assert then.jobs[0].recipients[0].waves == expected


@pytest.mark.parametrize(
    ("recipient", "reason"),
    [
        (Recipient(user_id="bob"), "NO_ADDRESS"),
        (Recipient(user_id="bob", addresses=(mailbox("bob@example.com"),)), "NO_ADDRESS"),
        (Recipient(user_id="bob", addresses=(phone("+351211111111"),)), "NO_CONTENT"),
        (Recipient(addresses=(phone("+351211111111"),)), "NO_CONTENT"),
    ],
)
async def test_who_cannot_be_reached_is_suppressed_with_the_reason(recipient: Recipient, reason: str) -> None:
    then = Recorder()
    of = chunk(channels=(Channel.PUSH, Channel.SMS), contents={Channel.PUSH: b""})
    await Route(then)([job(of, recipient)])
    assert then.jobs[0].recipients == ()
    assert then.jobs[0].ends == ends((Outcome.SUPPRESSED, reason))


def routed(of: str, *waves: tuple[object, ...]) -> Recipient:
    return Recipient(user_id=of, waves=waves)  # type: ignore[arg-type]  # addresses, as the callers show


async def test_a_whole_batch_leaves_in_one_call_a_wave_and_only_the_unreached_take_the_next() -> None:
    then = Recorder()
    deliveries = FakeDeliveries(
        {
            "a1": (Outcome.FAILED, "TOKEN_GONE"),
            "a2": (Outcome.FAILED, "TOKEN_GONE"),
            "b1": (Outcome.FAILED, "TOKEN_GONE"),
            "d1": (Outcome.RETRYING, "PROVIDER_UNAVAILABLE"),
            "e1": (Outcome.SUPPRESSED, "OPTED_OUT"),
        }
    )
    trips = [
        job(chunk("n1"), routed("ada", (device("a1"), device("a2")), (phone("+1"),))),
        job(
            chunk("n2"),
            routed("bob", (device("b1"), device("b2")), (phone("+2"),)),
            routed("cyd", (device("c1"),), (phone("+3"),)),
            routed("dan", (device("d1"),), (phone("+4"),)),
            routed("eve", (device("e1"),), (phone("+5"),), (mailbox("e@example.com"),)),
        ),
    ]
    await Deliver(deliveries, ManualClock(), then)(trips)
    assert deliveries.addressed == [["a1", "a2", "b1", "b2", "c1", "d1", "e1"], ["+1", "+5"]]
    first, second = then.jobs
    assert [end.outcome for end in first.ends] == [Outcome.FAILED, Outcome.FAILED, Outcome.SENT]
    assert sorted(end.outcome for end in second.ends) == sorted(
        [Outcome.FAILED, Outcome.SENT, Outcome.SENT, Outcome.RETRYING, Outcome.SUPPRESSED, Outcome.SENT]
    )


async def test_what_expires_before_or_between_waves_is_not_sent() -> None:
    clock = ManualClock()

    class Slow(FakeDeliveries):
        async def deliver(self, messages):  # type: ignore[no-untyped-def]  # as its base
            clock.forward(60)
            return await super().deliver(messages)

    then = Recorder()
    deliveries = Slow({"a1": (Outcome.FAILED, "TOKEN_GONE"), "b1": (Outcome.FAILED, "TOKEN_GONE")})
    await Deliver(deliveries, clock, then)(
        [
            job(chunk("late", expire_time=NOW), routed("ada", (device("x"),))),
            job(chunk("soon", expire_time=NOW + timedelta(seconds=30)), routed("ada", (device("a1"),), (phone("+1"),))),
            job(chunk("open"), routed("bob", (device("b1"),), (phone("+2"),))),
        ]
    )
    assert deliveries.addressed == [["a1", "b1"], ["+2"]]
    assert [[end.outcome for end in each.ends] for each in then.jobs] == [
        [Outcome.EXPIRED],
        [Outcome.FAILED, Outcome.EXPIRED],
        [Outcome.FAILED, Outcome.SENT],
    ]


async def test_what_another_worker_sends_now_comes_again_and_the_others_are_done() -> None:
    then = Recorder()
    deliver = Deliver(FakeDeliveries({"busy": (Outcome.QUEUED, "")}), ManualClock(), then)
    with pytest.raises(Conflict):
        await deliver(
            [
                job(chunk("held"), routed("ada", (device("busy"),), (phone("+1"),))),
                job(chunk("free"), routed("bob", (device("b1"),))),
            ]
        )
    assert [each.chunk.notification_id for each in then.jobs] == ["free"]


async def test_a_peer_that_answers_too_little_is_found_out() -> None:
    class Short(FakeDeliveries):
        async def deliver(self, messages):  # type: ignore[no-untyped-def]  # as its base
            return (await super().deliver(messages))[1:]

    then = Recorder()
    with pytest.raises(ValueError, match="one result"):
        await Deliver(Short(), ManualClock(), then)([job(chunk(), routed("ada", (device("a1"), device("a2"))))])
    assert then.jobs == []


async def test_a_report_counts_by_outcome_and_names_what_is_retried() -> None:
    progress = FakeProgress()
    done = job(chunk(lane=Lane.BULK)).going_on(
        (),
        [
            End(outcome=Outcome.SENT, delivery_id="d1"),
            End(outcome=Outcome.RETRYING, reason="PROVIDER_UNAVAILABLE", delivery_id="d2"),
            End(outcome=Outcome.SUPPRESSED, reason="NO_ADDRESS"),
        ],
    )
    await Report(progress, ManualClock())([done])
    report = progress.reports["acme", "n1", 0]
    assert progress.counts() == {"sent": 1, "retrying": 1, "suppressed": 1}
    assert report.retrying == ("d2",)
    assert report.reason == ""


async def test_where_nothing_was_sent_the_most_frequent_reason_is_given() -> None:
    progress = FakeProgress()
    reasons = ["NO_ADDRESS", "USER_UNKNOWN", "USER_UNKNOWN"]
    done = job(chunk()).going_on((), [End(outcome=Outcome.SUPPRESSED, reason=reason) for reason in reasons])
    await Report(progress, ManualClock())([done])
    assert progress.reports["acme", "n1", 0].reason == "USER_UNKNOWN"
