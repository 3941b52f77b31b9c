"""`spikebridge detect`: what goes in, what comes out, and what is refused in one sentence."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from recordings import (
    RATE_HZ,
    STEP_UV,
    Truth,
    spiking,
    write_open_ephys,
    write_probe,
    write_raw,
    write_wav,
)

from app.cli import main
from app.detect import figure, results
from app.exit_codes import ExitCode

RAW = ["--raw", "--rate", str(RATE_HZ), "--n-channels", "4", "--uv-per-bit", str(STEP_UV)]


@pytest.fixture(scope="module")
def truth() -> Truth:
    return spiking()


@pytest.fixture(autouse=True)
def _figures_only_where_looked_at(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawing takes longer than everything else."""
    if "is_drawn" not in request.fixturenames:
        monkeypatch.setattr(figure, "draw_figure", lambda *_args: None)


@pytest.fixture
def is_drawn() -> bool:
    return True


def run(recording: Path, out: Path, *arguments: str) -> dict[str, object]:
    assert main(["detect", str(recording), "--out", str(out), "--no-progress", *arguments]) == 0
    result: dict[str, object] = json.loads((out / "summary.json").read_text())
    return result


def spikes_of(out: Path) -> list[dict[str, str]]:
    with (out / "spikes.csv").open() as file:
        return list(csv.DictReader(file))


def assert_found(out: Path, truth: Truth, names: list[str]) -> None:
    """Every spike within 0.25 ms on its channel, and nothing else."""
    rows = spikes_of(out)
    for name, troughs in zip(names, truth.troughs, strict=True):
        found = np.array([int(r["trough_sample"]) for r in rows if r["channel"] == name])
        assert len(found) == len(troughs), name
        assert np.all(np.abs(found - troughs) <= 5), name


@pytest.mark.parametrize("kind", ["raw", "wav", "open ephys"])
def test_every_input_gives_the_spikes_that_are_in_it(
    kind: str, truth: Truth, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    if kind == "raw":
        summary = run(write_raw(tmp_path / "a.bin", truth.samples), out, *RAW)
    elif kind == "wav":
        wav = write_wav(tmp_path / "a.wav", truth.samples)
        summary = run(wav, out, "--uv-per-bit", str(STEP_UV))
    else:
        summary = run(write_open_ephys(tmp_path / "session", truth.samples), out)
    assert summary["n_spikes"] == 80
    assert summary["n_channels"] == 4
    assert_found(out, truth, ["CH1", "CH2", "CH3", "CH4"])


@pytest.mark.parametrize("with_map", [False, True])
def test_the_figure_is_drawn(with_map: bool, tmp_path: Path, is_drawn: bool) -> None:
    truth = spiking(n_channels=6)
    truth.samples[:, 4] = 7
    recording = write_open_ephys(tmp_path / "session", truth.samples)
    probe = write_probe(tmp_path / "map.json", 4, [0, 1, 4, 5])
    arguments = ["--bad-channels", "CH2"] + (["--probe", str(probe)] if with_map else [])
    run(recording, tmp_path / "out", *arguments)
    image = matplotlib.image.imread(tmp_path / "out" / "summary.png")
    assert image.shape[0] > 500
    assert len(np.unique(image[:, :, 0])) > 50, "more than a frame"


def test_spikeinterface_reads_the_sorting_in_one_line(truth: Truth, tmp_path: Path) -> None:
    core = pytest.importorskip("spikeinterface.core")
    run(write_raw(tmp_path / "a.bin", truth.samples), tmp_path / "out", *RAW)
    sorting = core.read_numpy_sorting_folder(tmp_path / "out" / "sorting")
    assert list(sorting.unit_ids) == ["CH1", "CH2", "CH3", "CH4"]
    assert sorting.sampling_frequency == RATE_HZ
    loaded = core.load(tmp_path / "out" / "sorting")
    assert loaded.to_spike_vector().tolist() == sorting.to_spike_vector().tolist()
    train = sorting.get_unit_spike_train("CH2", segment_index=0)
    assert np.all(np.abs(train - truth.troughs[1]) <= 5)


def test_chosen_channels_are_those_that_are_named_or_counted(truth: Truth, tmp_path: Path) -> None:
    recording = write_raw(tmp_path / "a.bin", truth.samples)
    run(recording, tmp_path / "out", *RAW, "--channels", "CH4", "0-1", "--bad-channels", "1")
    with (tmp_path / "out" / "channels.csv").open() as file:
        rows = {row["channel"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["CH1", "CH2", "CH4"]
    assert [row["n_spikes"] for row in rows.values()] == ["20", "0", "20"]
    assert rows["CH2"]["is_bad"] == "1"
    assert {r["channel"] for r in spikes_of(tmp_path / "out")} == {"CH1", "CH4"}


def test_settings_reach_the_detector(truth: Truth, tmp_path: Path) -> None:
    recording = write_raw(tmp_path / "a.bin", truth.samples)
    run(recording, tmp_path / "pos", *RAW, "--polarity", "pos", "--threshold-sigma", "20")
    assert spikes_of(tmp_path / "pos") == []
    summary = run(recording, tmp_path / "slow", *RAW, "--dead-time-ms", "1.5")
    assert summary["detector"]["dead_time_s"] == 0.0015  # type: ignore[index]
    summary = run(recording, tmp_path / "band", *RAW, "--band", "500", "5000")
    assert summary["detector"]["band_hz"] == [500, 5000]  # type: ignore[index]


def test_a_cold_start_finds_nothing_in_the_first_second(truth: Truth, tmp_path: Path) -> None:
    recording = write_raw(tmp_path / "a.bin", truth.samples)
    run(recording, tmp_path / "cold", *RAW, "--cold-start")
    rows = spikes_of(tmp_path / "cold")
    assert rows
    assert min(float(r["time_s"]) for r in rows) >= 1.0


def test_map_gives_the_places_of_the_channels(truth: Truth, tmp_path: Path) -> None:
    recording = write_open_ephys(tmp_path / "session", truth.samples)
    probe = write_probe(tmp_path / "map.json", 4, [3, 2, 1, 0])
    run(recording, tmp_path / "out", "--probe", str(probe), "--channels", "CH1", "CH4")
    with (tmp_path / "out" / "channels.csv").open() as file:
        places = {row["channel"]: (row["x_um"], row["y_um"]) for row in csv.DictReader(file)}
    assert places == {"CH1": ("300.0", "50.0"), "CH4": ("0.0", "50.0")}


def test_a_gap_is_told_and_makes_no_spike(tmp_path: Path) -> None:
    truth = spiking()
    numbers = np.arange(len(truth.samples))
    numbers[20_000:] += 5_000
    samples = truth.samples.copy()
    samples[20_000:] += 4_000  # 800 uV: a step that would cross every threshold
    summary = run(write_open_ephys(tmp_path / "session", samples, numbers), tmp_path / "out")
    assert summary["gaps"] == [{"row": 20_000, "n_lost": 5_000}]
    rows = [int(r["trough_sample"]) for r in spikes_of(tmp_path / "out")]
    wanted = np.sort(np.concatenate(truth.troughs))
    assert all(np.abs(wanted - row).min() <= 5 for row in rows)


def test_inputs_in_volts_are_left_out(truth: Truth, tmp_path: Path) -> None:
    summary = run(write_open_ephys(tmp_path / "s", truth.samples, n_adc=1), tmp_path / "out")
    assert summary["n_channels"] == 3


def test_what_else_lies_in_the_folder_is_told_and_can_be_named(
    truth: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_open_ephys(tmp_path / "s", truth.samples)
    first = folder / "Record Node 101" / "experiment1" / "recording1"
    (stream,) = (first / "continuous").iterdir()
    for name, n_channels in (("B-2.daq", 0), ("C-3.other", 2)):
        shutil.copytree(stream, stream.with_name(name))
        truth.samples[:, :n_channels].tofile(stream.with_name(name) / "continuous.dat")
    said = json.loads((first / "structure.oebin").read_text())
    (described,) = said["continuous"]
    daq = [{"channel_name": "ADC1", "bit_volts": 1e-4, "units": "V"}]
    said["continuous"] = [
        {**described, "folder_name": "B-2.daq/", "channels": daq},
        described,
        {**described, "folder_name": "C-3.other/", "stream_name": "other",
         "channels": described["channels"][:2]},
    ]  # fmt: skip
    (first / "structure.oebin").write_text(json.dumps(said))
    shutil.copytree(first, first.with_name("recording2"))
    summary = run(folder, tmp_path / "out")
    assert summary["n_channels"] == 4, "the first stream with electrodes"
    rest = ["stream B-2.daq", "stream C-3.other", "Record Node 101/experiment1/recording2"]
    assert summary["not_read"] == rest
    assert f"not read: {', '.join(rest)}; name its folder" in capsys.readouterr().err
    assert run(first, tmp_path / "other", "--stream", "other")["n_channels"] == 2
    assert main(["detect", str(first), "--stream", "none"]) == ExitCode.USAGE
    assert "no streams are called 'none'; there are B-2.daq, A-1.d" in capsys.readouterr().err


def test_the_last_spike_of_a_file_is_found(tmp_path: Path) -> None:
    truth = spiking(n_channels=2)
    cut = truth.samples[: truth.troughs[1][-1] + 5]
    layout = [*RAW[:4], "2", *RAW[5:]]
    run(write_raw(tmp_path / "a.bin", cut), tmp_path / "out", *layout)
    assert abs(int(spikes_of(tmp_path / "out")[-1]["trough_sample"]) - len(cut)) <= 10


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "no such file"),
        (["a.bin", "--raw", "--rate", "20000"], "--raw needs --n-channels, --uv-per-bit"),
        (["a.bin", "--rate", "20000"], "only with --raw"),
        (["a.bin", *RAW[:4], "3", "--uv-per-bit", "1"], "no whole rows of 3"),
        (["a.bin", *RAW[:4], "0", "--uv-per-bit", "1"], "0 channels, allowed 1"),
        (["a.bin", *RAW, "--band", "500", "100"], "edges must rise"),
        (["a.bin", *RAW, "--band", "500", "10000"], "half the sample rate"),
        (["a.bin", *RAW, "--channels", "CH9"], "CH9' is not in the recording: CH1, CH2"),
        (["a.bin", *RAW, "--channels", "2-7"], "has 4, counted from 0"),
        (["a.bin", *RAW, "--bad-channels", "X"], "channel 'X' is not in the recording"),
        (["a.bin", *RAW, "--probe", "a.bin"], "not a probeinterface file"),
        (["a.bin", *RAW, "--probe", "none.json"], "no such file"),
        (["a.bin", *RAW, "--probe", "wide.json"], "device channel 4 of 4 channels"),
        (["a.bin", *RAW, "--bad-channels", "0-3"], "every channel that was chosen is a bad one"),
        (["a.bin", *RAW, "--channels", "CH1", "--bad-channels", "CH2"], "CH2 is not in the stream"),
        (["a.bin"], "if these are plain int16 rows, say so with --raw"),
        (["zero.bin", *RAW], "zero.bin: holds no samples"),
        (["bytes.wav"], "cannot be read as WAV"),
        (["head.wav"], "it ends before its samples begin"),
        (["wide.wav"], "24 bits per sample"),
        (["cut.wav"], "was it cut off"),
        (["empty"], "no format that is known"),
        (["none.wav"], "holds no samples"),
    ],
)
def test_bad_input_is_one_sentence_and_code_2(
    arguments: list[str],
    words: str,
    truth: Truth,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_raw(tmp_path / "a.bin", truth.samples[:1000])
    write_probe(tmp_path / "wide.json", 5, [0, 1, 2, 3, 4])
    (tmp_path / "bytes.wav").write_bytes(b"no RIFF at all" * 9)
    write_wav(tmp_path / "wide.wav", truth.samples[:999], sample_bytes=3)
    whole = write_wav(tmp_path / "cut.wav", truth.samples[:1000]).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[:-4000])
    (tmp_path / "head.wav").write_bytes(whole[:20])
    (tmp_path / "zero.bin").write_bytes(b"")
    write_wav(tmp_path / "none.wav", truth.samples[:0])
    (tmp_path / "empty").mkdir()
    assert main(["detect", *arguments, "--no-progress"]) == ExitCode.USAGE
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.glob("*-spikes"))


def test_earlier_results_are_not_lost_unasked(
    truth: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = write_raw(tmp_path / "a.bin", truth.samples)
    run(recording, tmp_path / "out", *RAW)
    before = (tmp_path / "out" / "spikes.csv").read_bytes()
    again = ["detect", str(recording), "--out", str(tmp_path / "out"), "--polarity", "pos", *RAW]
    assert main(again) == ExitCode.USAGE
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "out" / "spikes.csv").read_bytes() == before
    run(recording, tmp_path / "out", *RAW, "--polarity", "pos", "--overwrite")
    assert (tmp_path / "out" / "spikes.csv").read_bytes() != before


def test_progress_goes_to_standard_error_and_json_to_standard_output(
    truth: Truth, tmp_path: Path
) -> None:
    recording = write_raw(tmp_path / "a.bin", truth.samples)
    command = [sys.executable, "-m", "app.cli", "detect", str(recording), *RAW, "--json"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["n_spikes"] == 80
    assert "100%" in done.stderr
    assert "80 spikes on 4 channels" in done.stderr


def test_channels_whose_noise_never_became_known_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = spiking().samples[:4000]
    recording = write_raw(tmp_path / "a.bin", samples)
    summary = run(recording, tmp_path / "out", *RAW, "--bad-channels", "CH2")
    assert summary["unsettled_channels"] == ["CH1", "CH3", "CH4"]
    assert "CH1, CH3, CH4: noise never became known" in capsys.readouterr().err


def test_channels_that_were_not_heard_are_not_taken_for_silent_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = spiking(n_channels=4).samples
    samples[:, 0] = 7
    samples[20_000:30_000, 1] = 32767
    samples[:, 2] = np.where(np.arange(len(samples)) // 20 % 2, 500, -500)
    recording = write_raw(tmp_path / "a.bin", samples)
    summary = run(recording, tmp_path / "out", *RAW)
    told = capsys.readouterr().err
    assert summary["dead_channels"] == ["CH1"]
    assert summary["blanked_channels"] == ["CH2"]
    assert "CH1: noise below the floor" in told
    assert "CH2: not searched for more than a twentieth of the time" in told
    with (tmp_path / "out" / "channels.csv").open() as file:
        blanked_s = [float(row["blanked_s"]) for row in csv.DictReader(file)]
    assert blanked_s[1] == pytest.approx(0.5, abs=0.05)
    assert max(blanked_s[0], *blanked_s[2:]) < 0.05


def test_a_disk_that_refuses_is_one_sentence(
    truth: Truth,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results, "write_spikes", refuse)
    recording = write_raw(tmp_path / "a.bin", truth.samples)
    command = ["detect", str(recording), "--out", str(tmp_path / "out"), "--no-progress", *RAW]
    assert main(command) == ExitCode.USAGE
    error = capsys.readouterr().err
    assert "out: cannot be written: [Errno 28] No space left on device" in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out" / "summary.json").exists(), "nothing says that they are whole"
