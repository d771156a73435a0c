"""What people are shown."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from deploy.local.console.display import status_table
from deploy.local.console.progress import changes
from deploy.local.supervision.spec import ProcessStatus, State


def shown(status: ProcessStatus) -> str:
    console = Console(file=StringIO(), width=200)
    console.print(status_table("default", [status]))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def status(**changed: object) -> ProcessStatus:
    fields: dict[str, object] = {
        "name": "kafka",
        "rank": "engine",
        "state": State.READY,
        "healthy": True,
        "pid": 7,
        "restarts": 0,
        "last_exit": None,
        "up_seconds": 3725.0,
        "address": "127.0.0.1:9092",
        "metrics": "",
        "description": "noida-db, an emulator and not Apache Kafka, because PATH has no mvn (wheel)",
        "log": "kafka.log",
    }
    return ProcessStatus(**{**fields, **changed})  # type: ignore[arg-type]


def test_the_status_says_plainly_that_kafka_is_an_emulator() -> None:
    assert "an emulator and not Apache Kafka, because PATH has no mvn" in shown(status())


def test_the_status_shows_restarts_with_the_last_exit_code() -> None:
    assert "2 (last exit -9)" in shown(status(restarts=2, last_exit=-9))


def test_a_process_that_runs_but_does_not_answer_is_not_shown_as_ready() -> None:
    said = shown(status(healthy=False))
    assert "not healthy" in said
    assert "ready" not in said


def test_time_up_is_written_as_people_do() -> None:
    assert "1:02:05" in shown(status())


def test_progress_without_a_terminal_says_each_change_once() -> None:
    before = {"auth": (State.STARTING, 0), "device": (State.READY, 0)}
    now = {"auth": (State.BACKING_OFF, 1), "device": (State.READY, 0), "retry": (State.WAITING, 0)}
    assert changes({}, before) == ["auth: starting", "device: ready"]
    assert changes(before, now) == ["auth: backing off (restarted once)"]
