"""A `.npy` file that grows row by row and is readable at every moment.

The header's row count never exceeds the rows in the file: rows are appended first, the header is
patched after, and only to rows that are safe on the disk, for a disk may write in any order. NumPy
then reads a file cut off anywhere. (Format: NumPy Enhancement Proposal 1.)
"""

from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.recording.files import Files, short_write, write_all

HEADER_BYTES = 128
"""Fixed, so that it can be rewritten in place; room for any row count."""
_PREFIX = b"\x93NUMPY\x01\x00"


def npy_header(descr: str, n_rows: int) -> bytes:
    """Return the 128-byte header of a one-dimensional array, version 1.0."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({n_rows},), }}"
    n_text = HEADER_BYTES - len(_PREFIX) - 2
    return _PREFIX + n_text.to_bytes(2, "little") + text.encode().ljust(n_text - 1) + b"\n"


def rows_in_header(header: bytes, descr: str) -> int:
    """Return what a header counts; -1 if it is not one of ours."""
    digits = header.partition(b"'shape': (")[2].partition(b",")[0]
    n_rows = int(digits) if digits.isdigit() and len(digits) < 19 else -1
    return n_rows if header == npy_header(descr, max(0, n_rows)) else -1


class NpyFile:
    """One growing one-dimensional array on disk. One thread; `file` may be synced by another."""

    def __init__(self, files: Files, path: Path, descr: str) -> None:
        self.dtype = np.dtype(descr)
        self._descr = descr
        self.n_rows = 0
        self.n_rows_synced = 0
        self._n_rows_in_header = 0
        self.file = files.create(path)
        write_all(self.file, npy_header(descr, 0))

    def append(self, rows: npt.ArrayLike) -> None:
        """Append rows; readers see them after `patch_header`.

        Raises
        ------
        OSError
            After cutting the file back to whole rows, which are counted in `n_rows`.
        """
        data = np.asarray(rows, self.dtype).tobytes()
        try:
            n_taken = self.file.append(data)
        except OSError:
            with suppress(OSError):
                self._cut()
            raise
        self.n_rows += n_taken // self.dtype.itemsize
        if n_taken < len(data):
            self._cut()
            raise short_write(self.file.path, n_taken, len(data))

    def _cut(self) -> None:
        self.file.truncate(HEADER_BYTES + self.n_rows * self.dtype.itemsize)

    def patch_header(self, n_rows: int) -> None:
        """Let the header count `n_rows`, never fewer: while writing, rows safe on the disk."""
        if n_rows > self._n_rows_in_header:
            self.file.write_at(npy_header(self._descr, n_rows), 0)
            self._n_rows_in_header = n_rows

    def sync(self) -> None:
        """Wait until the rows appended so far are on the disk; any thread."""
        n_rows = self.n_rows
        self.file.sync_data()
        self.n_rows_synced = n_rows
