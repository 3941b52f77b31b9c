"""Envelope columns from detection's ring to the wire, in two passes without the lock.

In steps of NumPy the same took four times as long in an engine at work: each step gives up the
interpreter and must get it back.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from app.core.signal_view import ColumnMark, EnvelopeRing

_SATURATED = int(ColumnMark.SATURATED)


@njit(nogil=True, cache=True)
def survey(
    ring_marks: npt.NDArray[np.uint8],
    ring_extents: npt.NDArray[np.int64],
    length: int,
    first: int,
    n_columns: int,
    first_samples: npt.NDArray[np.int64],
    runs: npt.NDArray[np.int64],
    pegged_runs: npt.NDArray[np.int64],
) -> tuple[int, int]:
    """Find what of columns `first` on can be shown; return how many runs and pegged runs there are.

    A column that a gap has cut is not shown: half of it would look like all of it. `runs` get
    [start, stop) of each stretch of whole columns without a gap, counted from `first`;
    `pegged_runs` the parts of them in which more than half of the channels were at the amplifier's
    rail. Both hold `n_columns` rows. `first_samples` gets where each column begins.
    """
    n_rows, n_channels = ring_marks.shape
    n_runs = n_pegged_runs = 0
    was_whole = was_pegged = False
    for k in range(n_columns):
        row = (first + k) % n_rows
        sample = ring_extents[row, 0]
        first_samples[k] = sample
        is_whole = ring_extents[row, 1] == length and sample % length == 0
        n_saturated = 0
        for channel in range(n_channels):
            n_saturated += (ring_marks[row, channel] & _SATURATED) != 0
        is_pegged = is_whole and 2 * n_saturated > n_channels
        goes_on = was_whole and sample - first_samples[k - 1] == length
        if is_whole:
            if not goes_on:
                runs[n_runs, 0] = k
                n_runs += 1
            runs[n_runs - 1, 1] = k + 1
        if is_pegged:
            if not (was_pegged and goes_on):
                pegged_runs[n_pegged_runs, 0] = k
                n_pegged_runs += 1
            pegged_runs[n_pegged_runs - 1, 1] = k + 1
        was_whole, was_pegged = is_whole, is_pegged
    return n_runs, n_pegged_runs


@njit(nogil=True, cache=True)
def copy_columns(
    ring_values: npt.NDArray[np.int16],
    first: int,
    n_columns: int,
    kind: int,
    words: npt.NDArray[np.int16],
    at: int,
    n_per_frame: int,
    n_head_words: int,
) -> None:
    """Copy columns `first` on to `words[at:]`, as they lie in frames.

    Before every `n_per_frame` columns `n_head_words` are left out for the caller; a column is its
    lowest and then its highest of every channel. `kind` is 0 for the filtered signal and 2 for the
    raw one.
    """
    n_rows, _, n_channels = ring_values.shape
    size = 2 * n_channels
    for k in range(n_columns):
        if k % n_per_frame == 0:
            at += n_head_words
        row = (first + k) % n_rows
        out = words[at : at + size].reshape(2, n_channels)
        for edge in range(2):
            for channel in range(n_channels):
                out[edge, channel] = ring_values[row, kind + edge, channel]
        at += size


def warm_up() -> None:
    """Compile, or load from the cache; before a console waits for it."""
    ring = EnvelopeRing(1, 1, 2, 1.0)
    runs = np.empty((1, 2), np.int64)
    survey(ring.marks, ring.extents, 1, 0, 1, np.empty(1, np.int64), runs, runs)
    copy_columns(ring.values, 0, 1, 0, np.empty(2, np.int16), 0, 1, 0)
