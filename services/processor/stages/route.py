"""The stage that chooses the way to each recipient."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from services.processor.domain import NO_ADDRESS, NO_CONTENT, End, Outcome
from services.processor.metrics import STAGE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.processor.domain import Job, Recipient
    from services.processor.ports import Stage


class Route:
    """Lays out each recipient's addresses as waves; suppresses those who cannot be reached on any allowed channel."""

    def __init__(self, then: Stage) -> None:
        """`then` is the next stage."""
        self._then = then

    async def __call__(self, jobs: Sequence[Job]) -> None:
        """Hand all on."""
        with STAGE_SECONDS.labels("route").time():
            routed = [_routed(job) for job in jobs]
        await self._then(routed)


def _routed(job: Job) -> Job:
    going_on: list[Recipient] = []
    ends: list[End] = []
    for recipient in job.recipients:
        if waves := job.chunk.waves(recipient.addresses):
            going_on.append(replace(recipient, waves=waves))
        else:
            ends.append(End(outcome=Outcome.SUPPRESSED, reason=_why(job, recipient)))
    return job.going_on(going_on, ends)


def _why(job: Job, recipient: Recipient) -> str:
    allowed = any(address.channel in job.chunk.channels for address in recipient.addresses)
    return NO_CONTENT if allowed else NO_ADDRESS
