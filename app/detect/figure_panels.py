"""The panels of the summary figure that show all channels at once: noise, amplitudes, time."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from app.detect.scan import Found
from drivers.mea.playback.recording import Recording

BLUE, ORANGE, GREY, RED = "#2471a3", "#d35400", "#b3b6b7", "#c0392b"
MAX_POINTS = 100_000
MAX_BARS = 200


def draw_noise(ax: Axes, recording: Recording, found: Found) -> None:
    """Draw each channel's noise, and which channels are not what they should be."""
    status = found.status
    channel = np.arange(recording.stream_format.n_channels)
    is_odd = status.is_dead | status.is_bad | status.is_pegged
    ax.plot(channel[~is_odd], status.sigma_uv[~is_odd], ".", color=BLUE, label="noise")
    for which, colour, label in (
        (status.is_dead & ~status.is_bad, RED, "dead: below the floor"),
        (status.is_pegged, ORANGE, "pegged"),
        (status.is_bad, GREY, "bad: excluded"),
    ):
        if which.any():
            heights = np.nan_to_num(status.sigma_uv[which])
            ax.plot(channel[which], heights, "x", color=colour, label=label)
    ax.set_ylim(0, 1.2 * max(1.0, float(np.nanmax(status.sigma_uv, initial=0.0))))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("channel, in order; noise at the end")
    ax.set_ylabel("noise (µV)")
    ax.legend(fontsize=7)


def draw_amplitudes(ax: Axes, found: Found) -> None:
    """Draw how far beyond the noise the spikes reach: a threshold within noise heaps them at it."""
    spikes = found.spikes[~found.is_artefact]
    ax.set_xlabel("amplitude of a spike (times the noise)")
    ax.set_ylabel("spikes")
    if not len(spikes):
        ax.text(0.5, 0.5, "no spikes", ha="center", transform=ax.transAxes)
        return
    in_sigma = np.abs(spikes["amplitude_uv"]) / spikes["sigma_uv"]
    threshold = float(np.median(np.abs(spikes["threshold_uv"]) / spikes["sigma_uv"]))
    bottom = min(0.8 * threshold, float(in_sigma.min()))
    top = max(2.0 * threshold, float(np.percentile(in_sigma, 99.5)))
    n_bars_to_threshold = max(1, min(40, math.floor(MAX_BARS * threshold / top)))
    width = threshold / n_bars_to_threshold  # so that the threshold is the edge of a bar
    edges = np.arange(math.floor(bottom / width), math.ceil(top / width) + 1) * width
    ax.hist(np.minimum(in_sigma, edges[-1]), edges.tolist(), color=BLUE, alpha=0.6)
    ax.axvline(threshold, color=RED, linestyle=":", label=f"threshold: {threshold:.2g}")
    ax.margins(x=0)
    ax.legend(fontsize=7)


def draw_raster(ax: Axes, recording: Recording, found: Found) -> None:
    """Draw every spike, or of very many an even choice, as a point at its time and channel."""
    is_spike = ~found.is_artefact
    step = max(1, int(is_spike.sum()) // MAX_POINTS)
    time_s = found.trough_rows[is_spike][::step] / recording.stream_format.sample_rate_hz
    channel = found.spikes["channel"][is_spike][::step]
    n_channels = recording.stream_format.n_channels
    height = float(np.clip(120 / n_channels, 0.7, 6))
    ax.plot(time_s, channel, "|", color=BLUE, markersize=height, rasterized=True)
    ax.set_ylim(n_channels - 0.5, -0.5)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.tick_params(labelbottom=False)
    ax.set_ylabel("channel, in order")
    if step > 1:
        ax.set_title(f"one spike of {step} shown", fontsize=8)


def draw_rate(ax: Axes, recording: Recording, found: Found) -> None:
    """Draw spikes per second of all channels over time, artefacts apart, gaps marked."""
    rate_hz = recording.stream_format.sample_rate_hz
    n_bins = int(np.clip(math.ceil(recording.duration_s), 20, 600))
    edges_s = np.linspace(0, recording.duration_s, n_bins + 1)
    spike_s = found.trough_rows / rate_hz
    width_s = edges_s[1]
    counts, _ = np.histogram(spike_s[~found.is_artefact], edges_s)
    ax.stairs(counts / width_s, edges_s, color=BLUE, fill=True, alpha=0.6, label="spikes")
    if found.is_artefact.any():
        artefacts, _ = np.histogram(spike_s[found.is_artefact], edges_s)
        ax.stairs(artefacts / width_s, edges_s, color=RED, label="artefacts (not counted)")
    for gap in found.gaps:
        ax.axvline(gap.row / rate_hz, color=ORANGE, linestyle="--", linewidth=1)
    if found.gaps:
        ax.plot([], [], "--", color=ORANGE, label=f"gaps: {len(found.gaps)}")
    ax.margins(x=0)
    ax.set_xlabel("time in the recording (s)")
    ax.set_ylabel("spikes per second")
    ax.legend(fontsize=7)
