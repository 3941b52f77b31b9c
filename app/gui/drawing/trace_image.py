"""The picture of all traces, kept up to date by drawing only what is new.

Pure pixels: numbers in, an array of 0xAARRGGBB out. All cells scroll to the left at the same pace,
so the whole image does (see `scroll_buffer`), and only the newest pixels of each cell are drawn.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.gui.drawing.cell_grid import CellGrid
from app.gui.drawing.column_history import ColumnHistory, Level
from app.gui.drawing.palette import Palette
from app.gui.drawing.scroll_buffer import ScrollBuffer
from app.gui.drawing.trace_kernel import (
    CellPlaces,
    ColumnRing,
    TimeScale,
    TraceColours,
    draw_pixels,
    restore_right,
)

MIN_HEIGHT_WITH_SEPARATOR = 6


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What the picture shows now; columns are those of the feed."""

    level: Level
    end: int
    end_pixel: int


class TraceImage:
    """Traces of one history in one cell grid. One thread at a time."""

    def __init__(self, grid: CellGrid, width: int, height: int, palette: Palette) -> None:
        """Make an image for a place of `width` x `height` pixels; ValueError if it is too small.

        The image is narrower than the place by what is left over when all cells are as wide.
        """
        if width < 2 * grid.n_columns or height < grid.n_rows:
            raise ValueError(
                f"{grid.n_columns} x {grid.n_rows} cells do not fit into {width} x {height} pixels"
            )
        self.grid = grid
        self.size = width, height
        self.cell_width = width // grid.n_columns
        self.cell_height = height // grid.n_rows
        has_separator = self.cell_height >= MIN_HEIGHT_WITH_SEPARATOR
        is_shown = grid.column >= 0
        self.places = CellPlaces(
            np.where(is_shown, grid.column * self.cell_width, -1).astype(np.int32),
            np.where(is_shown, grid.row * height // grid.n_rows, 0).astype(np.int32),
            self.cell_width - (grid.n_columns > 1),
            self.cell_height - has_separator,
        )
        self._colours = TraceColours(
            *(
                np.uint32(getattr(palette, name))
                for name in TraceColours._fields  # the palette's names, in the kernel's order
            )
        )
        self._buffer = ScrollBuffer(self.cell_width * grid.n_columns, height)
        self._blank = self._without_traces(palette)
        n_channels = len(grid.column)
        self._trace_colours = np.full(n_channels, palette.trace, np.uint32)
        self._pixels_per_count = np.zeros(n_channels, np.float64)
        self._n_window = 1
        self._drawn: _Drawn | None = None
        self._changed_from: int | None = None

    @property
    def pixels(self) -> npt.NDArray[np.uint32]:
        """Get the picture, `(height, width)`: a view that holds until the next `draw`."""
        return self._buffer.pixels

    def _without_traces(self, palette: Palette) -> npt.NDArray[np.uint32]:
        blank = np.full(self.pixels.shape, palette.background, np.uint32)
        for x, y in zip(self.places.x.tolist(), self.places.y.tolist(), strict=True):
            if x >= 0:
                cell = blank[y : y + self.cell_height, x : x + self.cell_width]
                cell[self.places.height :] = palette.separator
                cell[:, self.places.width :] = palette.separator
        return blank

    def set_window(self, n_columns: int) -> None:
        """Show `n_columns` columns of the feed in each cell, at least 1."""
        self._n_window = n_columns
        self._drawn = None

    def set_scale(self, counts: npt.NDArray[np.float64]) -> None:
        """Set per channel the counts, above zero, that reach the upper edge of its cell."""
        self._pixels_per_count = (self.places.height - 1) / 2 / counts
        self._drawn = None

    def set_trace_colours(self, colours: npt.NDArray[np.uint32]) -> None:
        """Set the colour of each channel's trace, `(n_channels,)`."""
        self._trace_colours = colours.astype(np.uint32)
        self._drawn = None

    def invalidate(self, column: int | None = None) -> None:
        """Say that the picture is wrong from a column on; None: all of it."""
        if column is None:
            self._drawn = None
        elif self._changed_from is None or column < self._changed_from:
            self._changed_from = column

    def draw(self, history: ColumnHistory, end: int) -> int:
        """Bring the picture to where column `end - 1` is the newest; return pixels drawn a cell."""
        n_pixels = self.places.width
        level = history.level_for(end - self._n_window, self._n_window, n_pixels)
        time = TimeScale(self._n_window, n_pixels * level.n_joined)
        level_end = -(-end // level.n_joined)
        end_pixel = -(-level_end * time.n_pixels // time.n_window)
        first_pixel = end_pixel - n_pixels
        drawn = self._drawn
        changed_from = end if self._changed_from is None else self._changed_from
        self._changed_from = None
        if drawn == _Drawn(level, end, end_pixel) and changed_from >= end:
            return 0
        n_new = n_pixels if drawn is None else end_pixel - drawn.end_pixel
        if drawn is None or drawn.level is not level or end < drawn.end or n_new >= n_pixels:
            self.pixels[:] = self._blank
        else:
            if n_new:
                self._buffer.scroll(n_new)
                n_lost = n_new + self.cell_width - n_pixels
                restore_right(self._buffer.pixels, self._blank, self.cell_width, n_lost)
            changed = min(drawn.end - 1, changed_from)
            pixel = changed // level.n_joined * time.n_pixels // time.n_window
            first_pixel = max(first_pixel, min(pixel, drawn.end_pixel))
        ring = ColumnRing(
            level.low, level.high, level.flags, level.begin, min(level.end, level_end)
        )
        draw_pixels(
            self._buffer.pixels,
            self.places,
            ring,
            time,
            end_pixel - n_pixels,
            first_pixel,
            end_pixel,
            self._pixels_per_count,
            self._trace_colours,
            self._colours,
        )
        self._drawn = _Drawn(level, end, end_pixel)
        return max(0, end_pixel - first_pixel)

    def cell_at(self, x: float, y: float) -> tuple[int, int] | None:
        """Return the channel under a pixel of the picture, and the pixel in its cell."""
        column = int(x // self.cell_width)
        row = int(y * self.grid.n_rows // self.pixels.shape[0])
        channel = self.grid.channel_at(column, row)
        pixel = int(x) - column * self.cell_width
        if channel is None or not 0 <= pixel < self.places.width:
            return None
        return channel, pixel

    def columns_at(self, pixel: int) -> tuple[int, int] | None:
        """Return the columns of the feed (first, stop) that a pixel of a cell shows."""
        if self._drawn is None:
            return None
        n_joined, n_pixels = self._drawn.level.n_joined, self.places.width
        number = self._drawn.end_pixel - n_pixels + pixel
        first = number * self._n_window // (n_pixels * n_joined)
        stop = max(first + 1, (number + 1) * self._n_window // (n_pixels * n_joined))
        return first * n_joined, stop * n_joined
