"""The service through its own door: real calls, real tokens, a real MongoDB."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from clarion.notification.v1 import (
    NOTIFICATION_STATE_ACCEPTED,
    NOTIFICATION_STATE_CANCELLED,
    NOTIFICATION_STATE_COMPLETED,
    NOTIFICATION_STATE_PROCESSING,
    BatchSendNotificationsRequest,
    CancelNotificationRequest,
    CreateTemplateRequest,
    GetNotificationRequest,
    ListNotificationsRequest,
    ProgressReport,
    ReportProgressRequest,
    SendNotificationRequest,
    TemplateReference,
    TemplateServiceStub,
    WatchNotificationRequest,
)
from clarion.type.v1 import Progress
from google.rpc.error_details_pb2 import ErrorInfo

from tests.integration.notification.conftest import World, serving, until
from tests.serving import refusal
from tests.unit.notification.builders import send_request

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


async def stored(world: World) -> int:
    count: int = await world.collection.count_documents({})
    return count


def report(notification_id: str, *, tenant: str = "acme", **phase: Any) -> ReportProgressRequest:
    return ReportProgressRequest(reports=[ProgressReport(tenant=tenant, notification_id=notification_id, **phase)])


DONE = ProgressReport.Processed(progress=Progress(sent=1))


async def test_from_send_to_completed(world: World) -> None:
    sent = await world.api.SendNotification(send_request("ada", category="security"), metadata=world.sender())
    assert (sent.state, sent.duplicate) == (NOTIFICATION_STATE_ACCEPTED, False)
    started = report(sent.notification_id, started=ProgressReport.Started())
    answer = await world.api.ReportProgress(started, metadata=world.worker)
    assert (answer.results[0].state, answer.results[0].chunk_done) == (NOTIFICATION_STATE_PROCESSING, False)
    await world.api.ReportProgress(report(sent.notification_id, processed=DONE), metadata=world.worker)
    got = await world.api.GetNotification(
        GetNotificationRequest(notification_id=sent.notification_id), metadata=world.sender()
    )
    assert got.notification.state == NOTIFICATION_STATE_COMPLETED
    assert got.notification.recipients == send_request("ada").recipients
    assert got.notification.content == send_request("ada").content
    assert got.notification.options.category == "security"
    assert got.notification.progress == Progress(sent=1)


async def test_at_once_with_one_key_is_one_notification(world: World) -> None:
    answers = await asyncio.gather(
        *(world.api.SendNotification(send_request(key="k"), metadata=world.sender()) for _ in range(40))
    )
    assert len({answer.notification_id for answer in answers}) == 1
    assert sorted(answer.duplicate for answer in answers) == [False, *[True] * 39]
    assert len({answer.create_time.ToMilliseconds() for answer in answers}) == 1
    assert await stored(world) == 1


async def test_concurrent_sends_share_inserts(world: World) -> None:
    metadata = world.sender()
    await asyncio.gather(*(world.api.SendNotification(send_request(), metadata=metadata) for _ in range(200)))
    assert await stored(world) == 200
    assert world.store.inserts < 100


async def test_another_content_under_a_known_key_is_refused(world: World) -> None:
    await world.api.SendNotification(send_request(key="k"), metadata=world.sender())
    refused = await refusal(world.api.SendNotification(send_request(key="k", title="B"), metadata=world.sender()))
    assert (refused.code, refused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED")
    other = await world.api.SendNotification(send_request(key="k", title="B"), metadata=world.sender("globex"))
    assert other.duplicate is False


async def test_a_batch_answers_each_item(world: World) -> None:
    items = [
        send_request(key="k"),
        SendNotificationRequest(),
        send_request(key="k"),
        send_request(key="k", title="B"),
        *[send_request() for _ in range(996)],
    ]
    answer = await world.api.BatchSendNotifications(
        BatchSendNotificationsRequest(requests=items), metadata=world.sender()
    )
    results = answer.results
    assert len(results) == 1000
    assert [each.WhichOneof("outcome") for each in results[:4]] == ["accepted", "error", "accepted", "error"]
    assert results[2].accepted.duplicate
    assert results[2].accepted.notification_id == results[0].accepted.notification_id
    assert [results[index].error.code for index in (1, 3)] == [
        INVALID.value[0],
        grpc.StatusCode.ALREADY_EXISTS.value[0],
    ]
    info = ErrorInfo()
    assert results[3].error.details[0].Unpack(info)
    assert info.reason == "IDEMPOTENCY_KEY_REUSED"
    assert all(each.HasField("accepted") for each in results[4:])
    assert await stored(world) == 997
    assert world.store.inserts == 1


async def test_what_is_refused_names_its_fields_and_stores_nothing(world: World) -> None:
    bad = send_request("a b", title="x" * 300, category="x" * 65)
    refused = await refusal(world.api.SendNotification(bad, metadata=world.sender()))
    assert (refused.code, refused.fields) == (
        INVALID,
        ("recipients[0].user_id", "content.push.title", "options.category"),
    )
    large = send_request(title="x" * 1_000_000)
    assert (await refusal(world.api.SendNotification(large, metadata=world.sender()))).fields == (
        "content.push.title",
        "content.push",
    )
    many = BatchSendNotificationsRequest(requests=[send_request()] * 1001)
    assert (await refusal(world.api.BatchSendNotifications(many, metadata=world.sender()))).fields == ("requests",)
    assert await stored(world) == 0


async def test_ten_thousand_recipients_are_one_notification(world: World) -> None:
    request = send_request(*(f"user-{number}" for number in range(10_000)))
    sent = await world.api.SendNotification(request, metadata=world.sender())
    got = await world.api.GetNotification(
        GetNotificationRequest(notification_id=sent.notification_id), metadata=world.sender()
    )
    assert got.notification.recipient_count == 10_000
    assert got.notification.recipients == request.recipients
    request.recipients.add(user_id="one-more")
    assert (await refusal(world.api.SendNotification(request, metadata=world.sender()))).fields == ("recipients",)


async def test_what_a_later_release_serves_is_unimplemented(world: World) -> None:
    request = send_request()
    request.ClearField("content")
    request.template.CopyFrom(TemplateReference(template_id="welcome"))
    refused = await refusal(world.api.SendNotification(request, metadata=world.sender()))
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNIMPLEMENTED, "TEMPLATES_NOT_SERVED")
    create = TemplateServiceStub(world.channel).CreateTemplate
    refused = await refusal(create(CreateTemplateRequest(), metadata=world.issuer.metadata("editor")))
    assert refused.code == grpc.StatusCode.UNIMPLEMENTED
    assert await stored(world) == 0


async def test_a_list_is_paged_and_filtered(world: World) -> None:
    metadata = world.sender()
    sent = [
        (await world.api.SendNotification(send_request(category=f"c{number % 2}"), metadata=metadata)).notification_id
        for number in range(7)
    ]
    await world.api.CancelNotification(CancelNotificationRequest(notification_id=sent[0]), metadata=metadata)

    async def listed(request: ListNotificationsRequest) -> list[str]:
        seen: list[str] = []
        while True:
            page = await world.api.ListNotifications(request, metadata=metadata)
            seen += [each.notification_id for each in page.notifications]
            if not page.next_page_token:
                return seen
            request.page_token = page.next_page_token

    assert await listed(ListNotificationsRequest(page_size=3)) == sent[::-1]
    assert await listed(ListNotificationsRequest(page_size=2, category="c1")) == sent[5::-2]
    assert await listed(ListNotificationsRequest(states=[NOTIFICATION_STATE_CANCELLED])) == sent[:1]
    page = await world.api.ListNotifications(ListNotificationsRequest(page_size=1), metadata=metadata)
    stolen = ListNotificationsRequest(page_size=1, page_token=page.next_page_token)
    assert (await refusal(world.api.ListNotifications(stolen, metadata=world.sender("globex")))).fields == (
        "page_token",
    )


async def test_one_tenant_sees_nothing_of_another(world: World) -> None:
    sent = await world.api.SendNotification(send_request(), metadata=world.sender())
    stranger, theirs = world.sender("globex"), sent.notification_id
    for call in (
        world.api.GetNotification(GetNotificationRequest(notification_id=theirs), metadata=stranger),
        world.api.CancelNotification(CancelNotificationRequest(notification_id=theirs), metadata=stranger),
        anext(aiter(world.api.WatchNotification(WatchNotificationRequest(notification_id=theirs), metadata=stranger))),
    ):
        assert (await refusal(call)).code == NOT_FOUND
    listed = await world.api.ListNotifications(ListNotificationsRequest(), metadata=stranger)
    assert list(listed.notifications) == []
    answer = await world.api.ReportProgress(
        report(theirs, tenant="globex", started=ProgressReport.Started()), metadata=world.worker
    )
    assert answer.results[0].state == 0


async def test_who_has_no_tenant_or_role_is_denied(world: World) -> None:
    nobody = world.issuer.metadata("sender", tenant="")
    refused = await refusal(world.api.SendNotification(send_request(), metadata=nobody))
    assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "TENANT_MISSING")
    viewer = world.issuer.metadata("viewer")
    assert (await refusal(world.api.SendNotification(send_request(), metadata=viewer))).reason == "ROLE_MISSING"
    assert (await refusal(world.api.ReportProgress(ReportProgressRequest(), metadata=viewer))).reason == "ROLE_MISSING"


async def test_cancelling_stops_what_nobody_began(world: World) -> None:
    sent = await world.api.SendNotification(send_request(), metadata=world.sender())
    cancel = CancelNotificationRequest(notification_id=sent.notification_id)
    for _ in range(2):
        answer = await world.api.CancelNotification(cancel, metadata=world.sender())
        assert answer.notification.state == NOTIFICATION_STATE_CANCELLED
    started = report(sent.notification_id, started=ProgressReport.Started())
    told = await world.api.ReportProgress(started, metadata=world.worker)
    assert told.results[0].state == NOTIFICATION_STATE_CANCELLED
    begun = await world.api.SendNotification(send_request(), metadata=world.sender())
    await world.api.ReportProgress(
        report(begun.notification_id, started=ProgressReport.Started()), metadata=world.worker
    )
    cancel = CancelNotificationRequest(notification_id=begun.notification_id)
    refused = await refusal(world.api.CancelNotification(cancel, metadata=world.sender()))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ALREADY_PROCESSED")


async def test_a_watch_tells_every_change_and_ends(world: World) -> None:
    sent = await world.api.SendNotification(send_request(), metadata=world.sender())
    watch = world.api.WatchNotification(
        WatchNotificationRequest(notification_id=sent.notification_id), metadata=world.sender()
    )
    states = []
    async for each in watch:
        states.append(each.notification.state)
        phases = {NOTIFICATION_STATE_ACCEPTED: {"started": ProgressReport.Started()}}
        phase: dict[str, Any] = phases.get(each.notification.state, {"processed": DONE})
        await world.api.ReportProgress(report(sent.notification_id, **phase), metadata=world.worker)
    assert states == [NOTIFICATION_STATE_ACCEPTED, NOTIFICATION_STATE_PROCESSING, NOTIFICATION_STATE_COMPLETED]


async def test_a_watcher_who_leaves_closes_the_stream(world: World) -> None:
    sent = await world.api.SendNotification(send_request(), metadata=world.sender())
    watch = world.api.WatchNotification(
        WatchNotificationRequest(notification_id=sent.notification_id), metadata=world.sender()
    )
    await watch.read()
    assert world.changes.streaming
    watch.cancel()
    await until(lambda: not world.changes.streaming)


async def test_a_drain_sends_watchers_to_another_process(world: World) -> None:
    sent = await world.api.SendNotification(send_request(), metadata=world.sender())
    request = WatchNotificationRequest(notification_id=sent.notification_id)
    watch = world.api.WatchNotification(request, metadata=world.sender())
    await watch.read()
    world.changes.end()
    refused = await refusal(watch.read())
    assert (refused.code, refused.retry_after) == (grpc.StatusCode.UNAVAILABLE, 0.1)
    again = world.api.WatchNotification(request, metadata=world.sender())
    assert (await refusal(again.read())).code == grpc.StatusCode.UNAVAILABLE


async def test_watchers_are_limited(mongo_url: str, mongo_database: str) -> None:
    async with serving(mongo_url=mongo_url, database=mongo_database, watchers=1) as world:
        sent = await world.api.SendNotification(send_request(), metadata=world.sender())
        request = WatchNotificationRequest(notification_id=sent.notification_id)
        first = world.api.WatchNotification(request, metadata=world.sender())
        await first.read()
        refused = await refusal(world.api.WatchNotification(request, metadata=world.sender()).read())
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_WATCHERS")
        first.cancel()


async def test_a_call_that_gives_up_leaves_the_others_alone(world: World) -> None:
    metadata = world.sender()
    calls = [world.api.SendNotification(send_request(), metadata=metadata) for _ in range(60)]
    for call in calls[::3]:
        call.cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    accepted = [each for each in answers if not isinstance(each, BaseException)]
    assert len(accepted) >= 40
    assert await stored(world) >= len(accepted)


@pytest.mark.parametrize("notification_id", ["", "x" * 65, "{$ne: 1}"])
async def test_a_made_up_id_is_refused(world: World, notification_id: str) -> None:
    refused = await refusal(
        world.api.GetNotification(GetNotificationRequest(notification_id=notification_id), metadata=world.sender())
    )
    assert (refused.code, refused.fields) == (INVALID, ("notification_id",))


@pytest.mark.parametrize("raw", [b"\xff\xff\xff", b"\x2a\x02\xff\xfe"])
async def test_bytes_that_are_no_message_are_refused(world: World, raw: bytes) -> None:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = world.channel.unary_unary(
        "/clarion.notification.v1.NotificationService/SendNotification"
    )
    assert (await refusal(call(raw))).code == grpc.StatusCode.UNAUTHENTICATED
    refused = await refusal(call(raw, metadata=world.sender()))
    assert (refused.code, refused.fields) == (INVALID, ("request",))
    assert await stored(world) == 0
