"""A recording played as an amplifier: in its own time, with its own gaps, and without outputs."""

import itertools
import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from drivers.errors import InstrumentError, InstrumentProtocolError, SafetyLimitError
from drivers.mea.playback.driver import Playback
from drivers.mea.playback.open_recording import open_recording
from drivers.mea.protocol import CurrentPulse, Pattern, SampleBlock
from drivers.permit import Permit, Stimulate
from drivers.safe_state import SafeState

RATE_HZ = 1000.0
N_ROWS = 100
SHARED = Path(os.environ.get("SPIKEBRIDGE_DATA", Path(__file__).parents[2] / "shared" / "data"))
REAL = SHARED / "open-ephys-16ch" / "Record Node 101"


def write_recording(
    folder: Path, numbers: np.ndarray | None = None, n_channels: int = 2, **changes: object
) -> Path:
    """Write a session as Open Ephys lays it out; channel c of row r holds 10 r + c."""
    numbers = np.arange(500, 500 + N_ROWS) if numbers is None else numbers
    stream = folder / "experiment1" / "recording1" / "continuous" / "Amp-1.data"
    stream.mkdir(parents=True)
    rows = 10 * np.arange(len(numbers))[:, None] + np.arange(n_channels)
    rows.astype("<i2").tofile(stream / "continuous.dat")
    np.save(stream / "sample_numbers.npy", numbers.astype(np.int64))
    channels = [{"channel_name": f"CH{c + 1}", "bit_volts": 0.5} for c in range(n_channels)]
    description = {"folder_name": "Amp-1.data/", "sample_rate": RATE_HZ, "channels": channels}
    oebin = folder / "experiment1" / "recording1" / "structure.oebin"
    oebin.write_text(json.dumps({"continuous": [description | changes]}))
    return folder


class Time:
    """A clock that moves when told; waiting moves it as well."""

    def __init__(self) -> None:
        self.now_ns = 10**9

    def __call__(self) -> int:
        self.now_ns += 50_000  # a look at the clock takes a moment, so no wait is for ever
        return self.now_ns


def played(folder: Path, n_samples: int, *, is_looping: bool = False) -> list[SampleBlock]:
    """Play so many samples on a clock that runs ahead of all of them."""
    clock = Time()
    playback = Playback("rec", folder, is_looping=is_looping, clock_ns=clock)
    playback.open()
    playback.start()
    clock.now_ns += 10**12
    blocks: list[SampleBlock] = []
    while sum(len(b.samples) for b in blocks) < n_samples:
        block = playback.read_block(0.01)
        if block is None:
            assert playback.is_finished
            break
        blocks.append(block)
    playback.close()
    return blocks


def test_samples_are_those_of_the_file_and_read_only(tmp_path: Path) -> None:
    blocks = played(write_recording(tmp_path), N_ROWS)
    assert np.concatenate([b.samples for b in blocks])[:, 1].tolist() == [
        10 * row + 1 for row in range(N_ROWS)
    ]
    assert blocks[0].first_sample == 0
    for before, after in itertools.pairwise(blocks):
        assert (after.first_sample, after.n_lost) == (before.end_sample, 0)
    assert all(not b.samples.flags.writeable for b in blocks)
    assert all(len(b.samples) <= 0.01 * RATE_HZ for b in blocks)


def test_end_is_an_end_unless_it_loops(tmp_path: Path) -> None:
    folder = write_recording(tmp_path)
    assert sum(len(b.samples) for b in played(folder, 10 * N_ROWS)) == N_ROWS
    looped = played(folder, 3 * N_ROWS, is_looping=True)
    seams = [b for b in looped if b.n_lost]
    assert [b.n_lost for b in seams] == [-1, -1], "a seam is a declared gap"
    assert [b.first_sample for b in seams] == [N_ROWS, 2 * N_ROWS], "and the index goes on"
    assert all(b.samples[0, 0] == 0 for b in seams)


def test_jump_in_the_recordings_numbers_is_a_gap_of_that_many(tmp_path: Path) -> None:
    numbers = np.r_[0:40, 100:160]
    blocks = played(write_recording(tmp_path, numbers), N_ROWS)
    (gap,) = [b for b in blocks if b.n_lost]
    assert (gap.n_lost, gap.first_sample) == (60, 100)
    assert gap.samples[0, 0] == 400


def test_numbers_that_go_back_are_a_gap_of_unknown_length(tmp_path: Path) -> None:
    numbers = np.r_[100:140, 0:60]
    (gap,) = [b for b in played(write_recording(tmp_path, numbers), N_ROWS) if b.n_lost]
    assert (gap.n_lost, gap.first_sample) == (-1, 40)


def test_blocks_come_when_their_time_has_come_and_late_readers_lose_none(tmp_path: Path) -> None:
    now_ns = 0
    playback = Playback("rec", write_recording(tmp_path), is_looping=False, clock_ns=lambda: now_ns)
    playback.open()
    assert playback.read_block(0.0) is None, "not started"
    playback.start()
    assert playback.read_block(0.0) is None
    now_ns = 4_999_999
    assert playback.read_block(0.0) is None
    now_ns = 5_000_000
    block = playback.read_block(0.0)
    assert block is not None
    assert len(block.samples) == 5
    assert playback.read_block(0.0) is None
    now_ns = 50_000_000
    blocks = []
    while (block := playback.read_block(0.0)) is not None:
        blocks.append(block)
    assert sum(len(b.samples) for b in blocks) == 45
    assert all(b.n_lost == 0 for b in blocks)
    playback.close()


@pytest.mark.parametrize("how", ["stop", "close"])
def test_stop_and_close_wake_a_waiting_reader_at_once(tmp_path: Path, how: str) -> None:
    now_ns, n_looks, is_inside = 0, 0, threading.Event()

    def standing_clock_ns() -> int:
        nonlocal n_looks
        n_looks += 1
        if n_looks == 3:  # start, the reader's deadline, and its first look with the lock held
            is_inside.set()
        return now_ns

    folder = write_recording(tmp_path)
    playback = Playback("rec", folder, is_looping=False, clock_ns=standing_clock_ns)
    playback.open()
    playback.start()
    got: list[SampleBlock | None] = []
    reader = threading.Thread(target=lambda: got.append(playback.read_block(30.0)))
    reader.start()
    assert is_inside.wait(5.0)
    getattr(playback, how)()
    reader.join(2.0)
    was_woken = not reader.is_alive()
    now_ns = 10**12
    playback.stop()
    reader.join(5.0)
    assert was_woken, "the clock stands still: only the wake-up can bring the reader back"
    assert got == [None]
    playback.close()
    with pytest.raises(InstrumentProtocolError, match="not open"):
        playback.read_block(0.0)


def test_it_starts_again_after_make_safe_and_stop(tmp_path: Path) -> None:
    now_ns = 0
    playback = Playback("rec", write_recording(tmp_path), is_looping=False, clock_ns=lambda: now_ns)
    playback.open()
    playback.start()
    assert playback.make_safe() == playback.make_safe()
    playback.stop()
    now_ns = 10**9
    assert playback.read_block(0.0) is None, "stopped"
    playback.start()
    assert playback.read_block(0.0) is None, "time counts from the new start"
    now_ns += 5_000_000
    block = playback.read_block(0.0)
    assert block is not None
    assert block.samples[0, 0] == 0
    playback.close()


def test_a_gap_takes_its_time(tmp_path: Path) -> None:
    now_ns = 0
    folder = write_recording(tmp_path, np.r_[0:5, 65:160])
    playback = Playback("rec", folder, is_looping=False, clock_ns=lambda: now_ns)
    playback.open()
    playback.start()
    now_ns = 69_999_999
    assert playback.read_block(0.0) is not None
    assert playback.read_block(0.0) is None, "5 samples, 60 missing, 5 samples at 1 kHz: 70 ms"
    now_ns = 70_000_000
    block = playback.read_block(0.0)
    assert block is not None
    assert (block.n_lost, block.first_sample) == (60, 65)
    playback.close()


def test_it_cannot_stimulate(tmp_path: Path) -> None:
    playback = Playback("rec", write_recording(tmp_path), is_looping=True)
    playback.open()
    playback.prepare([Pattern(1, ("CH1",), CurrentPulse(1e-6, 1e-4, 1e-6, 1e-4))])
    playback.start()
    permit = Permit(
        instrument="rec",
        action=Stimulate(1),
        number=1,
        expires_ns=time.monotonic_ns() + 10**10,
        is_tripped=lambda: False,
        clock_ns=time.monotonic_ns,
    )
    with pytest.raises(SafetyLimitError, match="playback cannot stimulate"):
        playback.stimulate(permit)
    assert permit.spend("rec") == Stimulate(1), "not spent on a refusal"
    assert playback.make_safe().state is SafeState.BY_CONSTRUCTION
    playback.close()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sample_rate": float("nan")}, "sample rate"),
        ({"sample_rate": 0}, "sample rate"),
        ({"sample_rate": "fast"}, "fast"),
        ({"sample_rate": 10**400}, "too large"),
        ({"num_channels": 7}, "num_channels 7 but 2 channels"),
        ({"channels": [{"channel_name": None, "bit_volts": 1}]}, "channel name None"),
        ({"channels": []}, "one or more"),
        ({"channels": [{"channel_name": "A", "bit_volts": 0.1}] * 2}, "named once"),
        ({"channels": [{"channel_name": "A"}]}, "bit_volts"),
        ({"channels": [{"channel_name": "A", "bit_volts": -1}]}, "positive"),
        (
            {"channels": [{"channel_name": c, "bit_volts": v} for c, v in (("A", 1), ("B", 2))]},
            "one positive number",
        ),
    ],
)
def test_a_description_that_makes_no_sense_is_named(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    folder = write_recording(tmp_path, **changes)
    with pytest.raises(InstrumentProtocolError, match=words):
        Playback("rec", folder, is_looping=False).open()


def test_files_that_do_not_fit_each_other_are_named(tmp_path: Path) -> None:
    folder = write_recording(tmp_path)
    (data,) = folder.rglob("continuous.dat")
    whole = data.read_bytes()
    data.write_bytes(whole[:-1])
    with pytest.raises(InstrumentProtocolError, match="no whole rows"):
        Playback("rec", folder, is_looping=False).open()
    data.write_bytes(whole[:-4])
    with pytest.raises(InstrumentProtocolError, match="100 sample numbers for 99 rows"):
        Playback("rec", folder, is_looping=False).open()
    data.unlink()
    with pytest.raises(InstrumentError, match=r"continuous\.dat"):
        Playback("rec", folder, is_looping=False).open()


def test_sample_numbers_that_are_something_else_are_named(tmp_path: Path) -> None:
    folder = write_recording(tmp_path)
    (numbers,) = folder.rglob("sample_numbers.npy")
    np.save(numbers, np.arange(float(N_ROWS)))
    with pytest.raises(InstrumentProtocolError, match="expected integers"):
        Playback("rec", folder, is_looping=False).open()
    with numbers.open("wb") as archive:
        np.savez(archive, numbers=np.arange(N_ROWS))
    with pytest.raises(InstrumentError, match="cannot be read"):
        Playback("rec", folder, is_looping=False).open()
    numbers.write_bytes(b"")
    with pytest.raises(InstrumentError, match="cannot be read"):
        Playback("rec", folder, is_looping=False).open()


def test_a_folder_without_a_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(InstrumentError, match=str(tmp_path)):
        open_recording(tmp_path)
    with pytest.raises(InstrumentError, match="no such file"):
        open_recording(tmp_path / "nothing")


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no recording at {REAL}")
def test_the_real_recording_plays_as_it_was_recorded() -> None:
    playback = Playback("rec", REAL, is_looping=False, clock_ns=Time())
    playback.open()
    stream_format = playback.stream_format
    assert stream_format.n_channels == 16
    assert stream_format.sample_rate_hz == 40_000.0
    playback.close()
    blocks = played(REAL, 40_000)
    (data,) = (REAL / "experiment1" / "recording1").rglob("continuous.dat")
    expected = np.fromfile(data, "<i2", 16 * 40_000).reshape(-1, 16)
    assert np.array_equal(np.concatenate([b.samples for b in blocks])[:40_000], expected)
