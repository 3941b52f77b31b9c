"""Figures and HDF5 of the bench, from few points."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from app.bench import figures
from app.bench.cycling import Endurance, Response
from app.bench.hdf5 import write_hdf5
from app.bench.iv_curve import IvPoint
from app.bench.points import Point
from app.bench.programming import Programmed, Reason
from app.bench.reading import Retention
from app.bench.switching_model import Branch, Responses, SwitchingModel

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
DRAWINGS = {
    "iv": lambda path: figures.draw_iv(
        path, "a", [IvPoint(0, 0.1 * k, 1e-5 * k, k == 3, 5e3) for k in range(1, 4)]
    ),
    "array": lambda path: figures.draw_array(path, "a", np.array([[5e3, np.nan], [6e3, 7e3]])),
    "retention": lambda path: figures.draw_retention(
        path, "a", Retention(np.arange(3.0), np.full(3, 5e3), 0.0)
    ),
    "endurance": lambda path: figures.draw_endurance(path, "a", Endurance([7e3, 7e3], [4e3, 4e3])),
    "map": lambda path: figures.draw_map(
        path, "a", [Response(v, w, 5e3, 5e3 + 100 * v) for v in (1.5, -1.5) for w in (1e-5, 1e-4)]
    ),
    "program": lambda path: figures.draw_program(
        path, [POINT, POINT], [Programmed("a", Reason.REACHED, "", 1, 5e3, 5e3, 0.0)], 5e3
    ),
    "fit": lambda path: figures.draw_fit(
        path, "a", MODEL, Responses(*np.array([[5e3, 1.5, 1e-4, 5.4e3], [5e3, 1.2, 1e-4, 5.1e3]]).T)
    ),
}


@pytest.mark.parametrize("kind", DRAWINGS)
def test_each_figure_is_a_picture(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"{kind}.png"
    DRAWINGS[kind](path)
    assert path.read_bytes().startswith(b"\x89PNG")


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
