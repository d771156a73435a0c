"""The use cases, with every port in memory: what is accepted, and that whatever is refused leaves nothing behind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from clarion.notification.v1 import (
    DeliveryOptions,
    ListNotificationsRequest,
    ProgressReport,
    Recipient,
    SendNotificationRequest,
    TemplateReference,
)
from clarion.type.v1 import (
    Address,
    Content,
    DeviceAddress,
    EmailContent,
    Progress,
    PushContent,
    SmsContent,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from services.notification.acceptance import Acceptor
from services.notification.domain import ACCEPTED, CANCELLED, COMPLETED, PROCESSING, Accepted
from services.notification.service import LARGE_RECIPIENTS, Notifications
from services.runtime.errors import (
    InvalidInput,
    NotFound,
    PreconditionFailed,
    RateLimited,
    Unavailable,
    Unimplemented,
)
from services.runtime.pages import PageTokens
from services.runtime.settings import PageSettings
from tests.unit.notification.builders import NOW, RETENTION, caller, ids, send_request
from tests.unit.notification.fakes import Announced, InMemoryNotifications

ACME, GLOBEX = caller("acme"), caller("globex")


@dataclass
class World:
    store: InMemoryNotifications
    announced: Announced
    use: Notifications


def world(*, pending_items: int = 2_000, max_watchers: int = 2) -> World:
    store, announced = InMemoryNotifications(), Announced()
    acceptor = Acceptor(store, announced, pending_items=pending_items, pending_bytes=10**8, concurrent_flushes=1)
    use = Notifications(
        store=store,
        acceptor=acceptor,
        feed=store,
        pages=PageTokens(PageSettings(page_token_key=SecretStr("sixteen characters"))),
        clock=lambda: NOW,
        ids=ids,
        retention=RETENTION,
        max_watchers=max_watchers,
    )
    return World(store, announced, use)


async def test_a_notification_is_stored_announced_and_answered() -> None:
    the = world()
    accepted = await the.use.send(ACME, send_request("ada"))
    assert (accepted.created_at, accepted.duplicate) == (NOW, False)
    assert [each.notification_id for each in the.announced.drafts] == [accepted.notification_id]
    assert (await the.use.get(ACME, accepted.notification_id)).state == ACCEPTED


async def test_the_same_again_is_the_first_answer_again() -> None:
    the = world()
    first = await the.use.send(ACME, send_request(key="k"))
    again = await the.use.send(ACME, send_request(key="k"))
    assert (again.notification_id, again.created_at, again.duplicate) == (first.notification_id, NOW, True)
    assert (await the.use.send(GLOBEX, send_request(key="k"))).duplicate is False


async def test_each_item_of_a_batch_is_answered_for_itself() -> None:
    the = world()
    batch = [
        send_request("ada", key="k"),
        send_request("a b"),
        send_request("ada", key="k"),
        SendNotificationRequest(recipients=[Recipient(user_id="ada")], template=TemplateReference(template_id="t")),
        send_request("bob", key="k"),
        send_request("cleo"),
    ]
    answers = await the.use.send_batch(ACME, batch)
    assert [getattr(each, "duplicate", None) or getattr(each, "reason", "") for each in answers] == [
        "",
        "INVALID_INPUT",
        True,
        "TEMPLATES_NOT_SERVED",
        "IDEMPOTENCY_KEY_REUSED",
        "",
    ]
    assert isinstance(answers[1], InvalidInput)
    assert [violation.field for violation in answers[1].violations] == ["recipients[0].user_id"]
    assert the.store.inserts == [4]
    assert len(the.store.kept) == 2


@pytest.mark.parametrize("number", [0, 1001])
async def test_a_batch_is_limited(number: int) -> None:
    the = world()
    with pytest.raises(InvalidInput):
        await the.use.send_batch(ACME, [send_request()] * number)
    assert the.store.inserts == []


async def test_a_batch_of_bad_items_needs_no_store() -> None:
    the = world()
    the.store.down = True
    (answer,) = await the.use.send_batch(ACME, [SendNotificationRequest()])
    assert isinstance(answer, InvalidInput)


async def test_a_large_request_is_handled_like_any_other() -> None:
    the = world()
    users = [f"user-{number}" for number in range(LARGE_RECIPIENTS + 1)]
    accepted = await the.use.send(ACME, send_request(*users))
    assert (await the.use.get(ACME, accepted.notification_id)).recipient_count == len(users)
    with pytest.raises(InvalidInput):
        await the.use.send(ACME, send_request(*users, "a b"))


async def test_a_store_that_is_down_is_said() -> None:
    the = world()
    the.store.down = True
    with pytest.raises(Unavailable) as refused:
        await the.use.send(ACME, send_request())
    assert refused.value.retry_after
    assert the.announced.drafts == []


async def test_too_many_are_turned_away_before_they_are_even_looked_at() -> None:
    the = world(pending_items=1)
    with pytest.raises(RateLimited):
        await the.use.send_batch(ACME, [SendNotificationRequest()] * 2)


async def test_pages_follow_one_another_to_the_end() -> None:
    the = world()
    sent = [(await the.use.send(ACME, send_request())).notification_id for _ in range(5)]
    seen: list[str] = []
    request = ListNotificationsRequest(page_size=2)
    while True:
        page, token = await the.use.list(ACME, request)
        seen += [each.notification_id for each in page]
        if not token:
            break
        request.page_token = token
    assert seen == sent[::-1]


async def test_a_page_token_is_for_one_tenant_and_one_question() -> None:
    the = world()
    for _ in range(3):
        await the.use.send(ACME, send_request())
    _, token = await the.use.list(ACME, ListNotificationsRequest(page_size=1))
    for who, request in (
        (GLOBEX, ListNotificationsRequest(page_token=token)),
        (ACME, ListNotificationsRequest(page_token=token, category="security")),
        (ACME, ListNotificationsRequest(page_token=token[:-2] + "AA")),
        (ACME, ListNotificationsRequest(page_token="made up ☀")),
    ):
        with pytest.raises(InvalidInput) as refused:
            await the.use.list(who, request)
        assert [violation.field for violation in refused.value.violations] == ["page_token"]


async def test_it_is_too_late_to_cancel_what_was_begun() -> None:
    the = world()
    begun, waiting = [await the.use.send(ACME, send_request()) for _ in range(2)]
    message = ProgressReport(tenant="acme", notification_id=begun.notification_id, started=ProgressReport.Started())
    await the.use.report([message])
    with pytest.raises(PreconditionFailed) as refused:
        await the.use.cancel(ACME, begun.notification_id)
    assert refused.value.reason == "ALREADY_PROCESSED"
    for _ in range(2):
        assert (await the.use.cancel(ACME, waiting.notification_id)).state == CANCELLED


async def test_another_tenants_notification_is_not_there() -> None:
    the = world()
    accepted = await the.use.send(ACME, send_request())
    with pytest.raises(NotFound):
        await the.use.get(GLOBEX, accepted.notification_id)
    with pytest.raises(NotFound):
        await the.use.cancel(GLOBEX, accepted.notification_id)
    with pytest.raises(NotFound):
        await anext(the.use.watch(GLOBEX, accepted.notification_id))
    message = ProgressReport(
        tenant="globex", notification_id=accepted.notification_id, started=ProgressReport.Started()
    )
    ((_, standing),) = await the.use.report([message])
    assert standing.state == 0
    assert (await the.use.get(ACME, accepted.notification_id)).state == ACCEPTED


async def test_a_watch_ends_with_the_final_state() -> None:
    the = world()
    accepted = await the.use.send(ACME, send_request())
    states = []
    async for each in the.use.watch(ACME, accepted.notification_id):
        states.append(each.state)
        message = ProgressReport(tenant="acme", notification_id=accepted.notification_id)
        if each.state == ACCEPTED:
            message.started.SetInParent()
        else:
            message.processed.progress.CopyFrom(Progress(sent=1))
        await the.use.report([message])
    assert states == [ACCEPTED, PROCESSING, COMPLETED]


async def test_watchers_are_limited_and_leave_their_place() -> None:
    the = world(max_watchers=2)
    accepted = await the.use.send(ACME, send_request())
    watching = [the.use.watch(ACME, accepted.notification_id) for _ in range(3)]
    await anext(watching[0])
    await anext(watching[1])
    with pytest.raises(RateLimited) as refused:
        await anext(watching[2])
    assert refused.value.reason == "TOO_MANY_WATCHERS"
    await watching[0].aclose()  # type: ignore[attr-defined]
    again = the.use.watch(ACME, accepted.notification_id)
    assert (await anext(again)).state == ACCEPTED
    await watching[1].aclose()  # type: ignore[attr-defined]
    await again.aclose()  # type: ignore[attr-defined]
    assert the.store.following == []


def _some(message: Any, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The message with any of these fields set."""
    return st.fixed_dictionaries({}, optional=fields).map(lambda chosen: message(**chosen))


_INT32 = st.integers(-(2**31), 2**31 - 1)
_INT64 = st.integers(-(2**63), 2**63 - 1)
_TEXT = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["ada", "", "a\r\nBcc: x@y.zz", "\x00", "x" * 300, "+351211234567", "+1", "ada@example.com", "@", "aps", "from"]
    ),
)
_ENUM = st.one_of(st.integers(-1, 5), _INT32)
_DURATION = st.builds(Duration, seconds=st.one_of(st.integers(-1, 10**7), _INT64), nanos=_INT32)
_TIME = st.builds(Timestamp, seconds=st.one_of(st.integers(10**9, 10**10), _INT64), nanos=_INT32)
_DEVICE = _some(DeviceAddress, platform=_ENUM, app=_TEXT, token=_TEXT)
_ADDRESS = st.one_of(
    st.just(Address()),
    st.builds(Address, device=_DEVICE),
    st.builds(Address, phone=_TEXT),
    st.builds(Address, email=_TEXT),
)
_RECIPIENT = st.one_of(
    st.just(Recipient()), st.builds(Recipient, user_id=_TEXT), st.builds(Recipient, address=_ADDRESS)
)
_CONTENT = _some(
    Content,
    push=_some(
        PushContent,
        title=_TEXT,
        body=_TEXT,
        data=st.dictionaries(_TEXT, _TEXT, max_size=3),
        image_url=_TEXT,
        badge=_INT32,
        sound=_TEXT,
    ),
    sms=_some(SmsContent, body=_TEXT),
    email=_some(EmailContent, subject=_TEXT, text=_TEXT, html=_TEXT),
)
_OPTIONS = _some(
    DeliveryOptions,
    channels=st.lists(_ENUM, max_size=4),
    routing=_ENUM,
    category=_TEXT,
    priority=_ENUM,
    ttl=_DURATION,
    collapse_key=_TEXT,
    send_at=_TIME,
    escalate_after=_DURATION,
)
_REQUEST = _some(
    SendNotificationRequest,
    recipients=st.lists(_RECIPIENT, max_size=3),
    content=_CONTENT,
    template=_some(TemplateReference, template_id=_TEXT, version=_INT32),
    options=_OPTIONS,
    idempotency_key=_TEXT,
)
_PLAUSIBLE = st.builds(
    SendNotificationRequest,
    recipients=st.lists(st.just(Recipient(user_id="ada")), min_size=1, max_size=3),
    content=st.one_of(st.just(Content(sms=SmsContent(body="Hello"))), _CONTENT),
    options=st.one_of(_OPTIONS, _some(DeliveryOptions, ttl=_DURATION, category=_TEXT)),
    idempotency_key=_TEXT,
)
_GOOD = st.builds(
    send_request,
    st.sampled_from(["ada", "bob"]),
    title=st.text(st.characters(min_codepoint=32, exclude_categories=["C", "Z"]), min_size=1, max_size=256),
    key=st.sampled_from(["", "k", "l"]),
    ttl=st.builds(Duration, seconds=st.integers(1, 28 * 86_400 - 1), nanos=st.integers(0, 10**9 - 1)),
    send_at=st.builds(Timestamp, seconds=st.integers(10**9, int(NOW.timestamp()))),
    priority=st.integers(0, 3),
)
_ANY = st.one_of(_REQUEST, _PLAUSIBLE, _GOOD)


@given(_ANY)
def test_any_request_is_accepted_or_refused_for_a_reason_and_then_nothing_is_stored(
    request: SendNotificationRequest,
) -> None:
    async def sent() -> tuple[World, Accepted | Exception]:
        the = world()
        try:
            return the, await the.use.send(ACME, request)
        except (InvalidInput, Unimplemented) as exc:
            return the, exc

    the, answer = asyncio.run(sent())
    if isinstance(answer, Accepted):
        (kept,) = the.store.kept.values()
        assert kept.draft.created_at < kept.draft.expire_at <= kept.draft.purge_at
        assert SendNotificationRequest.FromString(kept.draft.spec) == kept.draft.request
        assert kept.draft.request.options.channels
    else:
        assert the.store.inserts == []
        assert the.announced.drafts == []
    if isinstance(answer, InvalidInput):
        assert all(violation.field and violation.description for violation in answer.violations)


@given(st.lists(_ANY, min_size=1, max_size=5))
def test_a_batch_answers_what_each_item_alone_would_have_been_answered(requests: list[SendNotificationRequest]) -> None:
    async def together() -> list[str]:
        return [type(each).__name__ for each in await world().use.send_batch(ACME, requests)]

    async def one_by_one() -> list[str]:
        the = world()
        answers = [(await the.use.send_batch(ACME, [request]))[0] for request in requests]
        return [type(each).__name__ for each in answers]

    assert asyncio.run(together()) == asyncio.run(one_by_one())
