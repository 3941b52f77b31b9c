"""Colours of firing rates: logarithmic, because cultures span three decades."""

import numpy as np
import numpy.typing as npt

from app.console.feed import ChannelCondition, ChannelStates
from app.gui.drawing.cell_grid import CellGrid
from app.gui.drawing.palette import Palette

RATE_MIN_HZ = 0.1
RATE_MAX_HZ = 100.0
TICKS_HZ = (0.1, 1.0, 10.0, 100.0)


def place_on_scale(rate_hz: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return 0 (silent, or the slowest shown) to 1 (the fastest shown, or faster)."""
    ratio = np.log(RATE_MAX_HZ / RATE_MIN_HZ)
    rate = np.clip(rate_hz.astype(np.float64), RATE_MIN_HZ, RATE_MAX_HZ)
    place: npt.NDArray[np.float64] = np.log(rate / RATE_MIN_HZ) / ratio
    return place


def map_pixels(
    grid: CellGrid, states: ChannelStates, colour_map: npt.NDArray[np.uint8], palette: Palette
) -> npt.NDArray[np.uint8]:
    """Return one RGBA pixel a cell, `(n_rows, n_columns, 4)`.

    `colour_map` is `(n_colours, 4)`. A channel whose rate says nothing, because detection is off,
    settling or suspended there, has no colour of the scale; a cell without a channel none at all.
    """
    pixels = np.zeros((grid.n_rows, grid.n_columns, 4), np.uint8)
    place = place_on_scale(np.nan_to_num(states.rate_hz))
    colours = colour_map[np.round(place * (len(colour_map) - 1)).astype(int)].copy()
    has_rate = (states.condition == ChannelCondition.GOOD) & np.isfinite(states.rate_hz)
    colours[~has_rate] = rgba(palette.separator)
    colours[states.condition == ChannelCondition.SUSPENDED] = rgba(palette.clipped)
    colours[states.condition == ChannelCondition.DEAD] = rgba(palette.muted)
    pixels[grid.row, grid.column] = colours
    return pixels


def rgba(argb: int) -> tuple[int, int, int, int]:
    """Return 0xAARRGGBB as red, green, blue and alpha."""
    return (argb >> 16) & 255, (argb >> 8) & 255, argb & 255, argb >> 24


def channel_text(name: str, states: ChannelStates, channel: int) -> str:
    """Say what detection knows of a channel."""
    condition = ChannelCondition(int(states.condition[channel])).name.lower()
    parts = [f"{name}: {condition}"]
    if np.isfinite(states.rate_hz[channel]):
        parts.append(f"{states.rate_hz[channel]:.2f} spikes/s")
    if np.isfinite(states.threshold_uv[channel]):
        parts.append(f"threshold {states.threshold_uv[channel]:.1f} µV")
    if np.isfinite(states.sigma_uv[channel]):
        parts.append(f"noise σ {states.sigma_uv[channel]:.1f} µV")
    return ", ".join(parts)
