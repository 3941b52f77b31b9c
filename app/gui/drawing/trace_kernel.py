"""The compiled rasteriser of traces. It runs without the interpreter lock.

Pixels of a cell are counted since the source began. Pixel p shows the columns from
`p * n_window // n_pixels` on up to where pixel p + 1 begins, at least one: a rule of the number p
alone, so drawing bit by bit and drawing all at once give the same picture.
"""

from typing import NamedTuple

import numba as nb
import numpy as np
import numpy.typing as npt

from app.gui.drawing.column_kernel import (
    EMPTY_HIGH,
    EMPTY_LOW,
    FLAG_ARTEFACT,
    FLAG_GAP,
    FLAG_MISSED,
    FLAG_SPIKE,
    FLAG_STIMULUS,
)

N_STRIP = 16
"""Pixels drawn together: one line of the processor's cache."""


class TraceColours(NamedTuple):
    """0xAARRGGBB each."""

    background: np.uint32
    gap: np.uint32
    missed: np.uint32
    stimulus: np.uint32
    artefact: np.uint32
    withheld: np.uint32
    spike: np.uint32
    clipped: np.uint32


class CellPlaces(NamedTuple):
    """Where the cells lie in the image, in pixels. `x` below 0: not shown."""

    x: npt.NDArray[np.int32]
    """`(n_channels,)`."""
    y: npt.NDArray[np.int32]
    width: int
    height: int


class TimeScale(NamedTuple):
    """`n_window` columns are spread over `n_pixels` pixels."""

    n_window: int
    n_pixels: int


class ColumnRing(NamedTuple):
    """One level of the column history; rows `begin` to `end - 1` are held."""

    low: npt.NDArray[np.int16]
    high: npt.NDArray[np.int16]
    flags: npt.NDArray[np.uint8]
    begin: int
    end: int


@nb.njit(nogil=True, cache=True)
def _join(
    pixel: int,
    time: TimeScale,
    ring: ColumnRing,
    low: npt.NDArray[np.int16],
    high: npt.NDArray[np.int16],
    flags: npt.NDArray[np.uint8],
) -> None:
    """Write what pixel number `pixel` shows of every channel; low above high: nothing."""
    low[:], high[:], flags[:] = EMPTY_LOW, EMPTY_HIGH, 0
    first = pixel * time.n_window // time.n_pixels
    stop = max(first + 1, (pixel + 1) * time.n_window // time.n_pixels)
    n_ring = ring.low.shape[0]
    for i in range(max(first, ring.begin), min(stop, ring.end)):
        row_low, row_high = ring.low[i % n_ring], ring.high[i % n_ring]
        row_flags = ring.flags[i % n_ring]
        for c in range(low.shape[0]):
            a, b = low[c], row_low[c]
            low[c] = b if b < a else a
            a, b = high[c], row_high[c]
            high[c] = b if b > a else a
            flags[c] |= row_flags[c]


@nb.njit(nogil=True, cache=True)
def _background(flags: int, colours: TraceColours) -> np.uint32:
    if flags & FLAG_GAP:
        return colours.gap
    if flags & FLAG_MISSED:
        return colours.missed
    if flags & FLAG_STIMULUS:
        return colours.stimulus
    if flags & FLAG_ARTEFACT:
        return colours.artefact
    return colours.background


@nb.njit(nogil=True, cache=True)
def _y_of(counts: int, pixels_per_count: float, height: int) -> int:
    """Return the pixel row within a cell, perhaps outside it."""
    return int(np.floor((height - 1) / 2 - counts * pixels_per_count + 0.5))


@nb.njit(nogil=True, cache=True)
def _draw_column(
    image: npt.NDArray[np.uint32],
    x: int,
    y: int,
    height: int,
    top: int,
    bottom: int,
    flags: int,
    trace: np.uint32,
    colours: TraceColours,
) -> None:
    """Draw one pixel column of one cell; `top` below `bottom`: no trace."""
    background = _background(flags, colours)
    for i in range(y, y + height):
        image[i, x] = background
    if flags & FLAG_SPIKE:
        for i in range(y, y + max(1, height // 8)):
            image[i, x] = colours.spike
    if top > bottom:
        return
    is_withheld = flags & (FLAG_STIMULUS | FLAG_ARTEFACT) != 0
    colour = colours.withheld if is_withheld else trace
    if flags & FLAG_SPIKE:
        colour = colours.spike
    for i in range(y + max(0, top), y + min(height - 1, bottom) + 1):
        image[i, x] = colour
    if is_withheld:
        return  # a stimulus leaves every scale: that is no news
    if top < 0:
        image[y, x] = colours.clipped
    if bottom >= height:
        image[y + height - 1, x] = colours.clipped


@nb.njit(nogil=True, cache=True)
def restore_right(
    image: npt.NDArray[np.uint32], blank: npt.NDArray[np.uint32], cell_width: int, n: int
) -> None:
    """Make the last `n` pixels of every `cell_width` blank, in all lines."""
    height, width = image.shape
    for y in range(height):
        for right in range(cell_width, width + 1, cell_width):
            for x in range(right - n, right):
                image[y, x] = blank[y, x]


@nb.njit(nogil=True, cache=True)
def draw_pixels(
    image: npt.NDArray[np.uint32],
    places: CellPlaces,
    ring: ColumnRing,
    time: TimeScale,
    shown_from: int,
    first_pixel: int,
    stop_pixel: int,
    pixels_per_count: npt.NDArray[np.float64],
    trace_colours: npt.NDArray[np.uint32],
    colours: TraceColours,
) -> None:
    """Draw pixels `first_pixel` to `stop_pixel - 1` of every cell, whose left is `shown_from`.

    Neighbouring columns whose ranges do not meet are joined by a vertical line, because the
    samples follow each other; across a column without samples nothing is joined.
    """
    n_channels = places.x.shape[0]
    low = np.empty((N_STRIP + 1, n_channels), np.int16)
    high = np.empty((N_STRIP + 1, n_channels), np.int16)
    flags = np.empty((N_STRIP + 1, n_channels), np.uint8)
    _join(first_pixel - 1, time, ring, low[0], high[0], flags[0])
    for start in range(first_pixel, stop_pixel, N_STRIP):
        n = min(N_STRIP, stop_pixel - start)
        for j in range(n):
            _join(start + j, time, ring, low[j + 1], high[j + 1], flags[j + 1])
        for c in range(n_channels):
            if places.x[c] < 0:
                continue
            for j in range(1, n + 1):
                a, b = int(low[j, c]), int(high[j, c])
                top, bottom = 1, 0
                if a <= b:
                    before_a, before_b = int(low[j - 1, c]), int(high[j - 1, c])
                    if before_a <= before_b:
                        a, b = min(a, before_b), max(b, before_a)
                    top = _y_of(b, pixels_per_count[c], places.height)
                    bottom = _y_of(a, pixels_per_count[c], places.height)
                x = places.x[c] + start + j - 1 - shown_from
                _draw_column(
                    image,
                    x,
                    places.y[c],
                    places.height,
                    top,
                    bottom,
                    int(flags[j, c]),
                    trace_colours[c],
                    colours,
                )
        low[0], high[0], flags[0] = low[n], high[n], flags[n]
