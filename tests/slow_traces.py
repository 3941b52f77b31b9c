"""The picture of traces by its definition, pixel by pixel in plain Python."""

import math

import numpy as np

from app.gui.drawing.cell_grid import CellGrid
from app.gui.drawing.column_history import ColumnFlag
from app.gui.drawing.palette import Palette


def _of_pixel(columns, pixel, n_window, n_pixels, channel):
    first = pixel * n_window // n_pixels
    stop = max(first + 1, (pixel + 1) * n_window // n_pixels)
    found = [columns[i, channel] for i in range(first, stop) if (i, channel) in columns]
    samples = [(low, high) for low, high, _ in found if low <= high]
    flags = 0
    for _, _, f in found:
        flags |= f
    if not samples:
        return None, flags
    return (min(low for low, _ in samples), max(high for _, high in samples)), flags


def _background(flags, palette: Palette):
    for flag, colour in (
        (ColumnFlag.GAP, palette.gap),
        (ColumnFlag.MISSED, palette.missed),
        (ColumnFlag.STIMULUS, palette.stimulus),
        (ColumnFlag.ARTEFACT, palette.artefact),
    ):
        if flags & flag:
            return colour
    return palette.background


def _cell(columns, end, n_window, n_pixels, width, height, counts, channel, palette: Palette):
    end_pixel = math.ceil(end * n_pixels / n_window)
    cell = np.full((height, width), palette.background, np.uint32)
    for pixel in range(end_pixel - width, end_pixel):
        x = pixel - (end_pixel - width)
        span, flags = _of_pixel(columns, pixel, n_window, n_pixels, channel)
        before, _ = _of_pixel(columns, pixel - 1, n_window, n_pixels, channel)
        cell[:, x] = _background(flags, palette)
        is_spike = bool(flags & ColumnFlag.SPIKE)
        if is_spike:
            cell[: max(1, height // 8), x] = palette.spike
        if span is None:
            continue
        low, high = span
        if before is not None:
            low, high = min(low, before[1]), max(high, before[0])
        per_count = (height - 1) / 2 / counts
        top = math.floor((height - 1) / 2 - high * per_count + 0.5)
        bottom = math.floor((height - 1) / 2 - low * per_count + 0.5)
        is_withheld = bool(flags & (ColumnFlag.STIMULUS | ColumnFlag.ARTEFACT))
        colour = palette.withheld if is_withheld else palette.trace
        for y in range(max(0, top), min(height - 1, bottom) + 1):
            cell[y, x] = palette.spike if is_spike else colour
        if is_withheld:
            continue
        if top < 0:
            cell[0, x] = palette.clipped
        if bottom >= height:
            cell[height - 1, x] = palette.clipped
    return cell


def joined(columns, n_joined):
    """Join neighbouring columns: smallest low, largest high, all flags."""
    found = {}
    for (i, channel), (low, high, flags) in columns.items():
        key = i // n_joined, channel
        old_low, old_high, old_flags = found.get(key, (32767, -32768, 0))
        if low <= high:
            old_low, old_high = min(low, old_low), max(high, old_high)
        found[key] = old_low, old_high, old_flags | flags
    return found


def slow_picture(
    columns, end, n_window, grid: CellGrid, places, counts, shape, palette: Palette, n_joined=1
):
    """Draw all at once.

    `columns` maps (column, channel) to (low, high, flags); `counts` per channel at a cell's edge.
    `n_joined` is how many columns are joined before they are drawn.
    """
    if n_joined > 1:
        columns, end = joined(columns, n_joined), -(-end // n_joined)
    picture = np.full(shape, palette.background, np.uint32)
    cell_width, cell_height = shape[1] // grid.n_columns, shape[0] // grid.n_rows
    for channel in range(len(grid.column)):
        x, y = int(places.x[channel]), int(places.y[channel])
        if x < 0:
            continue
        cell = _cell(
            columns,
            end,
            n_window,
            places.width * n_joined,
            places.width,
            places.height,
            float(counts[channel]),
            channel,
            palette,
        )
        picture[y : y + cell_height, x : x + cell_width] = palette.separator
        picture[y : y + places.height, x : x + places.width] = cell
    return picture
