"""What the stages need of the world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.processor.domain import Address, Chunk, End, Job, Message, Report, Standing, User


class Stage(Protocol):
    """One step of the way. It does its part for a whole batch and hands the batch on."""

    async def __call__(self, jobs: Sequence[Job]) -> None:
        """Return when this step and all after it are done. Doing it twice changes nothing."""


class Progress(Protocol):
    """The record of what was begun and what became of it."""

    async def started(self, chunks: Sequence[Chunk]) -> Sequence[Standing]:
        """Say that these are begun; answers for each, in order, whether it is to be processed."""

    async def processed(self, reports: Sequence[Report]) -> None:
        """Say what became of them."""


class Directory(Protocol):
    """Who can be reached where."""

    async def resolve(self, users: Sequence[User]) -> Sequence[tuple[Address, ...] | None]:
        """For each user, in order, all addresses; None where the user is not known."""


class Deliveries(Protocol):
    """The way out."""

    async def deliver(self, messages: Sequence[Message]) -> Sequence[End]:
        """Send each, and answer what became of each, in order. A message that was sent before is not sent again."""
