"""The figure of a pulse-response map: what each amplitude and width did to the resistance."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.core.measured import Point

UP_COLOUR = "#c0392b"
DOWN_COLOUR = "#2467a4"


def draw_responses(figure: Figure, pulses: Sequence[Point]) -> None:
    """Draw the change by width, one line for each amplitude, and the same as a map of colours."""
    changes: dict[tuple[float, float], list[float]] = {}
    for p in pulses:
        if p.before_ohm and p.resistance_ohm is not None:
            change = 100 * (p.resistance_ohm / p.before_ohm - 1)
            changes.setdefault((p.amplitude_v, p.width_s), []).append(change)
    amplitudes_v = sorted({v for v, _ in changes})
    widths_s = sorted({w for _, w in changes})
    table = np.full((len(amplitudes_v), len(widths_s)), np.nan)
    for (v, w), found in changes.items():
        table[amplitudes_v.index(v), widths_s.index(w)] = np.mean(found)
    lines, colours = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
    _draw_lines(lines, amplitudes_v, widths_s, table)
    largest = float(np.nanmax(np.abs(table))) if changes else 1.0
    image = colours.imshow(
        table, aspect="auto", origin="lower", cmap="RdBu_r", vmin=-largest, vmax=largest
    )
    colours.set_xticks(range(len(widths_s)), [f"{1e6 * w:g}" for w in widths_s], rotation=45)
    colours.set_yticks(range(len(amplitudes_v)), [f"{v:+g}" for v in amplitudes_v])
    colours.set_xlabel("pulse width, us")
    colours.set_ylabel("amplitude, V")
    figure.colorbar(image, label="change of resistance, %")


def _draw_lines(
    axes: Axes,
    amplitudes_v: Sequence[float],
    widths_s: Sequence[float],
    table: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> None:
    largest_v = max(map(abs, amplitudes_v), default=1.0)
    for v, changes in zip(amplitudes_v, table, strict=True):
        known = ~np.isnan(changes)
        shade = 0.25 + 0.75 * abs(v) / largest_v
        axes.semilogx(
            1e6 * np.array(widths_s)[known],
            changes[known],
            "-o",
            ms=3,
            color=UP_COLOUR if v > 0 else DOWN_COLOUR,
            alpha=shade,
            label=f"{v:+g} V",
        )
    axes.axhline(0, color="0.7", lw=0.8)
    axes.set_xlabel("pulse width, us")
    axes.set_ylabel("change of resistance, %")
    if amplitudes_v:
        axes.legend(frameon=False, fontsize=7, ncols=2)
