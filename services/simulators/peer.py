"""What every peer is: a ledger, a script that it plays, and a listening port."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

from services.runtime.errors import InvalidInput, Violation
from services.simulators.script import Outage, Script

if TYPE_CHECKING:
    from types import TracebackType

    from services.simulators.ledger import Ledger
    from services.simulators.player import Player
    from services.simulators.wire.listener import Listener


class Peer(ABC):
    """A simulated provider; it listens while entered."""

    name = ""

    def __init__(self, *, ledger: Ledger, player: Player, listener: Listener) -> None:
        self.ledger = ledger
        self._player = player
        self._listener = listener

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._listener.host

    @property
    def port(self) -> int:
        """The port it listens on; known once entered."""
        return self._listener.port

    @property
    def script(self) -> Script:
        """The script that is playing."""
        return self._player.script

    async def play(self, script: Script) -> None:
        """Replace the script, all of it; raises InvalidInput for errors that the peer does not have."""
        unknown = [
            Violation(f"faults.{index}.error", f"{self.name} has no such error")
            for index, fault in enumerate(script.faults)
            if fault.error is not None and not self.knows(fault.error)
        ]
        if unknown:
            raise InvalidInput(unknown)
        self._player.play(script)
        if script.outage is Outage.REFUSE:
            await self._listener.refuse()
        else:
            await self._listener.start()

    async def reset(self) -> None:
        """Forget received messages, counts and the script; credentials stay."""
        await self.play(Script())
        self.ledger.clear()

    def counts(self) -> dict[str, int]:
        """How many messages met each outcome since the last reset."""
        return self.ledger.counts()

    @abstractmethod
    def knows(self, error: str) -> bool:
        """Whether a fault may name this error."""

    async def __aenter__(self) -> Self:
        """Start listening."""
        await self._listener.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening, and let go of requests that hang."""
        self._player.play(Script())
        await self._listener.stop()
