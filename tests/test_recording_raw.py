"""Raw data on disk: what an independent reader and plain NumPy find there."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from open_ephys.analysis import Session as OpenEphysSession

from app.recording.disk_room import DiskRoom
from app.recording.errors import RecordingError
from app.recording.files import DiskFile, DiskFiles, RecordFile
from app.recording.npy_file import HEADER_BYTES, NpyFile
from app.recording.raw_reader import RawSamples, read_raw
from app.recording.raw_ring import Message, runs
from app.recording.raw_status import RawState
from app.recording.raw_writer import RawWriter
from app.recording.rows import RawRecordingRow
from drivers.mea.protocol import SampleBlock, StimMark, StreamFormat

DEADLINE_S = 5.0
FORMAT = StreamFormat(("A-000", "A-001", "ADC-2"), 20_000.0, 0.195)


def eventually(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "state not reached in time"
        time.sleep(0.002)


def samples_of(first: int, n_samples: int, n_channels: int = 3) -> np.ndarray:
    """Every value follows from its place, so that a wrong one is seen."""
    index = np.arange(first, first + n_samples)[:, None] * 7 + np.arange(n_channels)
    samples = (index % 60_000 - 30_000).astype(np.int16)
    samples.flags.writeable = False
    return samples


def block(
    first: int, n_samples: int = 100, n_lost: int = 0, stimuli: tuple[StimMark, ...] = ()
) -> SampleBlock:
    return SampleBlock(samples_of(first, n_samples), first, n_lost, 0, stimuli)


class Bench:
    """A raw writer under test, and what it told."""

    def __init__(self, root: Path, **options: object) -> None:
        self.failures: list[tuple[str, BaseException]] = []
        self.rows: list[RawRecordingRow] = []
        self.node = root / "Record Node 101"
        self.writer = RawWriter(
            self.node,
            on_failure=lambda name, exc: self.failures.append((name, exc)),
            record=self.rows.append,
            **options,  # type: ignore[arg-type]
        )
        self.writer.start()

    def wait_samples(self, n_samples: int) -> None:
        eventually(lambda: self.writer.status().n_samples == n_samples)

    def stop_recording(self) -> None:
        self.writer.stop_recording()
        eventually(lambda: self.writer.status().state is RawState.IDLE)

    def end(self) -> None:
        self.writer.request_stop()
        assert self.writer.join(DEADLINE_S)

    def raw(self) -> list[RawSamples]:
        return read_raw(self.node)

    @property
    def events(self) -> list[tuple[str, str, int]]:
        return [(row.folder.split("/", 1)[1], row.event, row.n_samples) for row in self.rows]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.end()
    assert bench.failures == []


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # in the reader
def test_an_independent_reader_finds_samples_stimuli_and_messages(
    bench: Bench, tmp_path: Path
) -> None:
    bench.writer.start_recording(FORMAT)
    bench.writer.offer(block(1000))
    marks = (StimMark(1150, 0, -1e-6), StimMark(1150, 2, float("nan")), StimMark(1151, 1, 2e-6))
    bench.writer.offer(block(1100, 60, stimuli=marks))
    bench.writer.message(1160, "Anna's note: µV")
    bench.wait_samples(160)
    bench.stop_recording()

    (recording,) = OpenEphysSession(str(tmp_path)).recordnodes[0].recordings
    continuous = recording.continuous[0]
    np.testing.assert_array_equal(continuous.samples, samples_of(1000, 160))
    np.testing.assert_array_equal(continuous.sample_numbers, np.arange(1000, 1160))
    np.testing.assert_allclose(continuous.timestamps, np.arange(1000, 1160) / 20_000, rtol=1e-15)
    assert continuous.metadata.sample_rate == 20_000
    assert continuous.metadata.channel_names == ["A-000", "A-001", "CH3"]
    assert continuous.metadata.bit_volts == [0.195] * 3
    scaled = continuous.get_samples(0, 1)
    np.testing.assert_allclose(scaled, samples_of(1000, 1) * 0.195)

    events = recording.events
    assert events["sample_number"].tolist() == [1150, 1151, 1151, 1152]
    assert sorted(events["state"].tolist()) == [0, 0, 1, 1]
    assert set(events["line"]) == {1}
    assert recording.messages["message"].tolist() == [
        "recording started",
        "stimulus on A-000, -1e-06 A",
        "stimulus on ADC-2, nan A",
        "stimulus on A-001, 2e-06 A",
        "Anna's note: \\xb5V",
    ]
    assert recording.messages["sample_number"].tolist() == [1000, 1150, 1150, 1151, 1160]


def test_the_files_are_as_the_layout_says(bench: Bench) -> None:
    bench.writer.start_recording(FORMAT)
    bench.writer.offer(block(5, 40, stimuli=(StimMark(10, 0, 1e-6), StimMark(11, 0, 1e-6))))
    bench.wait_samples(40)
    bench.stop_recording()
    folder = bench.node / "experiment1/recording1"
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    ttl, messages = "events/MEA-100.raw/TTL", "events/MessageCenter"
    assert names == {
        "structure.oebin",
        "continuous/MEA-100.raw/continuous.dat",
        "continuous/MEA-100.raw/sample_numbers.npy",
        "continuous/MEA-100.raw/timestamps.npy",
        *(f"{ttl}/{n}.npy" for n in ("sample_numbers", "timestamps", "states", "full_words")),
        *(f"{messages}/{n}.npy" for n in ("sample_numbers", "timestamps", "text")),
    }
    data = (folder / "continuous/MEA-100.raw/continuous.dat").read_bytes()
    assert data == samples_of(5, 40).astype("<i2").tobytes()
    # Sample major: the first three values are the three channels of sample 5.
    assert np.frombuffer(data[:6], "<i2").tolist() == [35 - 30_000, 36 - 30_000, 37 - 30_000]
    types = {name: np.load(folder / f"{name}.npy").dtype.str for name in (
        f"{ttl}/states", f"{ttl}/full_words", f"{ttl}/sample_numbers", f"{messages}/text",
    )}  # fmt: skip
    assert list(types.values()) == ["<i2", "<u8", "<i8", "|S512"]
    # Every rise has its fall before the next rise: readers show nothing otherwise.
    assert np.load(folder / ttl / "states.npy").tolist() == [1, -1, 1, -1]
    assert np.load(folder / ttl / "full_words.npy").tolist() == [1, 0, 1, 0]
    assert np.load(folder / ttl / "sample_numbers.npy").tolist() == [10, 11, 11, 12]
    oebin = json.loads((folder / "structure.oebin").read_bytes())
    assert list(oebin) == ["GUI version", "continuous", "events", "spikes"]
    assert oebin["continuous"][0]["folder_name"] == "MEA-100.raw/"
    assert {e["folder_name"] for e in oebin["events"]} == {"MEA-100.raw/TTL/", "MessageCenter/"}
    assert all(channel["units"] == "uV" for channel in oebin["continuous"][0]["channels"])


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


def test_each_gap_begins_a_recording_and_each_restart_an_experiment(bench: Bench) -> None:
    bench.writer.start_recording(FORMAT)
    for each in (block(0), block(100), block(250, n_lost=50), block(350), block(0, n_lost=-1)):
        bench.writer.offer(each)
    bench.writer.offer(block(100))
    bench.stop_recording()
    bench.writer.start_recording(FORMAT)
    bench.writer.offer(block(500))
    bench.stop_recording()
    found = [
        (str(raw.folder.relative_to(bench.node)), raw.first_sample, len(raw.samples))
        for raw in bench.raw()
    ]
    assert found == [
        ("experiment1/recording1", 0, 200),
        ("experiment1/recording2", 250, 200),
        ("experiment2/recording1", 0, 200),
        ("experiment2/recording2", 500, 100),
    ]
    for raw in bench.raw():
        np.testing.assert_array_equal(raw.samples, samples_of(raw.first_sample, len(raw.samples)))
        assert raw.stream_format.sample_rate_hz == 20_000
    assert [event for _, event, _ in bench.events] == [
        "started", "gap", "started", "gap", "started", "closed", "started", "closed",
    ]  # fmt: skip
    assert bench.rows[1].detail == "next sample 250, 50 declared lost"
    assert bench.writer.status().n_recordings == 4


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


def test_a_non_contiguous_and_an_empty_block_are_written_right(bench: Bench) -> None:
    bench.writer.start_recording(FORMAT)
    bench.writer.offer(SampleBlock(samples_of(0, 0), 0, 0, 0))
    wide = samples_of(0, 100, 6)
    bench.writer.offer(SampleBlock(wide[:, ::2], 0, 0, 0))
    bench.writer.offer(SampleBlock(samples_of(100, 0), 100, 0, 0))
    bench.writer.offer(block(100))
    bench.wait_samples(200)
    bench.stop_recording()
    (raw,) = bench.raw()
    np.testing.assert_array_equal(raw.samples[:100], wide[:, ::2])


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


def test_readers_see_the_rows_of_a_running_recording_once_they_are_safe(tmp_path: Path) -> None:
    now_ns = [0]
    bench = Bench(tmp_path, clock_ns=lambda: now_ns[0])
    numbers = bench.node / "experiment1/recording1/continuous/MEA-100.raw/sample_numbers.npy"
    bench.writer.start_recording(FORMAT)
    bench.writer.offer(block(0))
    eventually(lambda: bench.writer.status().is_recording)
    bench.writer.offer(block(100))
    bench.wait_samples(200)
    assert len(np.load(numbers)) == 100

    def are_seen_later() -> bool:
        now_ns[0] += 1_000_000_000
        return len(np.load(numbers)) == 200

    eventually(are_seen_later)
    bench.end()


def test_npy_files_read_at_every_moment(tmp_path: Path) -> None:
    npy = NpyFile(DiskFiles(), tmp_path / "a.npy", "<i8")
    assert np.load(tmp_path / "a.npy").tolist() == []
    npy.append([1, 2])
    assert np.load(tmp_path / "a.npy").tolist() == []
    npy.sync()
    npy.append([3])
    npy.patch_header(npy.n_rows_synced)
    assert np.load(tmp_path / "a.npy", mmap_mode="r").tolist() == [1, 2]
    npy.patch_header(10**18)
    assert (tmp_path / "a.npy").stat().st_size == HEADER_BYTES + 24
    npy.file.close()


def test_a_long_message_is_continued_in_the_next_row(bench: Bench) -> None:
    bench.writer.start_recording(FORMAT)
    bench.writer.offer(block(0))
    bench.writer.message(50, "x" * 1000)
    bench.wait_samples(100)
    bench.stop_recording()
    texts = np.load(bench.node / "experiment1/recording1/events/MessageCenter/text.npy")
    assert [len(text) for text in texts.tolist()] == [len("recording started"), 512, 488]


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


def test_blocks_that_follow_each_other_are_written_at_once(tmp_path: Path) -> None:
    def block_at(first: int, n_lost: int = 0, n_channels: int = 3) -> SampleBlock:
        return SampleBlock(samples_of(first, 10, n_channels), first, n_lost, 0)

    a, b, c, d = block_at(0), block_at(10), block_at(30, 10), block_at(40, 0, 4)
    message = Message(5, "x")
    assert list(runs([a, b, message, c, d])) == [[a, b], message, [c], [d]]
    assert list(runs([])) == []


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
