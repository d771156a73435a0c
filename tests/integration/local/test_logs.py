"""Logs of processes: bounded, and followed across rotations."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from deploy.local.console.follow import tail
from deploy.local.supervision.logfile import LogFile

if TYPE_CHECKING:
    from pathlib import Path


def test_a_log_within_its_bound_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "auth.log"
    path.write_text("x" * 100)
    assert not LogFile(path, bound=100).rotate()
    assert path.stat().st_size == 100


def test_a_log_that_outgrew_its_bound_is_moved_aside_while_the_process_writes_on(tmp_path: Path) -> None:
    path = tmp_path / "auth.log"
    with path.open("a") as written:
        written.write("before\n" * 20)
        written.flush()
        assert LogFile(path, bound=100).rotate()
        written.write("after\n")
    assert path.read_text() == "after\n"
    assert (tmp_path / "auth.log.1").read_text() == "before\n" * 20


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert LogFile(tmp_path / "none.log").last_lines(5) == []
    assert not LogFile(tmp_path / "none.log").rotate()


def test_the_last_lines_are_the_last(tmp_path: Path) -> None:
    path = tmp_path / "auth.log"
    path.write_text("".join(f"{number}\n" for number in range(100)))
    assert list(tail(path, lines=3, follow=False)) == ["97", "98", "99"]
    assert list(tail(path, lines=0, follow=False)) == []


def test_following_gives_whole_lines_as_they_come_and_goes_on_after_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "auth.log"
    path.write_text("old\n")
    written = path.open("a")
    steps = iter(["first\nsec", "ond\n", None, "third\n"])

    def meanwhile(_seconds: float) -> None:
        """Write what comes next, where the follower would wait."""
        text = next(steps)
        if text is None:
            assert LogFile(path, bound=0).rotate()
        else:
            written.write(text)
            written.flush()

    lines = islice(tail(path, lines=1, follow=True, sleep=meanwhile), 4)
    assert list(lines) == ["old", "first", "second", "third"]
    written.close()


def test_the_last_words_of_a_process_are_its_last_error_whatever_follows(tmp_path: Path) -> None:
    path = tmp_path / "auth.log"
    path.write_text(
        '{"event": "process_serving", "level": "info"}\n'
        '{"event": "process_failed", "level": "error", "exception": "Traceback\\n  at\\nTypeError: no"}\n'
        "RuntimeWarning: something else\n"
    )
    assert LogFile(path).last_words() == "TypeError: no"


def test_the_last_words_of_a_process_without_errors_are_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "auth.log"
    path.write_text('{"event": "process_serving", "level": "info"}\nclarion auth: cannot start: no\n\n')
    assert LogFile(path).last_words() == "clarion auth: cannot start: no"
    assert LogFile(tmp_path / "none.log").last_words() == "none"
