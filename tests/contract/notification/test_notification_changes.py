"""What following a notification promises."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from services.notification.domain import (
    ACCEPTED,
    CANCELLED,
    COMPLETED,
    PROCESSING,
    Processed,
    Report,
    Settled,
    Started,
    Totals,
)
from services.runtime.errors import NotFound
from tests.unit.notification.builders import NOW, made

if TYPE_CHECKING:
    from services.notification.ports import ChangeFeed, NotificationStore

LATER = NOW + timedelta(seconds=5)


async def test_each_change_is_told(store: NotificationStore, feed: ChangeFeed) -> None:
    draft = made()
    await store.insert([draft])
    phases = (
        Started(),
        Processed(totals=Totals(sent=1), retrying=("d1", "d2"), reason=""),
        Settled(endings={"d1": "sent"}),
        Settled(endings={"d2": "sent"}),
    )
    async with feed.follow("acme", draft.notification_id) as changes:
        told = [await anext(changes)]
        for phase in phases:
            report = Report(tenant="acme", notification_id=draft.notification_id, chunk=0, phase=phase)
            await store.report([report], LATER)
        told += [await anext(changes) for _ in phases]
    assert [(each.state, each.totals) for each in told] == [
        (ACCEPTED, Totals()),
        (PROCESSING, Totals()),
        (PROCESSING, Totals(sent=1, retrying=2)),
        (PROCESSING, Totals(sent=2, retrying=1)),
        (COMPLETED, Totals(sent=3)),
    ]
    assert [each.updated_at for each in told] == [NOW, *[LATER] * 4]
    assert told[-1].options == draft.request.options


async def test_followers_who_come_at_different_times_all_hear(store: NotificationStore, feed: ChangeFeed) -> None:
    drafts = [made() for _ in range(5)]
    await store.insert(drafts)

    async def until_cancelled(notification_id: str) -> list[int]:
        states: list[int] = []
        async with feed.follow("acme", notification_id) as changes:
            async for each in changes:
                states.append(each.state)
                if each.state == CANCELLED:
                    return states
                await store.cancel("acme", notification_id, LATER)
        return states

    async with asyncio.TaskGroup() as group:
        following = []
        for draft in drafts:
            following += [group.create_task(until_cancelled(draft.notification_id)) for _ in range(2)]
            await asyncio.sleep(0.01)
    for task in following:
        assert task.result()[-1] == CANCELLED
        assert set(task.result()) <= {ACCEPTED, CANCELLED}


async def test_nobody_follows_what_is_not_there_or_anothers(store: NotificationStore, feed: ChangeFeed) -> None:
    draft = made()
    await store.insert([draft])
    for tenant, notification_id in (("globex", draft.notification_id), ("acme", made().notification_id)):
        with pytest.raises(NotFound):
            async with feed.follow(tenant, notification_id):
                pass
