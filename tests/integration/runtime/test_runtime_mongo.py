"""MongoDB as the services open it, against a real one that stops answering."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from deploy.local.engines import mongodb
from deploy.local.engines.running import running
from deploy.local.machine.ports import free_ports
from services.runtime import mongo
from services.runtime.errors import Unavailable
from services.runtime.settings import MongoSettings

if TYPE_CHECKING:
    from pathlib import Path

NOTICED_SECONDS = 6.0
"""Twice what it takes here; with the driver's own heartbeats it is more than 10."""


async def test_a_server_that_falls_silent_is_unavailable_soon_and_serves_again_once_it_speaks(
    tmp_path: Path, local_environ: dict[str, str]
) -> None:
    (port,) = free_ports(1)
    engine = mongodb.MongoDB(mongodb.find(local_environ), port=port, data=tmp_path / "data")
    with running(engine, log=tmp_path / "log"):
        settings = MongoSettings(mongo_url=SecretStr(engine.address), mongo_database="silent")
        async with mongo.opened(settings) as database:
            process = int((await database.client.admin.command("serverStatus"))["pid"])
            await database.things.insert_one({"_id": 1})
            os.kill(process, signal.SIGSTOP)
            try:
                began = time.monotonic()
                with pytest.raises(Unavailable) as raised, mongo.translated():
                    await database.things.insert_one({"_id": 2})
                took = time.monotonic() - began
            finally:
                os.kill(process, signal.SIGCONT)
            assert took < NOTICED_SECONDS
            assert raised.value.retry_after
            with mongo.translated():
                await database.things.insert_one({"_id": 3})
