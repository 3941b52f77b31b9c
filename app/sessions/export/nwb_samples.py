"""Samples into the prepared room of an NWB file: whole chunks, compressed on two cores."""

import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

CHUNK_SAMPLES, CHUNK_CHANNELS = 8192, 64
FLUSH_BYTES = 64 * 2**20
N_CHECKED = 2
"""Rows of chunks that an interrupted export is held against its source by, before it goes on."""

OnCopied = Callable[[int, int], None]
"""Takes (index of the series, samples of it that are safe on the disk)."""


@dataclass(frozen=True, slots=True, eq=False)
class SeriesCopy:
    """One series: its name in the file, and where its samples come from."""

    name: str
    samples: npt.NDArray[np.int16]


def copy_samples(
    path: Path, copies: Sequence[SeriesCopy], n_copied: Sequence[int], on_copied: OnCopied
) -> None:
    """Copy what is missing. Raises OSError as the operating system and HDF5 do."""
    with h5py.File(path, "r+") as file, ThreadPoolExecutor(2) as pool:
        for index, (copy, n_done) in enumerate(zip(copies, n_copied, strict=True)):
            data = file[f"acquisition/{copy.name}/data"]
            start = _checked_start(data, copy.samples, n_done)
            _copy(file, data, copy.samples, start, pool, partial(on_copied, index))


def _checked_start(data: h5py.Dataset, samples: npt.NDArray[np.int16], n_done: int) -> int:
    """Return from where to copy: HDF5 that was not closed may have lost its newest chunks."""
    n_rows = int(data.chunks[0])
    start = min(n_done, len(samples)) // n_rows * n_rows
    while start:
        first = max(0, start - N_CHECKED * n_rows)
        if np.array_equal(data[first:start], samples[first:start]):
            return start
        start = first
    return 0


def _copy(
    file: h5py.File,
    data: h5py.Dataset,
    samples: npt.NDArray[np.int16],
    start: int,
    pool: ThreadPoolExecutor,
    on_copied: Callable[[int], None],
) -> None:
    n_rows, n_columns = data.chunks
    level = data.compression_opts if data.compression == "gzip" else None
    columns = range(0, samples.shape[1], n_columns)
    n_unflushed = 0
    for first in range(start, len(samples), n_rows):
        rows = samples[first : first + n_rows]
        pieces = [_padded(rows[:, c : c + n_columns], n_rows, n_columns) for c in columns]
        for column, packed in zip(columns, pool.map(_packer(level), pieces), strict=True):
            data.id.write_direct_chunk((first, column), packed)
        n_unflushed += rows.nbytes
        if n_unflushed >= FLUSH_BYTES or first + n_rows >= len(samples):
            n_unflushed = 0
            file.flush()
            os.fdatasync(file.id.get_vfd_handle())
            on_copied(min(first + n_rows, len(samples)))


def _padded(block: npt.NDArray[np.int16], n_rows: int, n_columns: int) -> npt.NDArray[np.int16]:
    if block.shape == (n_rows, n_columns):
        return np.ascontiguousarray(block, "<i2")
    whole = np.zeros((n_rows, n_columns), "<i2")
    whole[: block.shape[0], : block.shape[1]] = block
    return whole


def _packer(level: int | None) -> Callable[[npt.NDArray[np.int16]], bytes]:
    if level is None:
        return lambda piece: piece.tobytes()
    return lambda piece: zlib.compress(piece.tobytes(), level)
