"""What a store of notifications promises."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from clarion.type.v1 import PRIORITY_CRITICAL

from services.notification.domain import ACCEPTED, CANCELLED, PROCESSING, Filter, First, Position, Report, Started
from services.runtime.errors import NotFound
from tests.unit.notification.builders import NOW, made, send_request

if TYPE_CHECKING:
    from services.notification.ports import NotificationStore

LATER = NOW + timedelta(seconds=5)
EVERYTHING = Filter()


async def test_what_is_inserted_is_kept_whole(store: NotificationStore) -> None:
    draft = made(send_request("ada", "bob", key="k1", category="security", priority=PRIORITY_CRITICAL))
    assert await store.insert([draft]) == [None]
    kept = await store.get("acme", draft.notification_id)
    assert kept.request == draft.request
    assert kept.options == draft.request.options
    assert (kept.state, kept.recipient_count, kept.idempotency_key) == (ACCEPTED, 2, "k1")
    assert (kept.created_at, kept.updated_at, kept.expire_at) == (NOW, NOW, NOW + timedelta(days=1))


async def test_an_id_that_is_taken_answers_what_is_there_and_others_are_stored(store: NotificationStore) -> None:
    first, other = made(send_request(key="k")), made(send_request(key="other"))
    await store.insert([first])
    again = made(send_request(key="k", title="changed"), now=LATER)
    known = First(content_hash=first.content_hash, created_at=NOW, expire_at=first.expire_at, untouched=True)
    assert await store.insert([again, other, again]) == [known, None, known]
    assert (await store.get("acme", first.notification_id)).request == first.request
    assert (await store.get("acme", other.notification_id)).request == other.request


async def test_the_same_id_twice_in_one_insert_is_stored_once(store: NotificationStore) -> None:
    first, second = made(send_request(key="k")), made(send_request(key="k", title="changed"))
    answers = await store.insert([first, second])
    known = First(content_hash=first.content_hash, created_at=NOW, expire_at=first.expire_at, untouched=True)
    assert answers == [None, known]
    assert len(await store.find("acme", EVERYTHING, after=None, limit=10)) == 1


async def test_what_a_worker_has_begun_or_somebody_cancelled_is_not_untouched(store: NotificationStore) -> None:
    begun, cancelled = made(send_request(key="begun")), made(send_request(key="cancelled"))
    await store.insert([begun, cancelled])
    await store.report([Report(tenant="acme", notification_id=begun.notification_id, chunk=0, phase=Started())], NOW)
    await store.cancel("acme", cancelled.notification_id, NOW)
    answers = await store.insert([begun, cancelled])
    assert [answer.untouched for answer in answers if isinstance(answer, First)] == [False, False]


async def test_many_at_once_with_one_id_are_one(store: NotificationStore) -> None:
    drafts = [made(send_request(key="k", title=f"{number}")) for number in range(8)]
    answers = [answer for (answer,) in await asyncio.gather(*(store.insert([draft]) for draft in drafts))]
    assert answers.count(None) == 1
    winner = drafts[answers.index(None)]
    assert {each.content_hash for each in answers if isinstance(each, First)} == {winner.content_hash}


async def test_another_tenant_sees_nothing(store: NotificationStore) -> None:
    draft = made()
    await store.insert([draft])
    with pytest.raises(NotFound):
        await store.get("globex", draft.notification_id)
    with pytest.raises(NotFound):
        await store.cancel("globex", draft.notification_id, LATER)
    assert await store.find("globex", EVERYTHING, after=None, limit=10) == []
    assert (await store.get("acme", draft.notification_id)).state == ACCEPTED


async def test_the_newest_come_first_and_ties_are_broken_by_id(store: NotificationStore) -> None:
    drafts = [made(now=NOW + timedelta(seconds=number // 2)) for number in range(6)]
    await store.insert(drafts)
    expected = [each.notification_id for each in reversed(drafts)]
    seen: list[str] = []
    after: Position | None = None
    while page := await store.find("acme", EVERYTHING, after=after, limit=1):
        seen += [each.notification_id for each in page]
        assert page[-1].request is None
        after = Position(created_at=page[-1].created_at, notification_id=page[-1].notification_id)
    assert seen == expected


async def test_filters_narrow_a_list(store: NotificationStore) -> None:
    old, security, cancelled = (
        made(now=NOW - timedelta(hours=1)),
        made(send_request(category="security")),
        made(now=NOW + timedelta(hours=1)),
    )
    await store.insert([old, security, cancelled])
    await store.cancel("acme", cancelled.notification_id, LATER)

    async def found(wanted: Filter) -> list[str]:
        return [each.notification_id for each in await store.find("acme", wanted, after=None, limit=10)]

    assert await found(Filter(category="security")) == [security.notification_id]
    assert await found(Filter(states=frozenset({CANCELLED}))) == [cancelled.notification_id]
    assert await found(Filter(states=frozenset({CANCELLED, ACCEPTED}), created_before=NOW)) == [old.notification_id]
    assert await found(Filter(created_after=NOW)) == [cancelled.notification_id, security.notification_id]


async def test_cancelling_twice_is_cancelling_once(store: NotificationStore) -> None:
    draft = made()
    await store.insert([draft])
    first = await store.cancel("acme", draft.notification_id, LATER)
    again = await store.cancel("acme", draft.notification_id, LATER + timedelta(seconds=1))
    assert first == again
    assert (first.state, first.updated_at) == (CANCELLED, LATER)


async def test_what_was_begun_is_not_cancelled(store: NotificationStore) -> None:

    draft = made()
    await store.insert([draft])
    begun = Report(tenant="acme", notification_id=draft.notification_id, chunk=0, phase=Started())
    await store.report([begun], LATER)
    assert (await store.cancel("acme", draft.notification_id, LATER)).state == PROCESSING
