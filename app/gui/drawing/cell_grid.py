"""Where each channel is drawn: cells in the electrode layout, or lanes one below the other."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LARGEST_EMPTY_SHARE = 0.75
"""A grid with more empty cells than this wastes the screen: channels are packed instead."""


@dataclass(frozen=True, slots=True, eq=False)
class CellGrid:
    """One cell per channel; row 0 is at the top. -1: the channel is not shown."""

    n_columns: int
    n_rows: int
    column: npt.NDArray[np.int32]
    """`(n_channels,)`."""
    row: npt.NDArray[np.int32]
    is_in_place: bool
    """Cells lie as the electrodes do; otherwise in order only."""

    def channel_at(self, column: int, row: int) -> int | None:
        """Return the channel that is drawn in a cell."""
        found = np.flatnonzero((self.column == column) & (self.row == row))
        return int(found[0]) if len(found) else None


def lanes(n_channels: int, first: int = 0, n_shown: int | None = None) -> CellGrid:
    """Return lanes over the full width for `n_shown` channels from `first` on."""
    n_shown = n_channels - first if n_shown is None else n_shown
    row = np.arange(n_channels, dtype=np.int32) - first
    is_shown = (row >= 0) & (row < n_shown)
    row[~is_shown] = -1
    return CellGrid(1, max(1, n_shown), np.where(is_shown, 0, -1).astype(np.int32), row, False)


def electrode_cells(position_um: npt.NDArray[np.float32]) -> CellGrid:
    """Return cells that lie as the electrodes do.

    `position_um` is `(n_channels, 2)`, x to the right, y up, nan where unknown. Electrodes that lie
    too sparsely, or two in one place, are packed row by row in the same order; channels without
    a position come last, in rows of their own.
    """
    is_known = np.isfinite(position_um).all(axis=1)
    grid = _grid_of(position_um[is_known])
    is_in_place = grid is not None
    if grid is None:
        grid = _packed(position_um[is_known])
    n_columns, n_rows, known_column, known_row = grid
    n_unknown = int((~is_known).sum())
    if not is_known.any():
        n_columns = max(1, math.ceil(math.sqrt(n_unknown)))
    column = np.empty(len(position_um), np.int32)
    row = np.empty(len(position_um), np.int32)
    column[is_known], row[is_known] = known_column, known_row
    column[~is_known] = np.arange(n_unknown) % n_columns
    row[~is_known] = n_rows + np.arange(n_unknown) // n_columns
    n_rows += math.ceil(n_unknown / n_columns)
    return CellGrid(n_columns, max(1, n_rows), column, row, is_in_place)


_Placed = tuple[int, int, npt.NDArray[np.int32], npt.NDArray[np.int32]]


def _grid_of(position_um: npt.NDArray[np.float32]) -> _Placed | None:
    if not len(position_um):
        return None
    x, column = np.unique(np.round(position_um[:, 0]), return_inverse=True)
    y, row_from_below = np.unique(np.round(position_um[:, 1]), return_inverse=True)
    row = len(y) - 1 - row_from_below
    n_cells = len(x) * len(y)
    is_double = len(np.unique(row * len(x) + column)) < len(position_um)
    if is_double or n_cells * (1 - LARGEST_EMPTY_SHARE) > len(position_um):
        return None
    return len(x), len(y), column.astype(np.int32), row.astype(np.int32)


def _packed(position_um: npt.NDArray[np.float32]) -> _Placed:
    n = len(position_um)
    if not n:
        return 1, 0, np.empty(0, np.int32), np.empty(0, np.int32)
    n_columns = math.ceil(math.sqrt(n))
    rank = np.empty(n, np.int32)
    from_top = np.argsort(-position_um[:, 1], kind="stable")
    for start in range(0, n, n_columns):
        members = from_top[start : start + n_columns]
        from_left = members[np.argsort(position_um[members, 0], kind="stable")]
        rank[from_left] = np.arange(start, start + len(members), dtype=np.int32)
    column, row = (rank % n_columns).astype(np.int32), (rank // n_columns).astype(np.int32)
    return n_columns, math.ceil(n / n_columns), column, row
