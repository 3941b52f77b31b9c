"""A procedure's points as a picture: curves with axes, or a table of colours. No Qt in here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.bench.forms import Values
from app.core.measured import Point

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of one kind, in order."""

    label: str
    x: Floats
    y: Floats
    role: str = "accent"
    """A colour by meaning: accent, up, down, warning."""
    is_line: bool = True
    symbol: str = "o"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What is drawn. With a `table` there are no curves."""

    x_axis: tuple[str, str]
    """What, and its unit."""
    y_axis: tuple[str, str]
    curves: tuple[Curve, ...] = ()
    band: tuple[float, float] | None = None
    """Where the values shall end."""
    is_log_y: bool = False
    table: Floats | None = None
    """`(n_rows, n_columns)`; NaN where nothing is known."""
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    legend: str = ""
    is_signed: bool = False
    """The table's colours stand for up and down, not for little and much."""


KILO_OHM = ("Resistance", "kΩ")


def picture_of(procedure: str, points: Sequence[Point], values: Values) -> Picture:
    """Return the picture of what a procedure has measured so far."""
    return _PICTURES[procedure](points, values)


def _read(points: Sequence[Point], values: Values) -> Picture:
    found = [p for p in points if p.tag == "F"]
    if values.get("all") or found:
        return _array(found)
    return _by_device([p for p in points if p.tag == "S"], None)


def _array(points: Sequence[Point]) -> Picture:
    shape = (
        max((p.wordline for p in points), default=1),
        max((p.bitline for p in points), default=1),
    )
    table = np.full(shape, np.nan)
    for p in points:
        table[p.wordline - 1, p.bitline - 1] = _kilo_ohm(p)
    return Picture(
        x_axis=("Bit line", ""),
        y_axis=("Word line", ""),
        table=table,
        rows=tuple(str(i + 1) for i in range(shape[0])),
        columns=tuple(str(i + 1) for i in range(shape[1])),
        legend="kΩ",
    )


def _pulse(points: Sequence[Point], values: Values) -> Picture:
    pulses = [p for p in points if p.width_s > 0]
    before = [p.before_ohm or np.nan for p in pulses[:1]]
    ohms = np.array([*before, *(p.resistance_ohm or np.nan for p in pulses)]) / 1e3
    curve = Curve("", np.arange(len(ohms), dtype=np.float64), ohms)
    return Picture(x_axis=("Pulse", ""), y_axis=KILO_OHM, curves=(curve,))


def _iv(points: Sequence[Point], values: Values) -> Picture:
    steps = [p for p in points if p.tag == "CT" and p.pulse_v is not None]
    volts = np.array([p.pulse_v for p in steps], dtype=np.float64)
    amperes = np.array([np.nan if p.current_a is None else p.current_a for p in steps]) * 1e6
    limited = np.array([bool(p.is_limited) for p in steps], dtype=bool)
    curves = (
        Curve("", volts, amperes),
        Curve("at compliance", volts[limited], amperes[limited], "warning", False, "x"),
    )
    return Picture(x_axis=("Voltage", "V"), y_axis=("Current", "µA"), curves=curves)


def _retention(points: Sequence[Point], values: Values) -> Picture:
    times_s = np.array([(p.time_ns - points[0].time_ns) / 1e9 for p in points])
    curve = Curve("", times_s, np.array([_kilo_ohm(p) for p in points]))
    return Picture(x_axis=("Time", "s"), y_axis=KILO_OHM, curves=(curve,))


def _endurance(points: Sequence[Point], values: Values) -> Picture:
    pulses = [p for p in points if p.width_s > 0]
    per_half = values.get("pulses")
    per_half = per_half if isinstance(per_half, int) else 1
    ends = pulses[per_half - 1 :: per_half]
    curves = []
    for half, role in ((0, "up"), (1, "down")):
        found = ends[half::2]
        label = f"after {found[0].amplitude_v:+g} V" if found else ""
        cycles = np.arange(1, len(found) + 1, dtype=np.float64)
        ohms = np.array([_kilo_ohm(p) for p in found])
        curves.append(Curve(label, cycles, ohms, role, is_line=False))
    return Picture(x_axis=("Cycle", ""), y_axis=KILO_OHM, curves=tuple(curves))


def _map(points: Sequence[Point], values: Values) -> Picture:
    volts, widths = sorted(_numbers(values, "volts")), sorted(_numbers(values, "widths"))
    sums, counts = np.zeros((len(volts), len(widths))), np.zeros((len(volts), len(widths)))
    for p in points:
        is_known = p.width_s > 0 and p.before_ohm and p.resistance_ohm is not None
        if p.tag == "MAP" and is_known and p.amplitude_v in volts and p.width_s in widths:
            place = volts.index(p.amplitude_v), widths.index(p.width_s)
            sums[place] += 100 * (_kilo_ohm(p) * 1e3 / (p.before_ohm or np.nan) - 1)
            counts[place] += 1
    with np.errstate(invalid="ignore"):
        table = sums / np.where(counts, counts, np.nan)
    return Picture(
        x_axis=("Pulse width", "µs"),
        y_axis=("Amplitude", "V"),
        table=table,
        rows=tuple(f"{v:+g}" for v in volts),
        columns=tuple(f"{1e6 * w:g}" for w in widths),
        legend="change of resistance, %",
        is_signed=True,
    )


def _form(points: Sequence[Point], values: Values) -> Picture:
    pulses = [p for p in points if p.width_s > 0]
    volts = np.array([p.amplitude_v for p in pulses], dtype=np.float64)
    curve = Curve("", volts, np.array([_kilo_ohm(p) for p in pulses]))
    return Picture(x_axis=("Amplitude", "V"), y_axis=KILO_OHM, curves=(curve,), is_log_y=True)


def _program(points: Sequence[Point], values: Values) -> Picture:
    target, tolerance = values.get("target"), values.get("tolerance")
    band = None
    if isinstance(target, float) and isinstance(tolerance, float):
        band = target * (1 - tolerance) / 1e3, target * (1 + tolerance) / 1e3
    return _by_device([p for p in points if p.tag == "CTS"], band)


def _by_device(points: Sequence[Point], band: tuple[float, float] | None) -> Picture:
    names = list(dict.fromkeys(p.device for p in points))
    roles = ("accent", "up", "down", "warning")
    curves = []
    for i, name in enumerate(names):
        ohms = np.array([_kilo_ohm(p) for p in points if p.device == name])
        numbers = np.arange(1, len(ohms) + 1, dtype=np.float64)
        curves.append(Curve(name, numbers, ohms, roles[i % len(roles)]))
    return Picture(x_axis=("Reading", ""), y_axis=KILO_OHM, curves=tuple(curves), band=band)


_PICTURES: Mapping[str, Callable[[Sequence[Point], Values], Picture]] = {
    "read": _read,
    "pulse": _pulse,
    "iv": _iv,
    "retention": _retention,
    "endurance": _endurance,
    "map": _map,
    "form": _form,
    "program": _program,
}


def _kilo_ohm(point: Point) -> float:
    return np.nan if point.resistance_ohm is None else point.resistance_ohm / 1e3


def _numbers(values: Values, name: str) -> tuple[float, ...]:
    value = values.get(name)
    return value if isinstance(value, tuple) else ()
