"""Figures of procedures, as PNG files, drawn without a display."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from app.bench.cycling import Endurance, Response
from app.bench.iv_curve import IvPoint
from app.bench.points import Point
from app.bench.programming import Programmed
from app.bench.reading import Retention
from app.bench.switching_model import Responses, SwitchingModel

WIDTH_IN = 7.0
HEIGHT_IN = 4.2
UP_COLOUR = "#c0392b"
DOWN_COLOUR = "#2467a4"


def draw_iv(path: Path, name: str, points: Sequence[IvPoint]) -> None:
    """Draw current over voltage; steps at the compliance are marked."""
    figure, (linear, logarithmic) = _figure(2)
    volts = np.array([p.voltage_v for p in points])
    amperes = np.array([p.current_a for p in points])
    limited = np.array([p.is_limited for p in points], dtype=bool)
    linear.plot(volts, 1e6 * amperes, "-o", ms=2.5, lw=0.8, color=DOWN_COLOUR)
    linear.plot(volts[limited], 1e6 * amperes[limited], "x", color=UP_COLOUR, label="at compliance")
    logarithmic.semilogy(volts, 1e6 * np.abs(amperes) + 1e-6, "-o", ms=2.5, lw=0.8)
    for axes in (linear, logarithmic):
        axes.set_xlabel("voltage, V")
    linear.set_ylabel("current, uA")
    if limited.any():
        linear.legend(frameon=False)
    _finish(figure, path, f"{name}: current and voltage")


def draw_array(path: Path, name: str, resistances_ohm: npt.NDArray[np.float64]) -> None:
    """Draw an array as a map of log10 of resistance; unreadable devices stay white."""
    figure, (axes,) = _figure(1)
    n_word, n_bit = resistances_ohm.shape
    extent = (0.5, n_bit + 0.5, n_word + 0.5, 0.5)
    image = axes.imshow(np.log10(resistances_ohm), extent=extent, aspect="auto", cmap="viridis")
    figure.colorbar(image, label="log10 of resistance in ohm")
    axes.set_xlabel("bit line")
    axes.set_ylabel("word line")
    _finish(figure, path, f"{name}: all devices")


def draw_retention(path: Path, name: str, found: Retention) -> None:
    """Draw resistance over time."""
    figure, (axes,) = _figure(1)
    axes.plot(found.times_s, found.resistances_ohm / 1e3, "-o", ms=2.5, lw=0.8)
    axes.set_xlabel("time, s")
    axes.set_ylabel("resistance, kOhm")
    _finish(figure, path, f"{name}: retention, {found.drift_per_decade:+.2%} per decade")


def draw_endurance(path: Path, name: str, found: Endurance) -> None:
    """Draw both states over cycles."""
    figure, (axes,) = _figure(1)
    axes.plot(np.array(found.high_ohm) / 1e3, "o", ms=3, color=UP_COLOUR, label="high")
    axes.plot(np.array(found.low_ohm) / 1e3, "o", ms=3, color=DOWN_COLOUR, label="low")
    axes.set_xlabel("cycle")
    axes.set_ylabel("resistance, kOhm")
    axes.legend(frameon=False)
    _finish(figure, path, f"{name}: endurance")


def draw_map(path: Path, name: str, found: Sequence[Response]) -> None:
    """Draw the change by width, one line for each amplitude."""
    figure, (axes,) = _figure(1)
    amplitudes = sorted({r.amplitude_v for r in found})
    for i, amplitude_v in enumerate(amplitudes):
        widths = sorted({r.width_s for r in found if r.amplitude_v == amplitude_v})
        of_this = [r for r in found if r.amplitude_v == amplitude_v]
        changes = [100 * np.mean([r.change for r in of_this if r.width_s == w]) for w in widths]
        shade = 0.3 + 0.7 * (i + 1) / len(amplitudes)
        colour = UP_COLOUR if amplitude_v > 0 else DOWN_COLOUR
        axes.semilogx(
            widths, changes, "-o", ms=3, color=colour, alpha=shade, label=f"{amplitude_v:+g} V"
        )
    axes.axhline(0, color="0.7", lw=0.8)
    axes.set_xlabel("pulse width, s")
    axes.set_ylabel("change of resistance, %")
    axes.legend(frameon=False, fontsize=7, ncols=2)
    _finish(figure, path, f"{name}: pulse response")


def draw_program(
    path: Path, points: Sequence[Point], results: Sequence[Programmed], target_ohm: float
) -> None:
    """Draw each device's way to the target."""
    figure, (axes,) = _figure(1)
    for result in results:
        ohms = [
            p.resistance_ohm
            for p in points
            if p.device == result.device and p.tag == "CTS" and p.resistance_ohm is not None
        ]
        axes.plot(
            np.array(ohms) / 1e3, "-o", ms=3, lw=0.8, label=f"{result.device}: {result.reason}"
        )
    axes.axhline(target_ohm / 1e3, color="0.5", lw=0.8, ls="--")
    axes.set_xlabel("reading")
    axes.set_ylabel("resistance, kOhm")
    if len(results) <= 10:
        axes.legend(frameon=False, fontsize=7)
    _finish(figure, path, f"programming to {target_ohm / 1e3:g} kOhm")


def draw_fit(path: Path, name: str, model: SwitchingModel, responses: Responses) -> None:
    """Draw predicted over measured change."""
    figure, (axes,) = _figure(1)
    predicted = model.after_ohm(responses.before_ohm, responses.amplitude_v, responses.width_s)
    measured_change = 100 * (responses.after_ohm / responses.before_ohm - 1)
    predicted_change = 100 * (predicted / responses.before_ohm - 1)
    axes.plot(measured_change, predicted_change, "o", ms=3)
    low = float(min(measured_change.min(), predicted_change.min()))
    high = float(max(measured_change.max(), predicted_change.max()))
    axes.plot([low, high], [low, high], color="0.6", lw=0.8)
    axes.set_xlabel("measured change, %")
    axes.set_ylabel("predicted change, %")
    _finish(figure, path, f"{name}: switching model")


def _figure(n: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(1, n, i + 1) for i in range(n)]


def _finish(figure: Figure, path: Path, title: str) -> None:
    figure.suptitle(title)
    figure.savefig(path, dpi=130)
