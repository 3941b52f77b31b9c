"""One-dimensional whole numbers in a `.npy` file, mapped only if the file really holds them.

(Format: NumPy Enhancement Proposal 1.) What the header claims is held against the file's size
before anything is mapped: NumPy itself would ask for the memory first.
"""

from pathlib import Path
from tokenize import TokenError

import numpy as np
import numpy.typing as npt

MAX_HEADER_CHARACTERS = 10_000


def map_whole_numbers(path: Path) -> npt.NDArray[np.int64]:
    """Return the rows as a read-only map, of whatever integer type they have.

    Raises
    ------
    TypeError
        An array of something else.
    ValueError
        No array, or fewer bytes than it claims.
    OSError
        The file cannot be read.
    """
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{path}: .npy version {version}, expected 1.0 or 2.0")
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        try:
            shape, _, dtype = read(file, max_header_size=MAX_HEADER_CHARACTERS)
        except (SyntaxError, TokenError) as exc:  # NumPy parses the header as Python
            raise ValueError(f"{path}: header is damaged: {exc}") from exc
        offset = file.tell()
        n_bytes = path.stat().st_size
    if dtype.hasobject or dtype.kind not in "iu" or len(shape) != 1:
        raise TypeError(f"{path}: {dtype} {shape}, expected integers, one-dimensional")
    n_rows = int(shape[0])
    if not (0 <= n_rows * dtype.itemsize <= n_bytes - offset):
        raise ValueError(f"{path}: claims {n_rows} rows, which its {n_bytes} bytes cannot hold")
    if n_rows == 0:
        return np.empty(0, np.int64)
    rows: npt.NDArray[np.int64] = np.memmap(path, dtype, "r", offset, shape=(n_rows,))
    return rows
