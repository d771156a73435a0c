"""What a store of notifications makes of workers' reports."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from services.notification.domain import (
    CANCELLED,
    COMPLETED,
    EXPIRED,
    FAILED,
    PARTIAL,
    PROCESSING,
    SUPPRESSED,
    UNKNOWN,
    Processed,
    Report,
    Settled,
    Standing,
    Started,
    Totals,
    final_state,
)
from tests.unit.notification.builders import NOW, in_chunks, made

if TYPE_CHECKING:
    from services.notification.domain import Draft, Stored
    from services.notification.ports import NotificationStore

LATER = NOW + timedelta(seconds=5)
EVEN_LATER = NOW + timedelta(seconds=9)


def started(draft: Draft, chunk: int = 0, *, tenant: str = "acme") -> Report:
    return Report(tenant=tenant, notification_id=draft.notification_id, chunk=chunk, phase=Started())


def processed(
    draft: Draft, chunk: int = 0, totals: Totals | None = None, *, retrying: tuple[str, ...] = (), reason: str = ""
) -> Report:
    phase = Processed(totals=totals or Totals(), retrying=retrying, reason=reason)
    return Report(tenant="acme", notification_id=draft.notification_id, chunk=chunk, phase=phase)


def settled(draft: Draft, endings: dict[str, str], chunk: int = 0) -> Report:
    return Report(tenant="acme", notification_id=draft.notification_id, chunk=chunk, phase=Settled(endings=endings))


async def stored(store: NotificationStore, draft: Draft) -> Stored:
    return await store.get("acme", draft.notification_id)


async def test_a_start_is_processing_and_says_what_is_done(store: NotificationStore) -> None:
    draft = in_chunks(2)
    await store.insert([draft])
    going = Standing(state=PROCESSING, chunk_done=False)
    assert await store.report([started(draft), started(draft, 1)], LATER) == [going, going]
    await store.report([processed(draft, 0, Totals(sent=500))], LATER)
    assert await store.report([started(draft), started(draft, 1)], LATER) == [
        Standing(state=PROCESSING, chunk_done=True),
        going,
    ]
    kept = await stored(store, draft)
    assert (kept.state, kept.totals.sent, kept.updated_at) == (PROCESSING, 500, LATER)


async def test_a_start_after_a_cancellation_says_so(store: NotificationStore) -> None:
    draft = made()
    await store.insert([draft])
    await store.cancel("acme", draft.notification_id, LATER)
    assert await store.report([started(draft)], LATER) == [Standing(state=CANCELLED, chunk_done=False)]
    await store.report([processed(draft, 0, Totals(sent=1))], LATER)
    assert (await stored(store, draft)).state == CANCELLED


async def test_of_a_start_and_a_cancellation_at_once_one_counts(store: NotificationStore) -> None:
    drafts = [made() for _ in range(20)]
    await store.insert(drafts)
    for draft in drafts:
        (standing,), cancelled = await asyncio.gather(
            store.report([started(draft)], LATER), store.cancel("acme", draft.notification_id, LATER)
        )
        assert standing.state == cancelled.state
        assert standing.state in {CANCELLED, PROCESSING}


async def test_reports_on_what_is_not_there_or_anothers_change_nothing(store: NotificationStore) -> None:
    draft, unknown = made(), made()
    await store.insert([draft])
    nothing = Standing(state=UNKNOWN, chunk_done=False)
    assert await store.report([started(unknown), started(draft, tenant="globex")], LATER) == [nothing, nothing]
    assert (await stored(store, draft)).revision == 0


COUNTS = ("queued", "sent", "failed", "suppressed", "expired")


async def test_the_counts_decide_how_it_ends(store: NotificationStore) -> None:
    cases = [dict(zip(COUNTS, numbers, strict=True)) for numbers in itertools.product((0, 2), repeat=len(COUNTS))]
    drafts = [made() for _ in cases]
    await store.insert(drafts)
    await store.report(
        [processed(draft, 0, Totals(**counts)) for draft, counts in zip(drafts, cases, strict=True)], LATER
    )
    for draft, counts in zip(drafts, cases, strict=True):
        kept = await stored(store, draft)
        assert kept.totals == Totals(**counts)
        assert kept.state == final_state(kept.totals), counts


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ({"sent": 3}, COMPLETED),
        ({"sent": 3, "suppressed": 1}, PARTIAL),
        ({"failed": 1, "suppressed": 1, "expired": 1}, FAILED),
        ({"expired": 2}, EXPIRED),
        ({"suppressed": 2}, SUPPRESSED),
        ({}, SUPPRESSED),
    ],
)
async def test_each_way_to_end(store: NotificationStore, counts: dict[str, int], state: int) -> None:
    draft = made()
    await store.insert([draft])
    (standing,) = await store.report([processed(draft, 0, Totals(**counts), reason="WHY")], LATER)
    assert standing == Standing(state=(await stored(store, draft)).state, chunk_done=True)
    kept = await stored(store, draft)
    assert (kept.state, kept.reason) == (state, "" if counts.get("sent") else "WHY")


async def test_it_ends_when_the_last_chunk_is_processed(store: NotificationStore) -> None:
    draft = in_chunks(3)
    await store.insert([draft])
    for chunk in (2, 0):
        assert await store.report([processed(draft, chunk, Totals(sent=1))], LATER) == [
            Standing(state=PROCESSING, chunk_done=True)
        ]
    await store.report([processed(draft, 1, Totals(failed=1))], LATER)
    kept = await stored(store, draft)
    assert (kept.state, kept.totals) == (PARTIAL, Totals(sent=2, failed=1))


async def test_a_chunk_that_it_does_not_have_counts_for_nothing(store: NotificationStore) -> None:
    draft = made()
    await store.insert([draft])
    await store.report([processed(draft, 1, Totals(sent=1)), settled(draft, {"d1": "sent"}, 1)], LATER)
    assert (await stored(store, draft)).revision == 0


async def test_it_waits_for_what_is_tried_again(store: NotificationStore) -> None:
    draft = made()
    await store.insert([draft])
    await store.report([processed(draft, 0, Totals(sent=1), retrying=("$d1", "d2", "d3"))], LATER)
    kept = await stored(store, draft)
    assert (kept.state, kept.totals) == (PROCESSING, Totals(sent=1, retrying=3))
    await store.report([settled(draft, {"$d1": "sent", "d2": "suppressed"})], LATER)
    assert (await stored(store, draft)).totals == Totals(sent=2, retrying=1, suppressed=1)
    await store.report([settled(draft, {"d3": "failed"})], EVEN_LATER)
    kept = await stored(store, draft)
    assert (kept.state, kept.totals) == (PARTIAL, Totals(sent=2, suppressed=1, failed=1))
    assert kept.updated_at == EVEN_LATER


async def test_what_is_repeated_changes_nothing(store: NotificationStore) -> None:
    draft = in_chunks(2)
    await store.insert([draft])
    reports = [
        started(draft),
        processed(draft, 0, Totals(sent=499), retrying=("d1", "d2"), reason="FIRST"),
        settled(draft, {"d1": "sent"}),
        settled(draft, {"early": "failed"}, 1),
    ]
    for report in reports:
        await store.report([report], LATER)
        before = await stored(store, draft)
        await store.report([report], EVEN_LATER)
        assert await stored(store, draft) == before
    await store.report([processed(draft, 1, retrying=("early",)), settled(draft, {"d2": "sent"})], LATER)
    end = await stored(store, draft)
    assert (end.state, end.totals) == (PARTIAL, Totals(sent=501, failed=1))
    await store.report([*reports, processed(draft, 1, retrying=("early",))], EVEN_LATER)
    assert await stored(store, draft) == end


async def test_a_delivery_may_settle_before_its_chunk_is_reported(store: NotificationStore) -> None:
    draft = made()
    await store.insert([draft])
    await store.report([settled(draft, {"d1": "sent", "d2": "failed"})], LATER)
    await store.report([settled(draft, {"d1": "failed"})], LATER)
    assert (await stored(store, draft)).totals == Totals()
    await store.report([processed(draft, 0, Totals(sent=1), retrying=("d1", "d3"))], LATER)
    assert (await stored(store, draft)).totals == Totals(sent=2, retrying=1)
    await store.report([settled(draft, {"d3": "sent"})], LATER)
    kept = await stored(store, draft)
    assert (kept.state, kept.totals) == (COMPLETED, Totals(sent=3))


async def test_whatever_order_reports_come_in_the_end_is_the_same(store: NotificationStore) -> None:
    orders = list(itertools.permutations(range(4)))
    drafts = [in_chunks(2) for _ in orders]
    await store.insert(drafts)
    for draft, order in zip(drafts, orders, strict=True):
        reports = [
            started(draft),
            processed(draft, 0, Totals(sent=1), retrying=("d1",)),
            processed(draft, 1, Totals(suppressed=1), reason="NOBODY"),
            settled(draft, {"d1": "sent"}),
        ]
        await store.report([reports[index] for index in order], LATER)
        kept = await stored(store, draft)
        assert (kept.state, kept.totals) == (PARTIAL, Totals(sent=2, suppressed=1)), order
