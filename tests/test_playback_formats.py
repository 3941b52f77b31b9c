"""Recordings of other formats as an amplifier: what is read, converted and refused."""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from intan_files import write_rhd, write_rhs
from recordings import RATE_HZ, STEP_UV, spiking, write_wav

from app.cli import main
from drivers.errors import InstrumentError, InstrumentProtocolError
from drivers.mea.playback.driver import Playback
from drivers.mea.playback.open_recording import open_recording
from drivers.mea.playback.spikeinterface_streams import read_stream
from drivers.mea.protocol import StreamFormat

N_ROWS = 400


def save(
    folder: Path,
    samples: np.ndarray,
    gains: list[float] | None,
    offsets: list[float] | None = None,
    n_segments: int = 1,
) -> Path:
    """Save samples as SpikeInterface's own folder."""
    core = pytest.importorskip("spikeinterface.core")
    recording = core.NumpyRecording([samples] * n_segments, sampling_frequency=RATE_HZ)
    if gains is not None:
        recording.set_channel_gains(gains)
        recording.set_channel_offsets(offsets or [0.0] * samples.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it cannot save where an array in memory came from
        recording.save(folder=folder, verbose=False, n_jobs=1, progress_bar=False)
    return folder


def rows_of(path: Path) -> np.ndarray:
    """Return all samples in microvolts."""
    recording = open_recording(path)
    step_uv = recording.stream_format.microvolts_per_count
    return np.asarray(recording.samples[0 : len(recording.samples)] * step_uv)


def test_int16_with_one_gain_stays_as_it_is(tmp_path: Path) -> None:
    samples = spiking(n_channels=3).samples[:N_ROWS]
    recording = open_recording(save(tmp_path / "r", samples, [STEP_UV] * 3))
    assert recording.stream_format.microvolts_per_count == STEP_UV
    assert recording.stream_format.channel_names == ("0", "1", "2")
    assert np.array_equal(recording.samples[100:200], samples[100:200])


def test_unsigned_samples_lose_their_offset_exactly(tmp_path: Path) -> None:
    samples = spiking(n_channels=2).samples[:N_ROWS]
    unsigned = (samples.astype(np.int32) + 32768).astype(np.uint16)
    offsets = [-32768 * STEP_UV] * 2
    recording = open_recording(save(tmp_path / "r", unsigned, [STEP_UV] * 2, offsets))
    assert np.array_equal(recording.samples[0:N_ROWS], samples)


def test_gains_that_differ_become_one_step(tmp_path: Path) -> None:
    samples = spiking(n_channels=2).samples[:N_ROWS]
    found_uv = rows_of(save(tmp_path / "r", samples, [0.2, 0.4], [10.0, 0.0]))
    wanted_uv = samples * np.array([0.2, 0.4]) + np.array([10.0, 0.0])
    assert np.abs(found_uv - wanted_uv).max() <= 0.195 / 2 + 1e-6


def test_what_is_no_signal_is_pegged_and_not_wrapped(tmp_path: Path) -> None:
    samples = np.zeros((N_ROWS, 1), np.float32)
    samples[10:14, 0] = (np.nan, np.inf, -np.inf, 1e9)
    recording = open_recording(save(tmp_path / "r", samples, [1.0]))
    assert recording.samples[9:15].ravel().tolist() == [0, 32767, 32767, -32768, 32767, 0]


def test_it_plays_as_an_amplifier(tmp_path: Path) -> None:
    samples = spiking(n_channels=2).samples[:N_ROWS]
    playback = Playback("rec", save(tmp_path / "r", samples, [STEP_UV] * 2), is_looping=False)
    playback.open()
    playback.start()
    blocks = []
    while not playback.is_finished:
        block = playback.read_block(0.1)
        if block is not None:
            assert not block.samples.flags.writeable
            blocks.append(block.samples)
    playback.close()
    assert np.array_equal(np.concatenate(blocks), samples)


def test_nwb_of_another_laboratory_is_read(tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    pytest.importorskip("spikeinterface.extractors")
    from datetime import UTC, datetime

    made = pynwb.NWBFile(
        session_description="a session",
        identifier="id",
        session_start_time=datetime(2024, 1, 1, tzinfo=UTC),
    )
    device = made.create_device(name="amplifier")
    group = made.create_electrode_group(name="g", description="d", location="l", device=device)
    for c in range(2):
        made.add_electrode(x=100.0 * c, y=50.0, z=0.0, location="l", group=group)
    samples = spiking(n_channels=2).samples[:N_ROWS]
    region = made.create_electrode_table_region(region=[0, 1], description="all")
    made.add_acquisition(
        pynwb.ecephys.ElectricalSeries(
            name="raw",
            data=samples,
            electrodes=region,
            rate=RATE_HZ,
            conversion=STEP_UV * 1e-6,
        )
    )
    path = tmp_path / "a.nwb"
    with pynwb.NWBHDF5IO(path, "w") as file:
        file.write(made)
    assert rows_of(path) == pytest.approx(samples * STEP_UV, abs=1e-3)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InstrumentError, match=r"a\.nwb"):
        open_recording(path)


def test_wav_plays_with_the_step_that_is_told(tmp_path: Path) -> None:
    samples = spiking(n_channels=2).samples[:N_ROWS]
    playback = Playback(
        "rec",
        write_wav(tmp_path / "a.WAV", samples),
        is_looping=False,
        wav_microvolts_per_count=STEP_UV,
    )
    playback.open()
    assert playback.stream_format.microvolts_per_count == STEP_UV
    assert playback.stream_format.sample_rate_hz == RATE_HZ
    playback.close()


@pytest.mark.parametrize(
    ("gains", "n_segments", "words"),
    [
        (None, 1, "how many uV a count is"),
        ([0.2, 0.0], 1, "gain is 0"),
        ([0.2, float("nan")], 1, "no number"),
        ([0.2, 0.2], 2, "2 segments"),
    ],
)
def test_a_stream_that_cannot_be_played_is_named(
    gains: list[float] | None, n_segments: int, words: str, tmp_path: Path
) -> None:
    samples = spiking(n_channels=2).samples[:N_ROWS]
    folder = save(tmp_path / "r", samples, gains, n_segments=n_segments)
    with pytest.raises(InstrumentProtocolError, match=words):
        open_recording(folder)


def test_a_reader_that_does_not_exist_is_named(tmp_path: Path) -> None:
    pytest.importorskip("spikeinterface.extractors")
    (tmp_path / "a.xyz").write_bytes(b"?")
    with pytest.raises(InstrumentError, match=r"no reader 'abacus'; there are .*intan"):
        open_recording(tmp_path / "a.xyz", reader="abacus")
    with pytest.raises(InstrumentError, match="of no format that is known"):
        open_recording(tmp_path / "a.xyz")
    with pytest.raises(InstrumentError, match="reader 'intan' says"):
        open_recording(tmp_path / "a.xyz", reader="intan")


def test_a_maxwell_file_is_found_among_the_many_formats_of_its_name(tmp_path: Path) -> None:
    """Layout of Maxwell's older files (2016): `sig`, `settings`, `mapping`."""
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("neo")
    n_channels = 3
    samples = (spiking(n_channels=n_channels).samples[:N_ROWS] // 8 + 512).astype(np.uint16)
    mapping = np.zeros(
        n_channels, [("channel", "<i4"), ("electrode", "<i4"), ("x", "<f8"), ("y", "<f8")]
    )
    mapping["channel"] = mapping["electrode"] = np.arange(n_channels)
    mapping["x"] = 17.5 * np.arange(n_channels)
    path = tmp_path / "a.raw.h5"
    with h5py.File(path, "w") as file:
        file["version"] = np.array([b"20160704"])
        file["sig"] = samples.T
        file["mapping"] = mapping
        file["settings/gain"] = np.array([512.0])
        file["settings/lsb"] = np.array([6.3e-6])
        file["settings/hpf"] = np.array([300.0])
        file["time"] = np.array([b"start: 2020"])
    recording = open_recording(path)
    assert recording.stream_format.n_channels == n_channels
    assert recording.stream_format.sample_rate_hz == RATE_HZ
    assert recording.stream_format.microvolts_per_count == pytest.approx(6.3)
    middle = samples.astype(np.int64) - recording.samples[0:N_ROWS]
    assert np.ptp(middle) == 0, "the same constant taken from every sample"
    assert recording.positions_um is not None
    assert recording.positions_um[:, 0].tolist() == [0.0, 17.5, 35.0]
    del recording
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(InstrumentError, match="reader 'maxwell' says"):
        open_recording(path)


def test_a_multi_channel_systems_file_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    """Layout: Multi Channel Systems, HDF5 protocol; 24-bit counts of 59.6 nV."""
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("spikeinterface.extractors")
    samples = spiking(n_channels=2).samples[:N_ROWS].astype(np.int32) * 7
    info = np.zeros(
        2, [("ChannelID", "<i4"), ("Label", "S8"), ("Unit", "S8"), ("Exponent", "<i4"),
            ("ADZero", "<i4"), ("Tick", "<i8"), ("ConversionFactor", "<i8")]
    )  # fmt: skip
    info["ChannelID"], info["Label"], info["Unit"] = (1, 2), (b"A1", b"A2"), b"V"
    info["Exponent"], info["Tick"], info["ConversionFactor"] = -12, 50, 59_605
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        stream = file.create_group("Data/Recording_0/AnalogStream/Stream_0")
        stream["ChannelData"] = samples.T
        stream["ChannelDataTimeStamps"] = np.array([[0, 0, N_ROWS - 1]])
        stream["InfoChannel"] = info
    recording = open_recording(path)
    assert recording.stream_format.channel_names == ("Ch1", "Ch2")
    assert recording.stream_format.sample_rate_hz == pytest.approx(RATE_HZ)
    step_uv = recording.stream_format.microvolts_per_count
    found_uv = recording.samples[0:N_ROWS] * step_uv
    assert found_uv == pytest.approx(samples * 0.059605, abs=step_uv / 2 + 1e-6)


@pytest.mark.parametrize("write", [write_rhd, write_rhs])
def test_the_electrodes_of_an_intan_file_are_played_and_not_its_other_streams(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    pytest.importorskip("neo")
    samples = spiking(n_channels=3).samples[:1280]
    path = tmp_path / f"a.{write.__name__[-3:]}"
    recording = open_recording(write(path, samples, RATE_HZ))
    assert recording.stream_format == StreamFormat(("A-000", "A-001", "A-002"), RATE_HZ, 0.195)
    np.testing.assert_array_equal(recording.samples[0:1280], samples)


def test_a_stream_that_is_asked_for_is_taken_or_refused(tmp_path: Path) -> None:
    pytest.importorskip("neo")
    path = write_rhd(tmp_path / "a.rhd", spiking().samples[:1280], RATE_HZ, n_auxiliary=2)
    auxiliary = open_recording(path, stream="RHD2000 auxiliary input channel")
    assert auxiliary.stream_format.sample_rate_hz == RATE_HZ / 4
    with pytest.raises(InstrumentError, match=r"a\.rhd: .*other.* is not in .*RHD2000 amplifier"):
        open_recording(path, stream="other")
    with pytest.raises(InstrumentProtocolError, match="no streams of which 'x' could be one"):
        open_recording(write_wav(tmp_path / "a.wav", spiking().samples[:100]), stream="x")


class SeveralWells:
    """A reader of a file with several streams of electrodes, as Neo describes them."""

    NeoRawIOClass = "WellsRawIO"
    header: ClassVar = {
        "signal_streams": np.array([("w1", "0"), ("w2", "1")], [("name", "U9"), ("id", "U9")]),
        "signal_channels": np.array(
            [("uV", "0"), ("uV", "1")], [("units", "U9"), ("stream_id", "U9")]
        ),
    }

    def __call__(self, _path: Path, stream_name: str | None = None) -> str:
        if stream_name is None:
            raise ValueError("this reader has several streams")
        return stream_name

    def map_to_neo_kwargs(self, _path: Path) -> dict[str, object]:
        return {}

    def get_neo_io_reader(self, _raw_class: str) -> "SeveralWells":
        return self


def test_streams_of_which_any_may_be_meant_are_named(tmp_path: Path) -> None:
    with pytest.raises(InstrumentProtocolError, match=r"2 streams in uV; say which .*'w1', 'w2'"):
        read_stream(SeveralWells(), tmp_path, "", {})
    assert read_stream(SeveralWells(), tmp_path, "w2", {}) == "w2"


def test_a_biocam_file_is_read_with_its_electrode_map(tmp_path: Path) -> None:
    pytest.importorskip("neo")
    h5py = pytest.importorskip("h5py")
    counts = np.random.default_rng(3).integers(1000, 3000, (N_ROWS, 16)).astype("<u2")
    said = {
        "BitDepth": np.uint8(12), "MaxVolt": 4125.0, "MinVolt": -4125.0, "NRecFrames": N_ROWS,
        "SamplingRate": RATE_HZ, "SignalInversion": 1.0,
    }  # fmt: skip
    with h5py.File(tmp_path / "a.brw", "w") as file:
        for name, value in said.items():
            file[f"3BRecInfo/3BRecVars/{name}"] = np.array([value])
        places = [(row, column) for row in range(1, 5) for column in range(1, 5)]
        file["3BRecInfo/3BMeaStreams/Raw/Chs"] = np.array(places, [("Row", "i2"), ("Col", "i2")])
        file["3BData/Raw"] = counts.reshape(-1)
        file["3BData"].attrs["Version"] = 102
    recording = open_recording(tmp_path / "a.brw")
    step_uv = recording.stream_format.microvolts_per_count
    assert step_uv == pytest.approx(8250 / 4096)
    found_uv = recording.samples[0:N_ROWS] * step_uv
    assert found_uv == pytest.approx(counts * step_uv - 4125.0)
    assert recording.positions_um is not None
    assert recording.positions_um.shape == (16, 2)


def test_a_damaged_intan_file_is_named(tmp_path: Path) -> None:
    pytest.importorskip("neo")
    (tmp_path / "a.rhd").write_bytes(bytes(64))
    with pytest.raises(
        InstrumentError, match=r"a\.rhd: cannot be read by SpikeInterface; reader 'intan' says"
    ):
        open_recording(tmp_path / "a.rhd")


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "spikeinterface", None)
    monkeypatch.setitem(sys.modules, "spikeinterface.extractors", None)
    (tmp_path / "a.nwb").write_bytes(b"?")
    playback = Playback("rec", tmp_path / "a.nwb", is_looping=False)
    with pytest.raises(InstrumentError, match=r"pip install 'spikebridge\[playback\]'"):
        playback.open()
    assert main(["detect", str(tmp_path / "a.nwb")]) == 2
    error = capsys.readouterr().err
    assert "spikebridge[playback]" in error
    assert len(error.splitlines()) == 1
