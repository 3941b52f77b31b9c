"""Figures of procedures, as PNG files, drawn without a display from the points that were measured.

So an aborted procedure has its figure too, and one can be drawn again from the files.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from app.bench.forms import Values
from app.bench.response_figure import draw_responses
from app.bench.switching_model import Responses, SwitchingModel
from app.core.measured import Point

WIDTH_IN = 7.0
HEIGHT_IN = 4.2
DPI = 130
UP_COLOUR = "#c0392b"
DOWN_COLOUR = "#2467a4"
WIDE = 20.0
"""Resistances of an array that differ more than this are shown on a logarithmic scale."""
MANY_LINES = 10
"""More lines than this get no legend."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a figure is made of."""

    points: Sequence[Point]
    values: Values
    """What was asked for."""

    def tagged(self, tag: str, *, is_pulse: bool | None = None) -> list[Point]:
        """Return the points with a tag: all, only pulses, or only readings."""
        return [
            p
            for p in self.points
            if p.tag == tag and (is_pulse is None or (p.width_s > 0) == is_pulse)
        ]


def draw(path: Path, procedure: str, points: Sequence[Point], values: Values, note: str) -> bool:
    """Draw a procedure's figure; say whether there was anything to draw.

    `note` stands in small letters below: instrument, temperature, time.
    """
    drawing = _DRAWINGS.get(procedure)
    if drawing is None or not any(p.resistance_ohm is not None for p in points):
        return False
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
    FigureCanvasAgg(figure)
    names = sorted({p.device for p in points})
    figure.suptitle(drawing(figure, Drawn(points, values), names[0] if len(names) == 1 else ""))
    figure.supxlabel(note, fontsize=6, color="0.45", x=0.99, ha="right")
    figure.savefig(path, dpi=DPI)
    return True


def _read(figure: Figure, drawn: Drawn, name: str) -> str:
    if drawn.tagged("F"):
        return _array(figure, drawn.tagged("F"))
    points = drawn.tagged("S")
    if len({p.device for p in points}) < len(points):
        _lines_by_device(_axes(figure, "reading", "resistance, kOhm"), points)
        return f"{name or 'devices'}: readings"
    axes = _axes(figure, "", "resistance, kOhm")
    axes.bar([p.device for p in points], _kilo([p.resistance_ohm for p in points]), width=0.5)
    axes.tick_params(axis="x", rotation=90 if len(points) > MANY_LINES else 0)
    return f"{name or 'devices'}: one reading"


def _array(figure: Figure, points: Sequence[Point]) -> str:
    shape = max(p.wordline for p in points), max(p.bitline for p in points)
    ohms = np.full(shape, np.nan)
    for p in points:
        known = p.resistance_ohm is not None and p.resistance_ohm > 0
        ohms[p.wordline - 1, p.bitline - 1] = p.resistance_ohm if known else np.nan
    axes = _axes(figure, "bit line", "word line")
    extent = (0.5, shape[1] + 0.5, shape[0] + 0.5, 0.5)
    is_wide = np.nanmax(ohms) > WIDE * np.nanmin(ohms)
    image = axes.imshow(
        ohms / 1e3,
        extent=extent,
        aspect="equal",
        cmap="viridis",
        norm=LogNorm() if is_wide else None,
    )
    figure.colorbar(image, label="resistance, kOhm")
    n_unread = int(np.isnan(ohms).sum())
    return f"all devices{f', white: {n_unread} unreadable' if n_unread else ''}"


def _pulse(figure: Figure, drawn: Drawn, name: str) -> str:
    pulses = drawn.tagged("P", is_pulse=True)
    axes = _axes(figure, "pulse", "resistance, kOhm")
    first = [pulses[0].before_ohm] if pulses else []
    axes.plot(_kilo([*first, *(p.resistance_ohm for p in pulses)]), "-o", ms=3.5, lw=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if not pulses:
        return f"{name}: no pulse"
    p = pulses[-1]
    return f"{name}: pulses of {p.amplitude_v:+g} V, {p.width_s:g} s; 0 is before the first"


def _iv(figure: Figure, drawn: Drawn, name: str) -> str:
    steps = [p for p in drawn.tagged("CT", is_pulse=True) if p.pulse_v is not None]
    if not steps:
        return f"{name}: no step of the curve was measured"
    volts = _numbers([p.pulse_v for p in steps])
    amperes = _numbers([p.current_a for p in steps])
    limited = np.array([bool(p.is_limited) for p in steps], dtype=bool)
    order = np.arange(len(steps))
    linear = figure.add_subplot(1, 2, 1)
    logarithmic = figure.add_subplot(1, 2, 2)
    for axes, currents in ((linear, 1e6 * amperes), (logarithmic, 1e6 * np.abs(amperes))):
        axes.plot(volts, currents, "-", lw=0.6, color="0.7", zorder=1)
        shown = axes.scatter(volts, currents, c=order, s=9, cmap="viridis", zorder=2)
        axes.set_xlabel("voltage, V")
        axes.axvline(0, color="0.85", lw=0.6, zorder=0)
    linear.scatter(
        volts[limited], 1e6 * amperes[limited], marker="x", color=UP_COLOUR, label="at compliance"
    )
    linear.set_ylabel("current, uA")
    logarithmic.set_ylabel("absolute current, uA")
    logarithmic.set_yscale("log", nonpositive="mask")
    _plain_decades(logarithmic)
    figure.colorbar(shown, ax=logarithmic, label="step, in order")
    if limited.any():
        linear.legend(frameon=False, fontsize=7)
    return f"{name}: current and voltage"


def _retention(figure: Figure, drawn: Drawn, name: str) -> str:
    points = drawn.tagged("RET")
    times_s = np.array([(p.time_ns - points[0].time_ns) / 1e9 for p in points])
    axes = _axes(figure, "time, s", "resistance, kOhm")
    axes.plot(times_s, _kilo([p.resistance_ohm for p in points]), "-o", ms=2.5, lw=0.8)
    axes.ticklabel_format(useOffset=False)
    return f"{name}: retention"


def _endurance(figure: Figure, drawn: Drawn, name: str) -> str:
    pulses = drawn.tagged("EN", is_pulse=True)
    n_per_half = drawn.values.get("pulses")
    n_per_half = n_per_half if isinstance(n_per_half, int) else 1
    ends = pulses[n_per_half - 1 :: n_per_half]
    axes = _axes(figure, "cycle", "resistance, kOhm")
    for half, sign in ((0, ends[:1]), (1, ends[1:2])):
        found = ends[half::2]
        if sign:
            label = f"after {sign[0].amplitude_v:+g} V"
            colour = UP_COLOUR if half == 0 else DOWN_COLOUR
            cycles = np.arange(1, len(found) + 1)
            ohms = _kilo([p.resistance_ohm for p in found])
            axes.plot(cycles, ohms, "o", ms=3, color=colour, label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return f"{name}: endurance"


def _map(figure: Figure, drawn: Drawn, name: str) -> str:
    draw_responses(figure, drawn.tagged("MAP", is_pulse=True))
    return f"{name}: pulse response"


def _form(figure: Figure, drawn: Drawn, name: str) -> str:
    pulses = drawn.tagged("FF", is_pulse=True)
    axes = _axes(figure, "pulse amplitude, V", "resistance after it, kOhm")
    volts = [p.amplitude_v for p in pulses]
    axes.semilogy(volts, _kilo([p.resistance_ohm for p in pulses]), "-o", ms=3, lw=0.8)
    _plain_decades(axes)
    return f"{name}: forming"


def _program(figure: Figure, drawn: Drawn, name: str) -> str:
    axes = _axes(figure, "reading", "resistance, kOhm")
    _lines_by_device(axes, drawn.tagged("CTS"))
    target, tolerance = drawn.values.get("target"), drawn.values.get("tolerance")
    if isinstance(target, float) and isinstance(tolerance, float):
        low, high = target * (1 - tolerance) / 1e3, target * (1 + tolerance) / 1e3
        axes.axhspan(low, high, color="0.9", zorder=0)
        axes.axhline(target / 1e3, color="0.5", lw=0.8, ls="--")
        return f"{name or 'devices'}: programming to {target / 1e3:g} kOhm +- {tolerance:.1%}"
    return f"{name or 'devices'}: programming"


_DRAWINGS: Mapping[str, Callable[[Figure, Drawn, str], str]] = {
    "read": _read,
    "pulse": _pulse,
    "iv": _iv,
    "retention": _retention,
    "endurance": _endurance,
    "map": _map,
    "form": _form,
    "program": _program,
}
"""Each draws into a figure and returns its title."""


def draw_fit(path: Path, name: str, model: SwitchingModel, responses: Responses) -> None:
    """Draw predicted over measured change."""
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
    FigureCanvasAgg(figure)
    predicted = model.after_ohm(responses.before_ohm, responses.amplitude_v, responses.width_s)
    measured_change = 100 * (responses.after_ohm / responses.before_ohm - 1)
    predicted_change = 100 * (predicted / responses.before_ohm - 1)
    axes = _axes(figure, "measured change, %", "predicted change, %")
    for is_positive, colour in ((True, UP_COLOUR), (False, DOWN_COLOUR)):
        chosen = (responses.amplitude_v > 0) == is_positive
        label = "positive pulses" if is_positive else "negative pulses"
        axes.plot(
            measured_change[chosen], predicted_change[chosen], "o", ms=3, color=colour, label=label
        )
    low = float(min(measured_change.min(), predicted_change.min()))
    high = float(max(measured_change.max(), predicted_change.max()))
    axes.plot([low, high], [low, high], color="0.6", lw=0.8)
    axes.legend(frameon=False, fontsize=8)
    figure.suptitle(f"{name}: switching model")
    figure.savefig(path, dpi=DPI)


def _axes(figure: Figure, x_label: str, y_label: str) -> Axes:
    axes = figure.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return axes


def _plain_decades(axes: Axes) -> None:
    """Write numbers, not powers of ten, at a logarithmic axis; less than a decade is the rule."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    low, high = axes.get_ylim()
    is_short = low > 0 and high < 10 * low
    minor = FuncFormatter(lambda y, _: f"{y:g}") if is_short else NullFormatter()
    axes.yaxis.set_minor_formatter(minor)


def _lines_by_device(axes: Axes, points: Sequence[Point]) -> None:
    names = list(dict.fromkeys(p.device for p in points))
    for name in names:
        ohms = _kilo([p.resistance_ohm for p in points if p.device == name])
        axes.plot(np.arange(1, len(ohms) + 1), ohms, "-o", ms=3, lw=0.8, label=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.ticklabel_format(axis="y", useOffset=False)
    if 1 < len(names) <= MANY_LINES:
        axes.legend(frameon=False, fontsize=7)


def _numbers(values: Sequence[float | None]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def _kilo(ohms: Sequence[float | None]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return _numbers(ohms) / 1e3
