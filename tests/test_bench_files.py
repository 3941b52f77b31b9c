"""Figures and HDF5 of the bench, from few points."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from app.bench import figures
from app.bench.arc_csv import read_session
from app.bench.drawing import draw_folder, note_of
from app.bench.forms import BY_NAME
from app.bench.hdf5 import write_hdf5
from app.bench.keeping import as_json, line_of
from app.bench.switching_model import Branch, Responses, SwitchingModel
from app.core.measured import Point

POINT = Point(
    time_ns=5,
    wordline=1,
    bitline=2,
    device="a",
    tag="CTS",
    resistance_ohm=5000.0,
    read_voltage_v=0.5,
    amplitude_v=0.5,
    width_s=0.0,
)
BRANCH = Branch(rate_per_ohm_s=1e-3, threshold_v=1.0, slope_v=0.3, bound_ohm=20_000.0)
MODEL = SwitchingModel(reference_v=0.5, positive=BRANCH, negative=BRANCH)


def pulse(tag: str, amplitude_v: float, width_s: float = 1e-4) -> Point:
    after_ohm = 5000.0 + 500.0 * amplitude_v
    return replace(
        POINT, tag=tag, amplitude_v=amplitude_v, width_s=width_s, before_ohm=5000.0,
        resistance_ohm=after_ohm, pulse_v=amplitude_v, current_a=amplitude_v / after_ohm,
        is_limited=amplitude_v > 1.2,
    )  # fmt: skip


VOLTS = (0.5, 1.0, 1.5, -0.5, -1.0)
MEASURED = {
    "read": [replace(POINT, tag="S")] * 3,
    "pulse": [pulse("P", v) for v in VOLTS],
    "iv": [pulse("CT", v) for v in VOLTS],
    "retention": [replace(POINT, tag="RET", time_ns=k * 10**9) for k in range(4)],
    "endurance": [pulse("EN", v) for v in (1.5, -1.5) * 3],
    "map": [pulse("MAP", v, w) for v in VOLTS for w in (1e-5, 1e-4)],
    "form": [pulse("FF", v) for v in (1.0, 1.1, 1.2)],
    "program": [replace(POINT, tag="CTS"), pulse("CTS", 1.5)],
}
ASKED = {
    "pulse": {"volts": 1.0, "width": 1e-4},
    "endurance": {"volts": 1.0, "width": 1e-4, "cycles": 3},
    "map": {"volts": VOLTS, "widths": (1e-5, 1e-4)},
    "program": {"target": 6000.0},
}


@pytest.mark.parametrize("procedure", MEASURED)
def test_each_figure_is_a_picture_and_none_is_made_of_nothing(
    tmp_path: Path, procedure: str
) -> None:
    path = tmp_path / f"{procedure}.png"
    values = BY_NAME[procedure].taken(ASKED.get(procedure, {}))
    assert figures.draw(path, procedure, MEASURED[procedure], values, "smu1")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert not figures.draw(tmp_path / "none.png", procedure, [], values, "smu1")


def test_an_array_with_an_unreadable_device_is_drawn(tmp_path: Path) -> None:
    readings = [
        replace(POINT, tag="F", wordline=w, bitline=b, resistance_ohm=None if w == b else 5e3 * w)
        for w in (1, 2)
        for b in (1, 2)
    ]
    assert figures.draw(tmp_path / "a.png", "read", readings, {}, "smu1")


def test_the_figure_of_a_fit_is_a_picture(tmp_path: Path) -> None:
    table = np.array([[5e3, 1.5, 1e-4, 5.4e3], [5e3, -1.2, 1e-4, 5.1e3]]).T
    figures.draw_fit(tmp_path / "fit.png", "a", MODEL, Responses(*table))
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_is_drawn_from_what_it_keeps(tmp_path: Path) -> None:
    lines = [line_of(point) for point in MEASURED["iv"]]
    (tmp_path / "bench-points.jsonl").write_text("".join(lines) + '{"time_ns": 1')  # cut off
    facts = {
        "procedure": "iv", "arguments": BY_NAME["iv"].taken({}), "unit": "smu1",
        "read_voltage_v": 0.5, "temperature_c": 21.5, "began_utc": "2026-01-01T10:00:00.000+00:00",
    }  # fmt: skip
    (tmp_path / "bench-iv.json").write_bytes(as_json(facts))
    assert draw_folder(tmp_path) == ["bench-iv.png", "bench-iv.csv", "bench-iv.h5"]
    assert len(read_session(tmp_path / "bench-iv.csv")) == len(MEASURED["iv"])
    assert note_of(facts) == "smu1, read at 0.5 V, 21.5 °C, 2026-01-01 10:00:00 UTC"


def test_points_come_back_from_hdf5(tmp_path: Path) -> None:
    write_hdf5(tmp_path / "b.h5", [POINT, POINT], {"procedure": "read", "temperature_c": 21.5})
    with h5py.File(tmp_path / "b.h5") as file:
        assert file.attrs["format"] == "spikebridge bench 1"
        assert '"temperature_c": 21.5' in file.attrs["facts"]
        assert file["resistance_ohm"][:].tolist() == [5000.0, 5000.0]
        assert file["resistance_ohm"].attrs["unit"] == "ohm"
        assert file["time_ns"].dtype == np.int64
        assert file["tag"][0] == b"CTS"
        assert np.isnan(file["current_a"][:]).all()
    write_hdf5(tmp_path / "none.h5", [], {})
