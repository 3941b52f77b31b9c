"""The picture of all spikes, kept up to date by drawing only new events and new time."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.gui.drawing.event_history import EventHistory
from app.gui.drawing.palette import Palette
from app.gui.drawing.raster_kernel import clear_pixels, draw_events
from app.gui.drawing.raster_rows import RasterRows, RowPlaces, place_rows
from app.gui.drawing.scroll_buffer import ScrollBuffer

WIDE_FROM_PX = 6
"""Rows this high get ticks of two pixels."""


@dataclass(frozen=True, slots=True)
class MissingBand:
    """Events of rows `first_row` to `stop_row - 1` are declared missing in this time."""

    first_row: int
    stop_row: int
    from_ns: int
    to_ns: int


class RasterImage:
    """Spikes of one history in one arrangement of rows. One thread at a time."""

    def __init__(
        self, rows: RasterRows, width: int, height: int, palette: Palette, lut: list[int]
    ) -> None:
        """Make an image of `(height, width)` pixels; `lut` gives 0xAARRGGBB by colour number."""
        self.rows = rows
        self.size = width, height
        self._buffer = ScrollBuffer(width, height)
        self.places: RowPlaces = place_rows(rows, height)
        self._lut = np.array(lut, np.uint32)
        self._band_colour = np.uint32(palette.gap)
        self._background = np.full(height, palette.separator, np.uint32)
        for group in rows.groups:
            top, bottom = self.lines_of(group.first, group.stop)
            self._background[top:bottom] = palette.background
        self._ns_per_pixel = 1
        self._bands = np.empty((0, 4), np.int64)
        self._n_drawn: int | None = None
        self._end_pixel = 0
        self._was_in_the_past = False

    @property
    def pixels(self) -> npt.NDArray[np.uint32]:
        """Get the picture, `(height, width)`: a view that holds until the next `draw`."""
        return self._buffer.pixels

    def lines_of(self, first_row: int, stop_row: int) -> tuple[int, int]:
        """Return the first line of some rows and the one after their last."""
        if first_row >= stop_row:
            return 0, 0
        last = stop_row - 1
        return int(self.places.y[first_row]), int(self.places.y[last] + self.places.height[last])

    def set_window(self, window_ns: int) -> None:
        """Show about `window_ns`: as many whole nanoseconds a pixel as come nearest."""
        self._ns_per_pixel = max(1, round(window_ns / self.size[0]))
        self.invalidate()

    def set_bands(self, bands: list[MissingBand]) -> None:
        """Set all bands that are known."""
        n = self._ns_per_pixel
        self._bands = np.array(
            [
                (b.from_ns // n, b.to_ns // n + 1, *self.lines_of(b.first_row, b.stop_row))
                for b in bands
            ],
            np.int64,
        ).reshape(-1, 4)
        self.invalidate()

    def invalidate(self) -> None:
        """Draw all anew next time."""
        self._n_drawn = None

    def draw(self, history: EventHistory, end_ns: int) -> int:
        """Bring the picture to where `end_ns` is at the right edge; return how much is new."""
        width, end_pixel = self.size[0], end_ns // self._ns_per_pixel + 1
        n_new = end_pixel - self._end_pixel
        left_out = self._was_in_the_past and n_new > 0  # events later than what was shown
        if self._n_drawn is None or left_out or n_new < 0 or self._n_drawn < history.first:
            n_new, first_event = width, history.first
        else:
            n_new, first_event = min(n_new, width), self._n_drawn
            self._buffer.scroll(n_new)
        shown_from = end_pixel - width
        clear_pixels(
            self._buffer.pixels,
            shown_from,
            end_pixel - n_new,
            self._background,
            self._bands,
            self._band_colour,
        )
        draw_events(
            self._buffer.pixels,
            history.time_ns,
            history.row,
            history.colour,
            first_event,
            history.n_total,
            self._ns_per_pixel,
            shown_from,
            self.places.y,
            self.places.height,
            WIDE_FROM_PX,
            self._lut,
        )
        n_events = history.n_total - first_event
        self._n_drawn, self._end_pixel = history.n_total, end_pixel
        self._was_in_the_past = end_ns < history.now_ns
        return n_events + n_new

    def time_at(self, x: float) -> int:
        """Return the time at a pixel of the picture."""
        return (self._end_pixel - self.size[0] + int(x)) * self._ns_per_pixel

    def row_at(self, y: float) -> int | None:
        """Return the row at a line of the picture; the nearest, where rows share a line."""
        inside = (self.places.y <= y) & (y < self.places.y + self.places.height + 1)
        found = np.flatnonzero(inside)
        return int(found[-1]) if len(found) else None
