"""Disks and databases that fail: what is kept, what is told, what is not claimed."""

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from app.recording.event_log import EventLog
from app.recording.event_store import connect
from app.recording.files import DiskFile, DiskFiles, RecordFile
from app.recording.raw_reader import read_raw
from app.recording.raw_status import RawState
from app.recording.raw_writer import RawWriter
from app.recording.rows import NoteRow, RawRecordingRow
from drivers.mea.protocol import SampleBlock, StreamFormat

DEADLINE_S = 5.0
FORMAT = StreamFormat(("A", "B", "C"), 20_000.0, 0.195)


def eventually(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "state not reached in time"
        time.sleep(0.002)


class Faults:
    """What is wrong with the disk at the moment."""

    def __init__(self) -> None:
        self.room_bytes: int | None = None
        """For appends; None: enough."""
        self.sync_errno = 0
        self.create_errno = 0
        self.is_lying = False
        """Reads give something else than was written."""


class FaultyFile(DiskFile):
    def __init__(self, path: Path, flags: int, faults: Faults) -> None:
        super().__init__(path, flags)
        self.faults = faults

    def append(self, data: bytes | memoryview) -> int:
        if self.faults.room_bytes is None:
            return super().append(data)
        n_taken = min(len(data), self.faults.room_bytes)
        if n_taken == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.faults.room_bytes -= n_taken
        return super().append(data[:n_taken])

    def append_all(self, pieces: Sequence[memoryview]) -> int:
        return self.append(b"".join(pieces))

    def sync_data(self) -> None:
        if self.faults.sync_errno and self.path.suffix != ".tmp":
            raise OSError(self.faults.sync_errno, os.strerror(self.faults.sync_errno))
        super().sync_data()

    def read_at(self, n_bytes: int, offset: int) -> bytes:
        data = super().read_at(n_bytes, offset)
        return bytes(len(data)) if self.faults.is_lying else data


class FaultyFiles(DiskFiles):
    def __init__(self, faults: Faults) -> None:
        self.faults = faults

    def create(self, path: Path) -> RecordFile:
        if self.faults.create_errno:
            raise OSError(self.faults.create_errno, os.strerror(self.faults.create_errno))
        return FaultyFile(path, os.O_CREAT | os.O_EXCL, self.faults)

    def open(self, path: Path) -> RecordFile:
        return FaultyFile(path, 0, self.faults)


class RawBench:
    def __init__(self, root: Path) -> None:
        self.faults = Faults()
        self.failures: list[str] = []
        self.rows: list[RawRecordingRow] = []
        self.n_reserves_taken = 0
        self.node = root / "Record Node 101"
        self.writer = RawWriter(
            self.node,
            on_failure=lambda name, exc: self.failures.append(f"{name}: {exc}"),
            record=self.rows.append,
            release_reserve=self.give_reserve,
            files=FaultyFiles(self.faults),
            sync_period_s=0.005,
        )
        self.writer.start()

    def give_reserve(self) -> bool:
        self.n_reserves_taken += 1
        self.faults.room_bytes = None
        return True

    def offer(self, first: int, n_samples: int = 100) -> None:
        samples = np.arange(first * 3, (first + n_samples) * 3, dtype=np.int16).reshape(-1, 3)
        self.writer.offer(SampleBlock(samples, first, 0, 0))

    def record_until(self, n_samples: int) -> None:
        self.writer.start_recording(FORMAT)
        for first in range(0, n_samples, 100):
            self.offer(first)
        eventually(lambda: self.writer.status().n_samples == n_samples)
        eventually(lambda: self.writer.status().is_recording)

    def wait_failed(self) -> None:
        eventually(lambda: self.writer.status().state is RawState.FAILED)
        eventually(lambda: len(self.failures) > 0)

    def end(self) -> None:
        self.writer.request_stop()
        assert self.writer.join(DEADLINE_S)

    def check_recording(self, name: str, first: int, n_samples: int) -> None:
        folder = self.node / name
        (raw,) = [raw for raw in read_raw(self.node) if raw.folder == folder]
        expected = np.arange(first * 3, (first + n_samples) * 3, dtype=np.int16).reshape(-1, 3)
        np.testing.assert_array_equal(raw.samples, expected)
        dat = folder / "continuous/MEA-100.raw/continuous.dat"
        assert dat.stat().st_size == n_samples * 6
        for npy in ("sample_numbers", "timestamps"):
            rows = np.load(folder / f"continuous/MEA-100.raw/{npy}.npy")
            assert len(rows) == max(1, n_samples)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[RawBench]:
    bench = RawBench(tmp_path)
    yield bench
    bench.faults.sync_errno = 0
    bench.end()


# 100 samples of 3 channels are 600 bytes of samples, 800 of numbers and 800 of timestamps.
@pytest.mark.parametrize(
    ("room_bytes", "n_whole"),
    [(0, 0), (5, 0), (6, 1), (307, 51), (600, 100), (603, 100), (1399, 100), (1400, 100),
     (2199, 100)],
)  # fmt: skip
def test_a_full_disk_ends_the_recording_at_a_whole_frame(
    bench: RawBench, room_bytes: int, n_whole: int
) -> None:
    bench.record_until(200)
    bench.faults.room_bytes = room_bytes
    bench.offer(200)
    bench.wait_failed()
    bench.offer(300)
    bench.end()
    bench.check_recording("experiment1/recording1", 0, 200 + n_whole)
    assert bench.n_reserves_taken == 1
    assert [row.event for row in bench.rows] == ["started", "disk full"]
    assert bench.rows[-1].n_samples == 200 + n_whole
    assert len(bench.failures) == 1
    assert "disk full" in bench.failures[0]
    assert str(200 + n_whole) in bench.failures[0]
    assert not bench.writer.status().is_recording
    assert bench.writer.status().n_samples_lost == 100 - n_whole


def test_after_a_full_disk_it_can_be_started_again(bench: RawBench) -> None:
    bench.record_until(100)
    bench.faults.room_bytes = 0
    bench.offer(100)
    bench.wait_failed()
    bench.writer.start_recording(FORMAT)
    bench.offer(500)
    eventually(lambda: bench.writer.status().is_recording)
    bench.end()
    bench.check_recording("experiment1/recording2", 500, 100)
    assert bench.writer.status().failure == ""


def test_a_disk_full_from_the_start_is_told_and_no_lamp_lights(bench: RawBench) -> None:
    bench.faults.create_errno = errno.ENOSPC
    bench.writer.start_recording(FORMAT)
    bench.offer(0)
    bench.wait_failed()
    bench.end()
    assert "disk full" in bench.failures[0]
    assert not bench.writer.status().is_recording
    assert bench.writer.status().n_samples_lost == 100
    assert read_raw(bench.node) == []


def test_a_lamp_that_the_disk_does_not_confirm_stays_dark(bench: RawBench) -> None:
    bench.faults.is_lying = True
    bench.writer.start_recording(FORMAT)
    bench.offer(0)
    bench.wait_failed()
    bench.end()
    assert "read back differs" in bench.failures[0]


def test_a_failed_sync_marks_the_segment_and_goes_on_in_a_new_one(bench: RawBench) -> None:
    bench.record_until(100)
    bench.faults.sync_errno = errno.EIO
    eventually(lambda: len(bench.failures) > 0)
    bench.faults.sync_errno = 0
    eventually(lambda: any(row.event == "damaged" for row in bench.rows))
    bench.offer(100)
    eventually(lambda: bench.writer.status().n_recordings == 2)
    eventually(lambda: bench.writer.status().is_recording)
    bench.end()
    bench.check_recording("experiment1/recording1", 0, 100)
    bench.check_recording("experiment1/recording2", 100, 100)
    damaged = next(row for row in bench.rows if row.event == "damaged")
    assert damaged.sample_index == 100
    assert "Input/output error" in damaged.detail
    assert "samples from 100 on may be wrong" in bench.failures[0]


def test_a_disk_that_never_syncs_is_given_up(bench: RawBench) -> None:
    bench.faults.sync_errno = errno.EIO
    bench.writer.start_recording(FORMAT)
    bench.offer(0)
    bench.wait_failed()
    bench.offer(100)
    bench.end()
    assert bench.writer.status().n_recordings == 1
    assert not bench.writer.status().is_recording
    assert "Input/output error" in bench.failures[0]


def test_a_slow_disk_stalls_no_writer(bench: RawBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.record_until(100)
    is_stalled, may_go_on = threading.Event(), threading.Event()
    real_sync = DiskFile.sync_data

    def stall(file: DiskFile) -> None:
        is_stalled.set()
        may_go_on.wait(DEADLINE_S)
        real_sync(file)

    monkeypatch.setattr(DiskFile, "sync_data", stall)
    assert is_stalled.wait(DEADLINE_S)
    for first in range(100, 1000, 100):
        bench.offer(first)
    eventually(lambda: bench.writer.status().n_samples == 1000)
    may_go_on.set()
    bench.end()
    assert bench.failures == []
    bench.check_recording("experiment1/recording1", 0, 1000)


# --- the event log ----------------------------------------------------------------------------


class LogBench:
    def __init__(
        self,
        root: Path,
        open_database: Callable[[Path], sqlite3.Connection] = connect,
        release_reserve: Callable[[], bool] = lambda: False,
    ) -> None:
        self.faults = Faults()
        self.failures: list[tuple[str, str]] = []
        self.acknowledged: list[int] = []
        self.path = root / "events.sqlite"
        self.log = EventLog(
            self.path,
            on_failure=lambda name, exc: self.failures.append((name, str(exc))),
            open_database=open_database,
            release_reserve=release_reserve,
            files=FaultyFiles(self.faults),
            sync_period_s=0.005,
            checkpoint_at_bytes=100_000,
        )
        self.log.start()

    def append(self, number: int, text: str = "") -> None:
        self.log.append(NoteRow(number, "a", text), lambda: self.acknowledged.append(number))

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
    assert [name for name, message in bench.failures if "reserve is used" in message] == [
        "event log"
    ]
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
