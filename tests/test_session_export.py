"""Exports that others open: NWB without a complaint, a sorting folder, CSV; each taken up again."""

import csv
import datetime as dt
import json
from pathlib import Path

import h5py
import msgspec
import numpy as np
import pytest
import spikeinterface.extractors as se
from nwb_complaints import complaints
from small_session import CHAIN, RATE_HZ, make_session, own_spikes
from spikeinterface.core import read_numpy_sorting_folder

from app.cli import main
from app.config.load import load_site
from app.engine.wiring import metadata_of
from app.recording.reader import open_session
from app.sessions.export import nwb, nwb_samples
from app.sessions.export.csv_tables import export_csv


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_session(tmp_path_factory.mktemp("session"), seconds=2.0, gap=200)


def series_of(path: Path) -> list[np.ndarray]:
    with h5py.File(path) as file:
        return [file[f"acquisition/{name}/data"][:] for name in sorted(file["acquisition"])]


@pytest.mark.filterwarnings("ignore")
def test_nwb_has_all_samples_and_no_complaint(session: Path, tmp_path: Path) -> None:
    assert main(["export", str(session), "--nwb", "--out", str(tmp_path)]) == 0
    path = tmp_path / f"{session.name}.nwb"
    assert complaints(path) == []
    with open_session(session) as reader:
        for raw, samples in zip(reader.raw(), series_of(path), strict=True):
            np.testing.assert_array_equal(raw.samples, samples)
    with h5py.File(path) as file:
        starts = [file[f"acquisition/{n}/starting_time"][()] for n in sorted(file["acquisition"])]
        assert starts == [0.0, pytest.approx((20_000 + 200) / RATE_HZ)]
        names = [name.decode() for name in file["units/neuron_name"][:]]
        assert names == ["7", "BN", "ANpre"]
        index, times = file["units/spike_times_index"][:], file["units/spike_times"][:]
        # Zurich's clock runs 7 s ahead; on ours its spikes begin at the session's start.
        assert times[index[1] : index[2]] == pytest.approx(np.arange(20) / 40)
        voltages = file["events/memristor_events/voltage_v"][:]
        assert sorted(set(voltages)) == [0.5, 1.5]
    recording = se.read_nwb_recording(
        path, electrical_series_path="acquisition/ElectricalSeries001", load_time_vector=False
    )
    assert recording.get_num_channels() == 4
    assert not list(tmp_path.glob("*part*")) + list(tmp_path.glob("*progress*"))


@pytest.mark.filterwarnings("ignore")
def test_a_session_that_states_no_culture_says_what_to_add(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = make_session(tmp_path, seconds=0.2, metadata={})
    assert main(["export", str(session), "--nwb", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "nwbinspector will miss it: a subject ([amplifiers.culture], or [about.culture]" in said
    assert "experimenters ([about]), an institution ([about]); add it to site padova's" in said
    found = complaints(tmp_path / f"{session.name}.nwb")
    assert any("Subject is missing" in sentence for sentence in found)


@pytest.mark.filterwarnings("ignore")
def test_electrodes_carry_their_places_and_a_culture_elsewhere_its_site(tmp_path: Path) -> None:
    site = load_site(CHAIN / "southampton.toml")
    metadata = metadata_of(site, dt.date(2020, 1, 22))
    metadata["electrodes"] = {
        "mea1": [
            {"channel": "A-000", "is_bad": False, "x_um": 100.0, "y_um": 200.0},
            {"channel": "A-001", "is_bad": True},
        ]
    }
    session = make_session(tmp_path, seconds=0.2, metadata=metadata)
    assert main(["export", str(session), "--nwb", "--out", str(tmp_path)]) == 0
    path = tmp_path / f"{session.name}.nwb"
    assert complaints(path) == []
    with h5py.File(path) as file:
        assert b"at site padova and not here" in file["general/subject/description"][()]
        assert file["general/subject/age"][()] == b"P21D"
        table = file["general/extracellular_ephys/electrodes"]
        np.testing.assert_array_equal(table["rel_x"], [100.0, np.nan, np.nan, np.nan])
        assert list(table["is_bad"]) == [False, True, False, False]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("is_damaged", [False, True])
def test_an_interrupted_nwb_export_goes_on(
    session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_damaged: bool
) -> None:
    monkeypatch.setattr(nwb_samples, "CHUNK_SAMPLES", 1000)
    monkeypatch.setattr(nwb, "CHUNK_SAMPLES", 1000)
    monkeypatch.setattr(nwb, "COMPRESSED_FROM_BYTES", 0)
    monkeypatch.setattr(nwb_samples, "FLUSH_BYTES", 1)
    path, told = tmp_path / "a.nwb", []

    class InterruptedExportError(Exception):
        pass

    def until_enough(n: int) -> None:
        told.append(n)
        if sum(told) >= 5000:
            raise InterruptedExportError

    with open_session(session) as reader:
        with pytest.raises(InterruptedExportError):
            nwb.export_nwb(reader, path, until_enough)
        progress = msgspec.json.decode((tmp_path / "a.progress.json").read_bytes())
        assert progress["n_copied"][0] == 4000
        if is_damaged:  # what HDF5 loses without an error: zeros at the tail
            with h5py.File(tmp_path / "a.part.nwb", "r+") as file:
                file["acquisition/ElectricalSeries001/data"][3000:4000] = 0
        again: list[int] = []
        nwb.export_nwb(reader, path, again.append)
        raws = reader.raw()
        n_samples = sum(len(raw.samples) for raw in raws)
        assert is_damaged or sum(again) == n_samples - 4000
        for raw, samples in zip(raws, series_of(path), strict=True):
            np.testing.assert_array_equal(raw.samples, samples)
    assert complaints(path) == []


@pytest.mark.filterwarnings("ignore")
def test_spikeinterface_reads_the_sorting_folder(session: Path, tmp_path: Path) -> None:
    assert main(["export", str(session), "--spikeinterface", "--out", str(tmp_path)]) == 0
    sorting = read_numpy_sorting_folder(tmp_path / "sorting")
    spikes = own_spikes(2.0)
    fired = spikes[(spikes["kind"] != 0) & (spikes["neuron"] == 256)]
    assert sorting.get_sampling_frequency() == RATE_HZ
    assert sorted(sorting.unit_ids) == [7, 256]
    first = sorting.get_unit_spike_train(256, segment_index=0)
    inside = fired["sample_index"][fired["sample_index"] < 4000 + 20_000] - 4000
    np.testing.assert_array_equal(first, inside)
    second = sorting.get_unit_spike_train(256, segment_index=1)
    n_in_gap = np.sum((fired["sample_index"] >= 24_000) & (fired["sample_index"] < 24_200))
    assert len(first) + len(second) + n_in_gap == len(fired)


def test_csv_goes_on_after_a_torn_line(session: Path, tmp_path: Path) -> None:
    with open_session(session) as reader:
        whole = {path.name: path.read_bytes() for path in export_csv(reader, tmp_path / "whole")}
        assert {"spikes.csv", "device_pulses.csv", "notes.csv"} <= set(whole)
        for name in ("spikes.csv", "notes.csv"):
            for cut in (0, 5, len(whole[name]) // 2, len(whole[name]) - 3):
                folder = tmp_path / f"{name}{cut}"
                folder.mkdir()
                (folder / f"{name}.part").write_bytes(whole[name][:cut])
                export_csv(reader, folder)
                assert (folder / name).read_bytes() == whole[name]
    rows = list(csv.DictReader(whole["notes.csv"].decode().splitlines()))
    assert [row["text"] for row in rows][-1] == "µ-electrode checked"


def test_nothing_is_exported_beside_a_recording_unless_asked(
    session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import small_session

    running = small_session.new_session(session.parent)
    try:
        arguments = ["export", str(session), "--spikeinterface", "--out", str(tmp_path)]
        assert main(arguments) == 1
        assert "is being recorded beside it" in capsys.readouterr().err
        assert main([*arguments, "--now"]) == 0
    finally:
        running._session_lock.release()


def test_an_archive_is_verified_and_the_session_marked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = make_session(tmp_path / "here", seconds=0.1)
    target = tmp_path / "there"
    assert main(["archive", str(session), str(target)]) == 0
    assert "verified" in capsys.readouterr().out
    mark = json.loads((session / "ARCHIVED.json").read_text())
    assert mark["target"] == str((target / session.name).resolve())
    names = {p.relative_to(session) for p in session.rglob("*") if p.is_file()}
    copied = {p.relative_to(target / session.name) for p in target.rglob("*") if p.is_file()}
    assert {str(name) for name in names - copied} == {"ARCHIVED.json", "in-use.lock"}
    with open_session(target / session.name) as copy:
        assert len(copy.spikes()) > 0
    # An interrupted copy goes on; a file that is wrong there is copied anew.
    (target / session.name / "events.sqlite").write_bytes(b"torn")
    assert main(["archive", str(session), str(target)]) == 0
    assert main(["info", str(target / session.name)]) == 0


def test_what_does_not_match_its_checksum_is_not_archived(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = make_session(tmp_path / "here", seconds=0.1)
    (dat,) = session.rglob("continuous.dat")
    data = bytearray(dat.read_bytes())
    data[7] ^= 1
    dat.write_bytes(data)
    assert main(["archive", str(session), str(tmp_path / "there")]) == 1
    assert "continuous.dat: differs" in capsys.readouterr().err
    assert not (session / "ARCHIVED.json").exists()
