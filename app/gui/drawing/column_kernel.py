"""The compiled part of the column history. All of it runs without the interpreter lock."""

import numba as nb
import numpy as np
import numpy.typing as npt

EMPTY_LOW = 32767
EMPTY_HIGH = -32768
"""Of a column without samples: neutral when columns are joined."""

FLAG_GAP = 1
FLAG_STIMULUS = 2
FLAG_ARTEFACT = 4
FLAG_MISSED = 8
FLAG_SPIKE = 16

Counts = npt.NDArray[np.int16]
Flags = npt.NDArray[np.uint8]


@nb.njit(nogil=True, cache=True)
def empty_rows(low: Counts, high: Counts, flags: Flags, start: int, stop: int) -> None:
    """Empty the ring's rows `start` to `stop - 1`."""
    n_ring = low.shape[0]
    for i in range(start, stop):
        row = i % n_ring
        for c in range(low.shape[1]):
            low[row, c] = EMPTY_LOW
            high[row, c] = EMPTY_HIGH
            flags[row, c] = 0


@nb.njit(nogil=True, cache=True)
def merge_rows(
    ring_low: Counts,
    ring_high: Counts,
    n_joined: int,
    start: int,
    low: Counts,
    high: Counts,
    first: int,
) -> None:
    """Join columns into the ring. Row 0 of `low` is column `first`; `start` is the first kept."""
    n_ring = ring_low.shape[0]
    for i in range(max(0, start - first), low.shape[0]):
        row = ((first + i) // n_joined) % n_ring
        to_low, to_high, from_low, from_high = ring_low[row], ring_high[row], low[i], high[i]
        for c in range(low.shape[1]):
            a, b = to_low[c], from_low[c]  # read first, or it is not vectorised
            to_low[c] = b if b < a else a
            a, b = to_high[c], from_high[c]
            to_high[c] = b if b > a else a


@nb.njit(nogil=True, cache=True)
def flag_rows(flags: Flags, mask: int, start: int, stop: int, channel: int) -> None:
    """Set the bits of `mask` (of a negative one: clear) in rows `start` to `stop - 1`."""
    n_ring = flags.shape[0]
    first = max(0, channel)
    last = flags.shape[1] if channel < 0 else channel + 1
    for i in range(start, stop):
        row = flags[i % n_ring]
        for c in range(first, last):
            if mask < 0:
                row[c] &= np.uint8(255 - (-mask))
            else:
                row[c] |= np.uint8(mask)


@nb.njit(nogil=True, cache=True)
def flag_cells(
    flags: Flags,
    mask: int,
    begin: int,
    end: int,
    rows: npt.NDArray[np.int64],
    channels: npt.NDArray[np.int64],
) -> None:
    """Set the bits of `mask` in single cells; rows outside `begin` to `end - 1` are left alone."""
    n_ring, n_channels = flags.shape
    for i in range(rows.shape[0]):
        if begin <= rows[i] < end and 0 <= channels[i] < n_channels:
            flags[rows[i] % n_ring, channels[i]] |= np.uint8(mask)
