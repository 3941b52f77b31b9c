"""The summary figure: rates on the map, the busiest channels' snippets, and `figure_panels`."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.core.detector_settings import DetectorSettings
from app.core.filter_design import butterworth_band_pass
from app.detect.figure_panels import (
    BLUE,
    GREY,
    RED,
    draw_amplitudes,
    draw_noise,
    draw_raster,
    draw_rate,
)
from app.detect.results import spikes_per_channel
from app.detect.scan import Found
from app.detect.snippets import Snippets, cut_snippets
from drivers.mea.playback.recording import Recording

N_PANELS = (3, 4)
N_SNIPPETS = 40


def draw_figure(
    recording: Recording,
    found: Found,
    settings: DetectorSettings,
    positions_um: npt.NDArray[np.float64] | None,
    title: str,
    path: Path,
) -> None:
    """Draw and write a PNG; needs no display."""
    figure = Figure(figsize=(13, 10), layout="constrained")
    n_rows, n_columns = N_PANELS
    grid = figure.add_gridspec(n_rows + 3, 2 * n_columns)
    _draw_map(figure.add_subplot(grid[:n_rows, :n_columns]), recording, found, positions_um)
    panels = [
        figure.add_subplot(grid[row, n_columns + column])
        for row in range(n_rows)
        for column in range(n_columns)
    ]
    _draw_snippets(panels, busiest_snippets(recording, found, settings), recording, found)
    draw_noise(figure.add_subplot(grid[n_rows, :n_columns]), recording, found)
    draw_amplitudes(figure.add_subplot(grid[n_rows + 1 :, :n_columns]), found)
    rate = figure.add_subplot(grid[n_rows + 2, n_columns:])
    draw_raster(
        figure.add_subplot(grid[n_rows : n_rows + 2, n_columns:], sharex=rate), recording, found
    )
    draw_rate(rate, recording, found)
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def busiest_snippets(
    recording: Recording, found: Found, settings: DetectorSettings
) -> list[Snippets]:
    """Return snippets of the channels with most spikes, evenly taken from the whole recording."""
    counts = spikes_per_channel(recording, found)
    sections = butterworth_band_pass(
        settings.band_hz, recording.stream_format.sample_rate_hz, settings.n_poles_per_edge
    )
    order = np.argsort(-counts, kind="stable")[: math.prod(N_PANELS)]
    troughs, channels = found.trough_rows[~found.is_artefact], found.spikes["channel"]
    channels = channels[~found.is_artefact]
    chosen = []
    for channel in order.tolist():
        rows = troughs[channels == channel]
        if len(rows):
            at = np.unique(np.linspace(0, len(rows) - 1, N_SNIPPETS).round().astype(int))
            chosen.append(cut_snippets(recording, channel, rows[at], sections))
    return chosen


def _draw_map(
    ax: Axes,
    recording: Recording,
    found: Found,
    positions_um: npt.NDArray[np.float64] | None,
) -> None:
    rate_hz = spikes_per_channel(recording, found) / recording.duration_s
    if positions_um is None:
        n_columns = math.ceil(math.sqrt(len(rate_hz)))
        at = np.arange(len(rate_hz))
        places = np.stack([at % n_columns, -(at // n_columns)], axis=1).astype(np.float64)
        ax.set_title("rate per channel, in order of channels (no electrode map given)", fontsize=9)
        ax.set_xticks([])
        ax.set_yticks([])
    else:
        places = positions_um
        n_without = int(np.isnan(places[:, 0]).sum())
        rest = f" ({n_without} channels are not on it)" if n_without else ""
        ax.set_title(f"rate on the electrode map{rest}", fontsize=9)
        ax.set_xlabel("x (µm)")
        ax.set_ylabel("y (µm)")
    size = float(np.clip(20_000 / len(rate_hz), 4, 500))
    is_bad = found.status.is_bad
    shown = ax.scatter(
        places[~is_bad, 0],
        places[~is_bad, 1],
        c=rate_hz[~is_bad],
        s=size,
        cmap="viridis",
        edgecolors="none",
        vmin=0,
    )
    ax.scatter(places[is_bad, 0], places[is_bad, 1], marker="x", s=size / 2, color=GREY)
    if len(rate_hz) <= 64:
        for name, place, hz in zip(recording.stream_format.channel_names, places, rate_hz,
                                   strict=True):  # fmt: skip
            is_light = hz > 0.6 * rate_hz.max()
            ax.annotate(name, place, ha="center", va="center", fontsize=6,
                        color="black" if is_light else "white")  # fmt: skip
    ax.set_aspect("equal", adjustable="datalim")
    ax.margins(0.12)
    ax.figure.colorbar(shown, ax=ax, label="spikes per second", shrink=0.8)


def _draw_snippets(
    panels: Sequence[Axes], snippets: Sequence[Snippets], recording: Recording, found: Found
) -> None:
    """Draw single snippets, their median, and the thresholds that were crossed at the end."""
    is_up = found.spikes["amplitude_uv"] > 0
    for ax, one in zip(panels, snippets, strict=False):
        ax.plot(one.time_ms, one.signal_uv, color=GREY, linewidth=0.5)
        if one.signal_uv.shape[1]:
            ax.plot(one.time_ms, np.median(one.signal_uv, axis=1), color=BLUE, linewidth=1.4)
        threshold_uv = found.status.threshold_uv[one.channel]
        on_channel = found.spikes["channel"] == one.channel
        for sign, side in ((-1, ~is_up), (1, is_up)):
            if (on_channel & side).any():
                ax.axhline(sign * threshold_uv, color=RED, linestyle=":", linewidth=0.8)
        ax.set_title(recording.stream_format.channel_names[one.channel], fontsize=8)
        ax.tick_params(labelsize=7)
        ax.margins(x=0)
    for ax in panels[len(snippets) :]:
        ax.set_visible(False)
    if len(snippets):
        panels[0].set_ylabel("µV", fontsize=8)
        panels[len(snippets) - 1].set_xlabel("ms from the trough", fontsize=8)
    else:
        panels[0].set_visible(True)
        panels[0].set_axis_off()
        panels[0].text(0, 0.5, "no spikes")
