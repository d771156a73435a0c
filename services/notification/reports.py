"""Workers' reports: from the contract's form to the domain's, with every offending field named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clarion.type.v1 import DeliveryState

from services.notification.domain import COUNTED_AS, MAX_REPORTS, Processed, Report, Settled, Started, Totals
from services.notification.validation import MAX_NAMED
from services.runtime.validation import Violations

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clarion.notification.v1 import ProgressReport

MAX_DELIVERIES: Final = 25_000
"""Deliveries that one report can name: fifty devices for each of a chunk's 500 recipients."""
_MAX_COUNT: Final = 1_000_000
_COUNTS: Final = ("queued", "sent", "failed", "suppressed", "expired")


def reports_of(messages: Sequence[ProgressReport]) -> list[Report]:
    """Read 1 to 1000 reports.

    Raises InvalidInput.
    """
    violations = Violations()
    reports = []
    if violations.count("reports", len(messages), most=MAX_REPORTS):
        for index, message in enumerate(messages):
            reports.append(_read(violations, f"reports[{index}]", message))
            if len(violations.found) > MAX_NAMED:
                break
    violations.check()
    return reports


def _read(violations: Violations, field: str, message: ProgressReport) -> Report:
    violations.identifier(f"{field}.tenant", message.tenant)
    violations.identifier(f"{field}.notification_id", message.notification_id)
    if not 0 <= message.chunk < _MAX_COUNT:
        violations.add(f"{field}.chunk", "must be 0 or more")
    phase: Started | Processed | Settled = Started()
    match message.WhichOneof("phase"):
        case "processed":
            phase = _processed(violations, f"{field}.processed", message.processed)
        case "settled":
            phase = _settled(violations, f"{field}.settled", message.settled)
        case None:
            violations.add(field, "say what happened: started, processed or settled")
    return Report(tenant=message.tenant, notification_id=message.notification_id, chunk=message.chunk, phase=phase)


def _processed(violations: Violations, field: str, message: ProgressReport.Processed) -> Processed:
    counts = {name: getattr(message.progress, name) for name in _COUNTS}
    for name, count in counts.items():
        if not 0 <= count <= _MAX_COUNT:
            violations.add(f"{field}.progress.{name}", f"must be 0 to {_MAX_COUNT}")
    _check_ids(violations, f"{field}.retrying_delivery_ids", message.retrying_delivery_ids)
    violations.text(f"{field}.reason", message.reason, most=128, one_line=True)
    return Processed(
        totals=Totals(**counts), retrying=tuple(dict.fromkeys(message.retrying_delivery_ids)), reason=message.reason
    )


def _settled(violations: Violations, field: str, message: ProgressReport.Settled) -> Settled:
    endings: dict[str, str] = {}
    ids = [each.delivery_id for each in message.settlements]
    _check_ids(violations, f"{field}.settlements", ids, least=1, inside=".delivery_id")
    for index, each in enumerate(message.settlements):
        counted = COUNTED_AS.get(each.state)
        if counted is None:
            violations.enumerated(f"{field}.settlements[{index}].state", each.state, DeliveryState, required=True)
            if each.state in DeliveryState.values()[1:]:
                violations.add(f"{field}.settlements[{index}].state", "must be one that a delivery ends in")
            if len(violations.found) > MAX_NAMED:
                break
        else:
            endings.setdefault(each.delivery_id, counted)
    return Settled(endings=endings)


def _check_ids(violations: Violations, field: str, ids: Iterable[str], *, least: int = 0, inside: str = "") -> None:
    known = list(ids)
    if not violations.count(field, len(known), least=least, most=MAX_DELIVERIES):
        return
    for index, each in enumerate(known):
        violations.identifier(f"{field}[{index}]{inside}", each)
        if len(violations.found) > MAX_NAMED:
            return
