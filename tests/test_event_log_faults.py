"""Disks and databases that fail under the event log: what is kept, told, and not claimed."""

import errno
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from faulty_files import DEADLINE_S, Faults, FaultyFiles, eventually

from app.recording.event_log import EventLog
from app.recording.event_store import connect
from app.recording.rows import NoteRow


class LogBench:
    def __init__(
        self,
        root: Path,
        open_database: Callable[[Path], sqlite3.Connection] = connect,
        release_reserve: Callable[[], bool] = lambda: False,
    ) -> None:
        self.faults = Faults()
        self.failures: list[tuple[str, str]] = []
        self.warnings: list[str] = []
        self.acknowledged: list[int] = []
        self.path = root / "events.sqlite"
        self.log = EventLog(
            self.path,
            on_failure=lambda name, exc: self.failures.append((name, str(exc))),
            open_database=open_database,
            release_reserve=release_reserve,
            on_room_ran_out=self.warnings.append,
            files=FaultyFiles(self.faults),
            sync_period_s=0.005,
            checkpoint_at_bytes=100_000,
        )
        self.log.start()

    def append(self, number: int, text: str = "") -> None:
        # A function of its own for each number: all are told, not only the newest.
        self.log.append(NoteRow(number, "a", text), partial(self.acknowledged.append), number)

    def append_durably(self, number: int, text: str = "") -> bool:
        return self.log.append_durably(NoteRow(number, "a", text)).wait(DEADLINE_S)

    def end(self) -> None:
        self.log.request_stop()
        assert self.log.join(DEADLINE_S)

    def numbers(self) -> list[int]:
        with closing(sqlite3.connect(self.path)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            return [n for (n,) in db.execute("SELECT time_ns FROM notes ORDER BY rowid")]


MakeLog = Callable[..., LogBench]


@pytest.fixture
def make_log(tmp_path: Path) -> Iterator[MakeLog]:
    benches: list[LogBench] = []

    def make(*arguments: object, root: Path = tmp_path) -> LogBench:
        benches.append(LogBench(root, *arguments))  # type: ignore[arg-type]
        return benches[-1]

    yield make
    for bench in benches:
        bench.end()


class Disk:
    """Opens databases that are full beyond a number of pages, or become read-only."""

    def __init__(self, max_pages: int | None = None) -> None:
        self.max_pages = max_pages
        self.fails_at: str | None = None
        self.connection: sqlite3.Connection | None = None

    def open(self, path: Path) -> sqlite3.Connection:
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *args: object) -> sqlite3.Cursor:  # type: ignore[override]
                if disk.fails_at is not None and sql.startswith(disk.fails_at):
                    raise sqlite3.OperationalError("disk I/O error")
                return super().execute(sql, *args)  # type: ignore[arg-type]

        connection = sqlite3.connect(
            path, isolation_level=None, factory=Connection, check_same_thread=False
        )
        if self.max_pages is not None:
            connection.execute(f"PRAGMA max_page_count = {self.max_pages}")
        if self.connection is None:  # the log's own; later ones only checkpoint
            self.connection = connection
        return connection

    def make_room(self) -> bool:
        if self.connection is None or self.max_pages is None:
            return False
        self.max_pages = None
        self.connection.execute("PRAGMA max_page_count = 100000")
        return True


def test_a_full_disk_without_reserve_ends_the_log_and_acknowledges_nothing_lost(
    make_log: MakeLog,
    tmp_path: Path,
) -> None:
    bench = make_log(Disk(max_pages=40).open)
    assert bench.append_durably(0)
    for number in range(1, 20):
        bench.append(number, "x" * 20_000)
    assert not bench.append_durably(20)
    eventually(lambda: not bench.log.is_alive)
    assert not bench.log.is_writable
    assert not bench.append_durably(21)
    bench.append(22)
    bench.end()
    name, message = bench.failures[0]
    assert name == "event log"
    assert "database or disk is full" in message
    assert "events.sqlite" in message
    kept = bench.numbers()
    assert kept == list(range(len(kept)))
    assert set(bench.acknowledged) <= set(kept)
    assert bench.log.status().n_rows_lost == 23 - len(kept)
    assert bench.log.status().n_rows == len(kept)


def test_the_reserve_saves_the_rows_that_did_not_fit(make_log: MakeLog) -> None:
    disk = Disk(max_pages=40)
    bench = make_log(disk.open, disk.make_room)
    for number in range(20):
        bench.append(number, "x" * 20_000)
    assert bench.append_durably(20)
    bench.end()
    assert bench.numbers() == list(range(21))
    assert bench.acknowledged == list(range(20))
    assert [sentence for sentence in bench.warnings if "reserve is used" in sentence]
    assert bench.failures == []
    assert bench.log.status().failure == ""


@pytest.mark.parametrize("statement", ["BEGIN", "COMMIT"])
def test_an_input_output_error_ends_the_log(make_log: MakeLog, statement: str) -> None:
    disk = Disk()
    bench = make_log(disk.open)
    assert bench.append_durably(0)
    disk.fails_at = statement
    bench.append(1)
    assert not bench.append_durably(2)
    assert not bench.log.is_writable
    bench.end()
    disk.fails_at = None
    assert bench.numbers() == [0]
    assert bench.acknowledged == []
    assert "disk I/O error" in bench.failures[0][1]
    assert bench.log.status().n_rows_lost == 2


def test_a_database_turned_read_only_ends_the_log(make_log: MakeLog) -> None:
    disk = Disk()
    bench = make_log(disk.open)
    assert bench.append_durably(0)
    assert disk.connection is not None
    disk.connection.execute("PRAGMA query_only = 1")
    assert not bench.append_durably(1)
    bench.end()
    assert "readonly" in bench.failures[0][1]
    assert bench.numbers() == [0]


def test_a_folder_that_is_not_there_is_told(make_log: MakeLog, tmp_path: Path) -> None:
    bench = make_log(root=tmp_path / "missing")
    ticket_result = bench.append_durably(0)
    bench.end()
    assert not ticket_result
    assert not bench.log.is_writable
    assert "unable to open" in bench.failures[0][1]
    assert bench.log.status().n_rows_lost == 1


def test_an_existing_event_log_is_never_written_over(make_log: MakeLog) -> None:
    first = make_log()
    assert first.append_durably(0)
    first.end()
    second = make_log()
    assert not second.append_durably(1)
    second.end()
    assert "cannot be created" in second.failures[0][1]
    assert first.numbers() == [0]


def test_a_failed_sync_stops_every_acknowledgement_but_not_the_record(make_log: MakeLog) -> None:
    bench = make_log()
    assert bench.append_durably(0)
    bench.faults.sync_errno = errno.EIO
    eventually(lambda: not bench.log.is_writable)
    eventually(lambda: len(bench.failures) > 0)
    bench.append(1)
    assert not bench.append_durably(2)
    bench.end()
    assert bench.numbers() == [0, 1, 2]
    assert bench.acknowledged == []
    assert bench.failures[0][0] == "event log sync"
    assert "Input/output error" in bench.failures[0][1]


def test_an_overflow_is_told_once_and_stops_acknowledgements(tmp_path: Path) -> None:
    failures: list[str] = []
    log = EventLog(
        tmp_path / "events.sqlite",
        on_failure=lambda name, exc: failures.append(f"{name}: {exc}"),
        capacity=3,
    )
    acknowledged: list[int] = []
    for number in range(6):
        log.append(NoteRow(number, "a", ""), lambda: acknowledged.append(1))
    assert len(failures) == 1
    assert "full with 3 items" in failures[0]
    assert log.status().n_rows_lost == 3
    log.start()
    eventually(lambda: log.status().n_rows == 3)
    log.request_stop()
    assert log.join(DEADLINE_S)
    assert acknowledged == []


@pytest.mark.parametrize(
    "bad", [NoteRow(np.int64(1), "a", "b"), NoteRow(2**70, "a", "b"), NoteRow(1, b"a", "b")]
)  # type: ignore[arg-type]
def test_a_value_that_is_no_plain_number_is_refused_not_stored_as_bytes(
    make_log: MakeLog, bad: NoteRow
) -> None:
    bench = make_log()
    assert bench.append_durably(0)
    assert not bench.log.append_durably(bad).wait(DEADLINE_S)
    bench.end()
    assert bench.numbers() == [0]
    assert len(bench.failures) >= 1


def test_the_write_ahead_log_is_emptied_while_running(make_log: MakeLog, tmp_path: Path) -> None:
    bench = make_log()
    wal = tmp_path / "events.sqlite-wal"
    n_rows, was_large, n_times_cut = 0, False, 0
    deadline_s = time.monotonic() + DEADLINE_S
    while n_times_cut < 3:
        assert time.monotonic() < deadline_s, f"cut {n_times_cut} times, {n_rows} rows"
        assert bench.append_durably(n_rows, "x" * 10_000)
        n_rows += 1
        is_large = wal.stat().st_size > 100_000
        n_times_cut += was_large and not is_large
        was_large = is_large
    bench.end()
    assert bench.numbers() == list(range(n_rows))
    assert bench.failures == []
