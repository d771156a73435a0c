"""A supervisor of stand-ins in a process of its own, for tests that kill it: HOME NAME."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from deploy.local.stack import Stack, StackOptions
from tests.integration.local.stand_ins import planner


async def main() -> None:
    """Run until killed, saying once when everything is up."""
    async with Stack(StackOptions(name=sys.argv[2], home=Path(sys.argv[1])), planner=planner):
        print("up", flush=True)  # noqa: T201 - what the test waits for
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
