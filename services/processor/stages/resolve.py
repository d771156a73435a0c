"""The stage that finds out where users can be reached."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from services.processor.domain import USER_UNKNOWN, End, Outcome, User
from services.processor.metrics import STAGE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.processor.domain import Address, Job, Recipient
    from services.processor.ports import Directory, Stage


class Resolve:
    """Gives users their addresses, each user asked for once a batch; suppresses users whom nobody knows."""

    def __init__(self, directory: Directory, then: Stage) -> None:
        """`then` is the next stage."""
        self._directory, self._then = directory, then

    async def __call__(self, jobs: Sequence[Job]) -> None:
        """Hand all on."""
        with STAGE_SECONDS.labels("resolve").time():
            users = list(dict.fromkeys(_user(job, each) for job in jobs for each in job.recipients if each.user_id))
            answers = await self._directory.resolve(users) if users else ()
            known = dict(zip(users, answers, strict=True))
        await self._then([_resolved(job, known) for job in jobs])


def _user(job: Job, recipient: Recipient) -> User:
    return User(job.chunk.tenant, recipient.user_id)


def _resolved(job: Job, known: Mapping[User, tuple[Address, ...] | None]) -> Job:
    going_on: list[Recipient] = []
    ends: list[End] = []
    for recipient in job.recipients:
        addresses = known[_user(job, recipient)] if recipient.user_id else recipient.addresses
        if addresses is None:
            ends.append(End(outcome=Outcome.SUPPRESSED, reason=USER_UNKNOWN))
        else:
            going_on.append(replace(recipient, addresses=addresses))
    return job.going_on(going_on, ends)
