"""Measured points as HDF5: one data set for each column, what they mean as attributes.

h5py is no dependency of the application; it comes with the NWB extra.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from app.bench.errors import BenchError
from app.core.measured import Point

UNITS = {"_ns": "ns", "_ohm": "ohm", "_v": "V", "_s": "s", "_a": "A"}
FORMAT = "spikebridge bench 1"


def write_hdf5(path: Path, points: Sequence[Point], facts: Mapping[str, object]) -> None:
    """Write points, `(n_points,)` for each column; a value that is not known is NaN or empty.

    Raises `BenchError` if h5py is not installed.
    """
    try:
        import h5py  # noqa: PLC0415 - an extra
    except ImportError as exc:
        raise BenchError("HDF5 needs h5py: install spikebridge[nwb]") from exc
    with h5py.File(path, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["facts"] = json.dumps(facts, default=str)
        for column in fields(Point):
            values = [getattr(point, column.name) for point in points]
            data = file.create_dataset(column.name, data=_as_array(values))
            ending = "_" + column.name.rsplit("_", 1)[-1]
            if ending in UNITS:
                data.attrs["unit"] = UNITS[ending]


def _as_array(values: list[object]) -> np.ndarray[tuple[int], np.dtype[np.generic]]:
    if any(isinstance(value, str) for value in values):
        return np.array([str(value).encode() for value in values], dtype=np.bytes_)
    if values and all(type(value) is int for value in values):
        return np.array(values, dtype=np.int64)
    return np.array(values, dtype=float)  # None becomes NaN, a truth value 0 or 1
