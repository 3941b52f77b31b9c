"""Envelope columns from detection's ring to the wire, in one pass without the lock.

In steps of NumPy the same took four times as long in an engine at work: each step gives up the
interpreter and must get it back.
"""

import numpy as np
import numpy.typing as npt

from app.core.compile_cache import cached_njit
from app.core.signal_view import ColumnMark, EnvelopeRing

_SATURATED = int(ColumnMark.SATURATED)


@cached_njit(nogil=True)
def gather(
    ring_values: npt.NDArray[np.int16],
    ring_marks: npt.NDArray[np.uint8],
    ring_extents: npt.NDArray[np.int64],
    first: int,
    n_columns: int,
    kind: int,
    counts: npt.NDArray[np.int16],
    extents: npt.NDArray[np.int64],
    is_pegged: npt.NDArray[np.bool_],
) -> None:
    """Copy columns `first` on into `counts` (n, 2, n_channels), `extents` and `is_pegged`.

    `kind` is 0 for the filtered signal and 2 for the raw one. A column is pegged if more than half
    of its channels were at the amplifier's rail.
    """
    n_channels = ring_values.shape[2]
    for k in range(n_columns):
        row = (first + k) % ring_extents.shape[0]
        extents[k, 0] = ring_extents[row, 0]
        extents[k, 1] = ring_extents[row, 1]
        n_saturated = 0
        for channel in range(n_channels):
            n_saturated += (ring_marks[row, channel] & _SATURATED) != 0
        is_pegged[k] = 2 * n_saturated > n_channels
        for edge in range(2):
            for channel in range(n_channels):
                counts[k, edge, channel] = ring_values[row, kind + edge, channel]


def warm_up() -> None:
    """Compile, or load from the cache; before a console waits for it."""
    ring = EnvelopeRing(1, 1, 2, 1.0)
    gather(
        ring.values,
        ring.marks,
        ring.extents,
        0,
        1,
        0,
        np.empty((1, 2, 1), np.int16),
        np.empty((1, 2), np.int64),
        np.empty(1, np.bool_),
    )
