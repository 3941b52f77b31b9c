"""Raw data on disk: what an independent reader and plain NumPy find there."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from faulty_files import eventually
from open_ephys.analysis import Session as OpenEphysSession
from raw_bench import FORMAT, Bench, block, samples_of

from app.recording.files import DiskFiles
from app.recording.npy_file import HEADER_BYTES, NpyFile
from app.recording.raw_ring import Message, runs
from drivers.mea.protocol import SampleBlock, StimMark


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


def test_blocks_that_follow_each_other_are_written_at_once(tmp_path: Path) -> None:
    def block_at(first: int, n_lost: int = 0, n_channels: int = 3) -> SampleBlock:
        return SampleBlock(samples_of(first, 10, n_channels), first, n_lost, 0)

    a, b, c, d = block_at(0), block_at(10), block_at(30, 10), block_at(40, 0, 4)
    message = Message(5, "x")
    assert list(runs([a, b, message, c, d])) == [[a, b], message, [c], [d]]
    assert list(runs([])) == []
