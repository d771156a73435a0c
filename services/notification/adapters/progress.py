"""Reports as updates that MongoDB computes itself: atomic, and without effect when they are repeated.

A document keeps which chunks are `done`, the sums of all (`totals`), the ids of deliveries that are `retrying`, and
the endings that came `early`: a delivery can be settled before the worker has said that it was retrying.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pymongo import UpdateOne

from services.notification.domain import (
    ACCEPTED,
    COMPLETED,
    EXPIRED,
    FAILED,
    OPEN_STATES,
    PARTIAL,
    PROCESSING,
    SUPPRESSED,
    Processed,
    Report,
    Settled,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

Expression = dict[str, Any]
_OPEN: Final = {"$in": sorted(OPEN_STATES)}
_ENDINGS: Final = ("sent", "failed", "suppressed")


def update(report: Report, now: datetime) -> UpdateOne:
    """The update that one report asks for; it matches nothing where the report was applied before."""
    whose: Expression = {"_id": report.notification_id, "tenant": report.tenant}
    match report.phase:
        case Processed():
            return _processed(whose, report.chunk, report.phase, now)
        case Settled():
            return _settled(whose, report.chunk, report.phase.endings, now)
        case _:
            # ACCEPTED in the filter is what makes this and a cancellation exclude each other.
            begin = {"$set": {"state": int(PROCESSING), "updated_at": now}, "$inc": {"revision": 1}}
            return UpdateOne(whose | {"state": ACCEPTED}, begin)


def _processed(whose: Expression, chunk: int, phase: Processed, now: datetime) -> UpdateOne:
    ids = list(phase.retrying)
    counted: Expression = {
        f"totals.{name}": _sum(f"$totals.{name}", getattr(phase.totals, name), _early(name, ids))
        for name in ("queued", "sent", "failed", "suppressed", "expired")
    }
    apply: Expression = counted | {
        "done": {"$concatArrays": ["$done", [chunk]]},
        "reason": {"$cond": [{"$eq": ["$reason", ""]}, {"$literal": phase.reason}, "$reason"]},
    }
    if ids:
        apply["retrying"] = {"$setUnion": ["$retrying", {"$setDifference": [_literal(ids), "$early.id"]}]}
        apply["early"] = _filtered("$early", {"$not": [{"$in": ["$$this.id", _literal(ids)]}]})
    where = whose | {"state": _OPEN, "done": {"$ne": chunk}, "chunks": {"$gt": chunk}}
    return UpdateOne(where, [{"$set": apply}, *_close(now)])


def _settled(whose: Expression, chunk: int, endings: Mapping[str, str], now: datetime) -> UpdateOne:
    ids = list(endings)
    apply: Expression = {"retrying": {"$setDifference": ["$retrying", _literal(ids)]}}
    for name in _ENDINGS:
        these = [each for each, ending in endings.items() if ending == name]
        if these:
            hits = {"$size": {"$setIntersection": ["$retrying", _literal(these)]}}
            apply[f"totals.{name}"] = _sum(f"$totals.{name}", hits)
    early = [{"id": each, "as": ending} for each, ending in endings.items()]
    known = {"$concatArrays": ["$early.id", "$retrying"]}
    unknown = _filtered({"$literal": early}, {"$not": [{"$in": ["$$this.id", known]}]})
    apply["early"] = {"$cond": [{"$in": [chunk, "$done"]}, "$early", {"$concatArrays": ["$early", unknown]}]}
    news = [{"retrying": {"$in": ids}}, {"done": {"$ne": chunk}, "early.id": {"$not": {"$all": ids}}}]
    where = whose | {"state": _OPEN, "chunks": {"$gt": chunk}, "$or": news}
    return UpdateOne(where, [{"$set": apply}, *_close(now)])


def _close(now: datetime) -> Sequence[Expression]:
    """Count what is retrying, and end the notification if this was the last that it waited for."""
    all_done = {"$gte": [{"$size": "$done"}, "$chunks"]}
    ended = {"$and": [all_done, {"$eq": [{"$size": "$retrying"}, 0]}]}
    return (
        {
            "$set": {
                "totals.retrying": {"$size": "$retrying"},
                "state": {"$cond": [ended, _FINAL_STATE, int(PROCESSING)]},
                "processed_at": {"$cond": [all_done, {"$ifNull": ["$processed_at", now]}, None]},
                "reason": {"$cond": [{"$and": [ended, {"$gt": ["$totals.sent", 0]}]}, "", "$reason"]},
                "revision": {"$add": ["$revision", 1]},
                "updated_at": now,
            }
        },
    )


_FINAL_STATE: Final[Expression] = {
    "$switch": {
        "branches": [
            {
                "case": {"$gt": ["$totals.sent", 0]},
                "then": {
                    "$cond": [
                        {
                            "$gt": [
                                {
                                    "$add": [
                                        "$totals.queued",
                                        "$totals.failed",
                                        "$totals.suppressed",
                                        "$totals.expired",
                                    ]
                                },
                                0,
                            ]
                        },
                        int(PARTIAL),
                        int(COMPLETED),
                    ]
                },
            },
            {"case": {"$gt": [{"$add": ["$totals.failed", "$totals.queued"]}, 0]}, "then": int(FAILED)},
            {"case": {"$gt": ["$totals.expired", 0]}, "then": int(EXPIRED)},
        ],
        "default": int(SUPPRESSED),
    }
}
"""The same as `domain.final_state`."""


def _sum(*terms: str | int | Expression) -> str | int | Expression:
    present = [term for term in terms if term != 0]
    return {"$add": present} if len(present) > 1 else present[0]


def _early(name: str, ids: Sequence[str]) -> int | Expression:
    if not ids or name not in _ENDINGS:
        return 0
    these = {"$and": [{"$eq": ["$$this.as", name]}, {"$in": ["$$this.id", _literal(ids)]}]}
    return {"$size": _filtered("$early", these)}


def _filtered(array: str | Expression, condition: Expression) -> Expression:
    return {"$filter": {"input": array, "cond": condition}}


def _literal(ids: Sequence[str]) -> Expression:
    # Without this a string that begins with '$' would be read as a field.
    return {"$literal": list(ids)}
