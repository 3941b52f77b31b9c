"""When raw data are written, what is told of it, and what a slow or small disk costs."""

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from faulty_files import DEADLINE_S, eventually
from raw_bench import FORMAT, Bench, block, samples_of

from app.recording.disk_room import DiskRoom
from app.recording.errors import RecordingError
from app.recording.files import DiskFile, DiskFiles, RecordFile
from app.recording.raw_status import RawState
from app.recording.raw_writer import RawWriter
from drivers.mea.protocol import SampleBlock


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.end()
    assert bench.failures == []


def test_nothing_is_written_until_asked_and_after_the_stop(bench: Bench) -> None:
    bench.writer.offer(block(0))
    bench.writer.message(0, "nobody hears")
    bench.writer.start_recording(FORMAT)
    bench.writer.offer(block(100))
    bench.writer.stop_recording()
    bench.writer.offer(block(200))
    eventually(lambda: bench.writer.status().state is RawState.IDLE)
    (raw,) = bench.raw()
    assert (raw.first_sample, len(raw.samples)) == (100, 100)
    assert bench.events == [
        ("experiment1/recording1", "started", 100),
        ("experiment1/recording1", "closed", 100),
    ]
    assert bench.writer.status().n_samples_lost == 0


def test_a_start_without_blocks_is_no_recording(bench: Bench) -> None:
    bench.writer.start_recording(FORMAT)
    assert bench.writer.status().state is RawState.STARTING
    assert not bench.writer.status().is_recording
    with pytest.raises(RecordingError, match="already recording"):
        bench.writer.start_recording(FORMAT)
    bench.stop_recording()
    assert not bench.node.exists()


def test_the_lamp_tells_what_is_on_the_disk(bench: Bench) -> None:
    bench.writer.start_recording(FORMAT)
    bench.writer.offer(block(0))
    eventually(lambda: bench.writer.status().is_recording)
    status = bench.writer.status()
    assert status.folder == bench.node / "experiment1/recording1"
    dat = status.folder / "continuous/MEA-100.raw/continuous.dat"
    assert status.n_bytes == dat.stat().st_size == 100 * 3 * 2
    assert dat.read_bytes() == samples_of(0, 100).tobytes()
    assert status.seconds_left is not None
    assert status.seconds_left > 0
    bench.stop_recording()
    assert not bench.writer.status().is_recording


def test_ending_the_writer_saves_what_waits(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.writer.start_recording(FORMAT)
    for number in range(50):
        bench.writer.offer(block(number * 100))
    bench.end()
    (raw,) = bench.raw()
    np.testing.assert_array_equal(raw.samples, samples_of(0, 5000))
    assert len(np.load(raw.folder / "continuous/MEA-100.raw/sample_numbers.npy")) == 5000
    assert bench.writer.status().state is RawState.IDLE
    assert bench.failures == []


def test_an_overflow_is_counted_told_once_and_a_gap(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.end()
    # With its thread ended nobody takes: the inbox of a second writer, not yet begun, fills up.
    writer = RawWriter(
        bench.node,
        on_failure=lambda name, exc: bench.failures.append((name, exc)),
        record=bench.rows.append,
        ring_s=0.01,
    )
    writer.start_recording(FORMAT)
    for number in range(5):
        writer.offer(block(number * 100))
    assert writer.status().n_samples_lost == 300
    assert [
        (name, "200 samples wait, 0.01 s are all" in str(exc)) for name, exc in bench.failures
    ] == [("raw writer", True)]
    writer.start()
    eventually(lambda: writer.status().n_waiting == 0)
    writer.offer(block(500))
    eventually(lambda: writer.status().n_recordings == 2)
    writer.request_stop()
    assert writer.join(DEADLINE_S)
    assert [(raw.first_sample, len(raw.samples)) for raw in bench.raw()] == [(0, 200), (500, 100)]
    assert bench.rows[1].event == "gap"


def test_a_block_of_another_shape_ends_the_recording_by_name(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.writer.start_recording(FORMAT)
    bench.writer.offer(block(0))
    bench.writer.offer(SampleBlock(samples_of(100, 10, 4), 100, 0, 0))
    eventually(lambda: bench.writer.status().state is RawState.FAILED)
    bench.writer.offer(block(110))
    assert "int16 of 3 channels" in bench.writer.status().failure
    bench.writer.start_recording(FORMAT)
    bench.writer.offer(block(200))
    bench.stop_recording()
    bench.end()
    assert [len(raw.samples) for raw in bench.raw()] == [100, 100]
    assert len(bench.failures) == 1


def test_a_recording_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    class SmallDisk(DiskFiles):
        def free_bytes(self, folder: Path) -> int:
            return 22 * 20_000 * 100

    bench = Bench(tmp_path, files=SmallDisk())
    with pytest.raises(RecordingError, match="room for 100 s, 95 s and 10 % more"):
        bench.writer.start_recording(FORMAT, planned_s=95.0)
    with pytest.raises(RecordingError):
        bench.writer.start_recording(FORMAT, planned_s=float("nan"))
    bench.writer.start_recording(FORMAT, planned_s=90.0)
    bench.end()


def test_not_knowing_the_room_left_ends_no_recording(tmp_path: Path) -> None:
    class Unsure(DiskFiles):
        is_unsure = False

        def free_bytes(self, folder: Path) -> int:
            if self.is_unsure:
                raise OSError(5, "Input/output error")
            return super().free_bytes(folder)

    now_ns, files = [0], Unsure()
    bench = Bench(tmp_path, clock_ns=lambda: now_ns[0], files=files)
    bench.writer.start_recording(FORMAT)
    bench.writer.offer(block(0))
    bench.wait_samples(100)
    files.is_unsure = True
    now_ns[0] = 2_000_000_000
    eventually(lambda: bench.writer.status().seconds_left is None)
    bench.writer.offer(block(100))
    bench.wait_samples(200)
    bench.stop_recording()
    with pytest.raises(RecordingError, match="Input/output error"):
        bench.writer.start_recording(FORMAT)
    bench.end()
    assert bench.failures == []


def test_a_recording_begins_with_the_seconds_before_its_start(tmp_path: Path) -> None:
    bench = Bench(tmp_path, n_pretrigger=250)
    for number in range(10):
        bench.writer.offer(block(number * 100))
    bench.writer.start_recording(FORMAT)
    bench.writer.offer(block(1000))
    bench.wait_samples(400)
    bench.stop_recording()
    (raw,) = bench.raw()
    assert (raw.first_sample, len(raw.samples)) == (700, 400)
    np.testing.assert_array_equal(raw.samples, samples_of(700, 400))
    # What came before a stop is remembered anew, and never written twice.
    bench.writer.offer(block(1100))
    bench.writer.start_recording(FORMAT)
    eventually(lambda: bench.writer.status().n_recordings == 2)
    bench.stop_recording()
    assert [(r.first_sample, len(r.samples)) for r in bench.raw()] == [(700, 400), (1100, 100)]
    bench.end()


class SlowFiles(DiskFiles):
    """A disk that takes nothing until it is let go on."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def create(self, path: Path) -> RecordFile:
        files = self

        class SlowFile(DiskFile):
            def append_all(self, pieces: Sequence[memoryview]) -> int:
                files.may_go_on.wait(DEADLINE_S)
                return super().append_all(pieces)

        return SlowFile(path, os.O_CREAT | os.O_EXCL)


def test_a_disk_that_stalls_is_told_at_half_and_costs_nothing_within_the_ring(
    tmp_path: Path,
) -> None:
    warnings: list[str] = []
    files = SlowFiles()
    bench = Bench(tmp_path, files=files, on_warning=warnings.append, ring_s=0.1)
    bench.writer.start_recording(FORMAT)
    bench.writer.offer(block(0))
    eventually(lambda: bench.writer.status().is_recording)
    files.may_go_on.clear()
    for number in range(1, 20):
        bench.writer.offer(block(number * 100))
    assert bench.writer.is_pressed
    assert bench.writer.status().fill >= 0.9
    files.may_go_on.set()
    bench.wait_samples(2000)
    assert not bench.writer.is_pressed
    bench.stop_recording()
    bench.end()
    (raw,) = bench.raw()
    np.testing.assert_array_equal(raw.samples, samples_of(0, 2000))
    assert len(warnings) == 1
    assert "half of what may" in warnings[0]
    assert bench.failures == []


def test_it_warns_once_at_thirty_and_once_at_ten_minutes(tmp_path: Path) -> None:
    class Disk(DiskFiles):
        left_s = 4000.0

        def free_bytes(self, folder: Path) -> int:
            return round(self.left_s * 1000)

    disk = Disk()
    room = DiskRoom(tmp_path, disk)
    said = []
    for disk.left_s in (4000.0, 1700.0, 1650.0, 900.0, 590.0, 580.0, 900.0, 100.0):
        room.measure(1000.0)
        said.append(room.warning())
    assert [text is not None for text in said] == [False, True, False, False, True] + 3 * [False]
    assert "room for 28 min" in str(said[1])
    room.begin()
    assert room.warning() is not None
