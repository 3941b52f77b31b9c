"""The last minutes of envelope columns in bounded memory: what a window scrolls back through.

Columns are kept at three resolutions, each in a ring: recent ones as they came, older ones joined
eight by eight, the oldest by 64. Joining takes the smallest minimum and the largest maximum, so
nothing that was high or low disappears from sight. A column without samples has its minimum above
its maximum; why it has none is in its flags.
"""

import enum
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.gui.drawing.column_kernel import (
    FLAG_ARTEFACT,
    FLAG_GAP,
    FLAG_MISSED,
    FLAG_SPIKE,
    FLAG_STIMULUS,
    empty_rows,
    flag_cells,
    flag_rows,
    merge_rows,
)

JOINED = (1, 8, 64)
"""Columns of the feed in one column of each level."""
BYTES_SHARE = (0.6, 0.25, 0.15)
DEFAULT_BYTES = 256 << 20
N_COLUMNS_MAX = 600_000
"""Of the feed; ten minutes of columns of 1 ms. Few channels would otherwise be kept for days."""
N_PENDING_MAX = 4096


class ColumnFlag(enum.IntFlag):
    """What is known of a column of one channel."""

    GAP = FLAG_GAP
    """Samples are declared missing."""
    STIMULUS = FLAG_STIMULUS
    ARTEFACT = FLAG_ARTEFACT
    """Blanked by the detector."""
    MISSED = FLAG_MISSED
    """The engine has it, this window was not sent it."""
    SPIKE = FLAG_SPIKE


@dataclass(slots=True, eq=False)
class Level:
    """One ring. Rows `begin` to `end - 1` are held, row i at place `i % n_ring`."""

    n_joined: int
    low: npt.NDArray[np.int16]
    """`(n_ring, n_channels)`, counts."""
    high: npt.NDArray[np.int16]
    flags: npt.NDArray[np.uint8]
    begin: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class ColumnValues:
    """What some neighbouring columns of one channel hold; `low` above `high`: no samples."""

    low: int
    high: int
    flags: ColumnFlag
    n_joined: int
    """Columns of the feed in one that is kept there."""


@dataclass(frozen=True, slots=True)
class _Pending:
    mask: int
    start: int
    stop: int
    channel: int


class ColumnHistory:
    """Columns by their number since the source's first sample. One thread at a time.

    Every method that changes something returns the first column whose picture changed.
    """

    def __init__(self, n_channels: int, n_bytes: int = DEFAULT_BYTES) -> None:
        self.n_channels = n_channels
        bytes_per_row = 5 * max(1, n_channels)
        self.levels = tuple(
            _new_level(n, min(int(n_bytes * share / bytes_per_row), N_COLUMNS_MAX // n), n_channels)
            for n, share in zip(JOINED, BYTES_SHARE, strict=True)
        )
        self._pending: list[_Pending] = []
        self._early = np.empty((2, 0), np.int64)
        """Columns and channels of spikes whose columns are to come."""
        self._first: int | None = None

    @property
    def begin(self) -> int:
        """Get the oldest column that is held at any resolution."""
        return max(self._first or 0, min(v.begin * v.n_joined for v in self.levels))

    @property
    def end(self) -> int:
        """Get the column after the newest."""
        return self.levels[0].end

    @property
    def n_bytes(self) -> int:
        """Get the memory of the rings; it does not grow."""
        return sum(v.low.nbytes + v.high.nbytes + v.flags.nbytes for v in self.levels)

    def append(self, first: int, low: npt.NDArray[np.int16], high: npt.NDArray[np.int16]) -> int:
        """Take `(n_columns, n_channels)` columns from column `first` on.

        Columns left out before `first` are MISSED until a gap is declared there. A `first` that
        was passed already means that the source began anew: all older columns are forgotten.
        """
        if low.shape != high.shape or low.ndim != 2 or low.shape[1] != self.n_channels:
            raise ValueError(
                f"columns of shape {low.shape} and {high.shape}; "
                f"this history takes (n_columns, {self.n_channels})"
            )
        if first < self.end:
            self._pending.clear()  # their columns were of the source that ended
            self._early = self._early[:, :0]
        if self._first is None or first < self.end:
            self._restart(first)
        skipped_from = self.end
        # A copy: kernels are compiled for one kind of array, writable and contiguous.
        low, high = np.array(low, np.int16, order="C"), np.array(high, np.int16, order="C")
        for level in self.levels:
            self._extend(level, first + len(low))
            begin = level.begin * level.n_joined
            merge_rows(level.low, level.high, level.n_joined, max(first, begin), low, high, first)
        if skipped_from < first:
            self.flag(ColumnFlag.MISSED, skipped_from, first)
        self._apply_pending(skipped_from)
        return skipped_from

    def flag(self, mask: int, start: int, stop: int, channel: int = -1) -> int:
        """Flag columns `start` to `stop - 1` of a channel, or of all (-1); those to come too."""
        start = max(start, self.begin)
        if stop <= start:
            return start
        if stop > self.end and not (mask & ColumnFlag.MISSED):
            self._pending = [*self._pending, _Pending(mask, start, stop, channel)][-N_PENDING_MAX:]
        for level in self.levels:
            first = max(start // level.n_joined, level.begin)
            last = min(-(-stop // level.n_joined), level.end)
            flag_rows(level.flags, mask, first, last, channel)
            if mask & ColumnFlag.GAP:  # a gap explains what seemed merely missed
                flag_rows(level.flags, -int(ColumnFlag.MISSED), first, last, channel)
        return start

    def mark_spikes(
        self, columns: npt.NDArray[np.int64], channels: npt.NDArray[np.int64]
    ) -> int | None:
        """Mark spikes; both arrays `(n_spikes,)`. None: nothing that is shown changed."""
        is_early = columns >= self.end
        if is_early.any():
            early = np.stack([columns[is_early], channels[is_early]])
            self._early = np.concatenate([self._early, early], axis=1)[:, -N_PENDING_MAX:]
            columns, channels = columns[~is_early], channels[~is_early]
        is_held = columns >= self.begin
        columns, channels = columns[is_held], channels[is_held]
        if not len(columns):
            return None
        for level in self.levels:
            rows = columns // level.n_joined
            flag_cells(level.flags, ColumnFlag.SPIKE, level.begin, level.end, rows, channels)
        return int(columns.min())

    def level_for(self, start: int, n_columns: int, n_pixels: int) -> Level:
        """Return the coarsest level that still gives each pixel a column, and reaches `start`."""
        best = self.levels[0]
        for level in self.levels[1:]:
            reaches_further = best.begin * best.n_joined > max(start, self.begin)
            if n_columns >= level.n_joined * n_pixels or reaches_further:
                best = level
        return best

    def values(self, start: int, stop: int, channel: int) -> ColumnValues | None:
        """Return what columns `start` to `stop - 1` hold, at the finest resolution that is kept.

        None: all of it is before the oldest column or after the newest.
        """
        start, stop = max(start, self.begin), min(stop, self.end)
        if stop <= start:
            return None
        level = next(v for v in self.levels if v.begin * v.n_joined <= max(start, self.begin))
        rows = np.arange(start // level.n_joined, -(-stop // level.n_joined)) % len(level.low)
        low, high = level.low[rows, channel].min(), level.high[rows, channel].max()
        flags = int(np.bitwise_or.reduce(level.flags[rows, channel]))
        return ColumnValues(int(low), int(high), ColumnFlag(flags), level.n_joined)

    def peaks(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """Return per channel the largest distance from zero between two columns, in counts."""
        level = self.level_for(start, stop - start, 1)
        first = max(start // level.n_joined, level.begin)
        rows = np.arange(first, min(-(-stop // level.n_joined), level.end)) % len(level.low)
        if not len(rows):
            return np.zeros(self.n_channels, np.int64)
        low, high = level.low[rows].astype(np.int64), level.high[rows].astype(np.int64)
        is_empty = low > high
        low[is_empty] = high[is_empty] = 0
        peaks: npt.NDArray[np.int64] = np.maximum(high.max(axis=0), -low.min(axis=0))
        return peaks

    def _restart(self, first: int) -> None:
        for level in self.levels:
            level.begin = level.end = first // level.n_joined
        self._first = first

    def _extend(self, level: Level, stop: int) -> None:
        end = max(level.end, -(-stop // level.n_joined))
        n_ring = len(level.low)
        empty_rows(level.low, level.high, level.flags, max(level.end, end - n_ring), end)
        level.end = end
        level.begin = max(level.begin, end - n_ring)

    def _apply_pending(self, new_from: int) -> None:
        pending, self._pending = self._pending, []
        for p in pending:
            self.flag(p.mask, max(p.start, new_from), p.stop, p.channel)
        if self._early.size:
            early, self._early = self._early, self._early[:, :0]
            self.mark_spikes(early[0], early[1])


def _new_level(n_joined: int, n_ring: int, n_channels: int) -> Level:
    shape = max(n_ring, 1), n_channels
    # Not written to until it is needed, so the memory of a short run is never taken.
    return Level(
        n_joined, np.empty(shape, np.int16), np.empty(shape, np.int16), np.empty(shape, np.uint8)
    )
