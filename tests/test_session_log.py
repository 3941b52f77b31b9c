"""The session's log: lines of JSON, bounded files, and nobody waits for a disk."""

import errno
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from console_rig import feed_format

from app.console.live_feed import LiveFeed
from app.core.inbox import InboxOverflowError
from app.engine.program_log import ProgramLogHandler
from app.engine.record_faults import RecordFaults
from app.recording.files import DiskFiles, RecordFile
from app.recording.rows import LogRow
from app.recording.session_log import SessionLog


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.getLogger("test.session_log")
    made.setLevel(logging.DEBUG)
    yield made
    for handler in list(made.handlers):
        made.removeHandler(handler)


def fail(name: str, exc: BaseException) -> None:
    raise AssertionError(f"{name}: {exc}")


def write(folder: Path, logger: logging.Logger, say: Callable[[], None], **options: object) -> int:
    log = SessionLog(folder, on_failure=fail, clock_ns=lambda: 7, **options)  # type: ignore[arg-type]
    logger.addHandler(log.handler)
    log.start()
    say()
    log.request_stop()
    assert log.join(5.0)
    return log.n_lost


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_line_is_one_object(tmp_path: Path, logger: logging.Logger) -> None:
    def say() -> None:
        logger.debug("not kept")
        logger.info("a %s\nof two lines", "text")
        try:
            int("µ")
        except ValueError:
            logger.exception("it went wrong")

    assert write(tmp_path, logger, say) == 0
    first, second = lines(tmp_path / "log.jsonl")
    assert first["message"] == "a text\nof two lines"
    assert (first["level"], first["monotonic_ns"]) == ("info", 7)
    assert first["thread"] == "MainThread"
    assert str(first["utc"]).endswith("+00:00")
    assert "ValueError: invalid literal" in str(second["exception"])


def test_a_full_file_makes_room_for_the_next(tmp_path: Path, logger: logging.Logger) -> None:
    log = SessionLog(tmp_path / "many", on_failure=fail, max_bytes=1000)
    (tmp_path / "many").mkdir()
    logger.addHandler(log.handler)
    for number in range(40):
        logger.info("%d %s", number, "x" * 300)
        log.step()
    log.finish()
    names = sorted(path.name for path in (tmp_path / "many").iterdir())
    assert names == sorted(["log.jsonl", *(f"log.{n}.jsonl" for n in range(1, 11))])
    assert all(path.stat().st_size < 2000 for path in (tmp_path / "many").iterdir())
    assert str(lines(tmp_path / "many/log.jsonl")[-1]["message"]).startswith("39 ")


def test_lines_that_a_disk_refuses_are_counted(tmp_path: Path, logger: logging.Logger) -> None:
    class FullDisk(DiskFiles):
        is_full = True

        def create(self, path: Path) -> RecordFile:
            if self.is_full:
                raise OSError(errno.ENOSPC, "full")
            return super().create(path)

    disk = FullDisk()
    log = SessionLog(tmp_path, on_failure=fail, files=disk)
    logger.addHandler(log.handler)
    logger.warning("lost")
    log.step()
    assert log.n_lost == 1
    disk.is_full = False
    logger.warning("kept")
    log.step()
    log.finish()
    kept, lost = lines(tmp_path / "log.jsonl")
    assert kept["message"] == "kept"
    assert lost == {"lines_lost": 1}


class _Gate:
    def __init__(self) -> None:
        self.disarmed: list[str] = []

    def disarm(self, who: str, reason: str, now_ns: int) -> None:
        self.disarmed.append(f"{who}: {reason} at {now_ns}")

    def snapshot(self) -> "_Gate":
        return self

    @property
    def state(self) -> "_Gate":
        return self

    value = "disarmed"


class _Ledger:
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, who: str, text: str) -> None:
        self.said.append(f"{who}: {text}")

    def arming(self, state: str, who: str, reason: str, time_ns: int) -> None:
        self.said.append(f"{state} by {who} at {time_ns}: {reason}")


def test_samples_that_cannot_be_kept_disarm_and_a_declared_gap_does_not() -> None:
    gate, ledger, published = _Gate(), _Ledger(), []
    faults = RecordFaults(ledger, gate, lambda: published.append(1), lambda: 7)  # type: ignore[arg-type]
    faults.warned("room for 9 min left")
    faults.failed("raw writer", InboxOverflowError("200 samples wait"))
    assert gate.disarmed == []
    faults.failed("raw writer", OSError("disk full"))
    assert gate.disarmed == ["recorder: raw recording: disk full at 7"]
    assert published == [1]
    assert ledger.said[-1] == "disarmed by recorder at 7: raw recording: disk full"
    assert len(ledger.said) == 4


def test_warnings_and_errors_are_shown_and_go_into_the_event_log(logger: logging.Logger) -> None:
    feed, rows = LiveFeed(feed_format()), []
    logger.addHandler(ProgramLogHandler(feed, rows.append, lambda: 7))
    logger.info("all is well")
    logger.warning("slow: %d ms", 300)
    logger.error("gone")
    assert rows == [
        LogRow(7, "warning", "test.session_log", "slow: 300 ms"),
        LogRow(7, "error", "test.session_log", "gone"),
    ]
    shown, _, n_missed = feed.happenings.read(0, 10)
    assert [line.text for line in shown] == ["slow: 300 ms", "gone"]
    assert n_missed == 0
