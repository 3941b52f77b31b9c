"""Disks that fail under the raw writer: what is kept, what is told, what is not claimed."""

import errno
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from faulty_files import DEADLINE_S, Faults, FaultyFiles, eventually

from app.recording.files import DiskFile
from app.recording.raw_reader import read_raw
from app.recording.raw_status import RawState
from app.recording.raw_writer import RawWriter
from app.recording.rows import RawRecordingRow
from drivers.mea.protocol import SampleBlock, StreamFormat

FORMAT = StreamFormat(("A", "B", "C"), 20_000.0, 0.195)


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
