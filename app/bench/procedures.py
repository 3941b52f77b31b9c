"""The procedures by name: from the values that somebody gave to what was found, in sentences."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from app.bench.bench import Bench
from app.bench.endurance import endurance
from app.bench.errors import AbortedError, BenchError
from app.bench.forming import FormingSettings, forming
from app.bench.forms import BY_NAME, Values
from app.bench.iv_curve import IvSettings, Span, iv_curve, n_planned
from app.bench.programming import Programmed, ProgramSettings, Reason, program
from app.bench.pulse_response import pulse_map
from app.bench.reading import read_array, read_devices, retention
from app.bench.words import ohm, ohms


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One procedure on a bench."""

    procedure: str
    devices: tuple[str, ...]
    """None named: all of the site file, for a procedure that takes many."""
    values: Values
    """As `Form.taken` gives them."""
    who: str

    @property
    def words(self) -> str:
        """Get what was asked for in a line, but for what was left open or unticked."""
        given = [
            f"{name} {' '.join(map(str, value)) if isinstance(value, tuple) else value}"
            for name, value in self.values.items()
            if value is not None and value is not False
        ]
        return f"{', '.join(self.devices) or 'all devices'}; {', '.join(given)}"


@dataclass(frozen=True, slots=True)
class Result:
    """What a procedure found, and how a person reads it."""

    lines: list[str]
    values: dict[str, Any] = field(default_factory=dict)
    is_well: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task is carried out."""

    bench: Bench
    shape: tuple[int, int]
    """Word lines and bit lines."""
    arm_forming: Callable[[str], None]
    """Asks the Gate for leave to form a device; raises `BenchError` if it is not given."""


def carry_out(place: Place, task: Task) -> Result:
    """Run a procedure to its end; an abort is an end too.

    Raises
    ------
    BenchError
        It cannot go on; the message says why.
    TransportError
        The instrument is gone.
    """
    names = task.devices or tuple(sorted(place.bench.devices))
    if not BY_NAME[task.procedure].takes_many and len(names) != 1:
        raise BenchError(f"{task.procedure}: name one device, not {len(names)}")
    for name in names:
        place.bench.device(name)
    try:
        return _RUNS[task.procedure](place, task, names)
    except AbortedError as exc:
        said = f"{exc}; what was measured is kept"
        return Result([said], {"aborted": True}, is_well=False)


def _read(place: Place, task: Task, names: Sequence[str]) -> Result:
    if task.values["all"]:
        return _read_all(place)
    readings = read_devices(place.bench, names, _whole(task.values["times"]))
    lines = [f"{name}: {ohms(found)}" for name, found in readings.items()]
    return Result(lines, {"resistances_ohm": readings}, all(readings.values()))


def _read_all(place: Place) -> Result:
    found = read_array(place.bench, place.shape)
    believed = found.resistances_ohm[~np.isnan(found.resistances_ohm)]
    median_ohm = float(np.median(believed)) if believed.size else math.nan
    unread = f", {found.n_unreadable} unreadable" if found.n_unreadable else ""
    line = f"{found.resistances_ohm.size} devices, median {median_ohm:.0f} ohm{unread}"
    values = {"median_ohm": median_ohm, "n_unreadable": found.n_unreadable}
    return Result([line], values, believed.size > 0)


def _pulse(place: Place, task: Task, names: Sequence[str]) -> Result:
    bench, (name,) = place.bench, names
    amplitude_v, width_s = _number(task.values["volts"]), _number(task.values["width"])
    is_exploring, n_pulses = bool(task.values["explore"]), _whole(task.values["times"])
    act = bench.apply if is_exploring else bench.write
    lines, is_well = [], True
    for i in range(n_pulses):
        bench.progress(i, n_pulses, f"pulsing {name}")
        write = act(name, amplitude_v, width_s)
        word = "up" if write.direction > 0 else "down"
        lines.append(
            f"{name}: {amplitude_v:+g} V {width_s:g} s: {ohm(write.before_ohm)} -> "
            f"{ohm(write.after_ohm)}, expected {word}: {write.verdict} {write.detail}".rstrip()
        )
        is_well &= is_exploring or str(write.verdict) == "moved"
        if not is_well:
            break
    return Result(lines, {"writes": lines}, is_well)


def _iv(place: Place, task: Task, names: Sequence[str]) -> Result:
    v, (name,) = task.values, names
    settings = IvSettings(
        up_v=_number(v["up"]),
        down_v=_number(v["down"]),
        step_v=_number(v["step"]),
        width_s=_number(v["width"]),
        pause_s=_number(v["pause"]),
        n_cycles=_whole(v["cycles"]),
        span=Span(str(v["span"])),
        is_staircase=v["shape"] == "staircase",
        halts_at_compliance=not v["no-halt"],
    )
    points = iv_curve(place.bench, name, settings)
    n_limited = sum(p.is_limited for p in points)
    planned = n_planned(settings)
    early = "" if len(points) == planned else f" of {planned}"
    line = f"{name}: {len(points)}{early} steps, {n_limited} at the compliance"
    if early and not n_limited:
        line += "; its window ended a polarity early"
    return Result([line], {"curve": [asdict(p) for p in points]})


def _retention(place: Place, task: Task, names: Sequence[str]) -> Result:
    (name,) = names
    duration_s, interval_s = _number(task.values["seconds"]), _number(task.values["interval"])
    found = retention(place.bench, name, duration_s=duration_s, interval_s=interval_s)
    drift = "" if math.isnan(found.drift_per_decade) else f", {found.drift_per_decade:+.2%}/decade"
    line = f"{name}: {len(found.times_s)} readings, {ohms(list(found.resistances_ohm))}{drift}"
    values = {"times_s": found.times_s.tolist(), "resistances_ohm": found.resistances_ohm.tolist()}
    return Result([line], {**values, "drift_per_decade": found.drift_per_decade})


def _endurance(place: Place, task: Task, names: Sequence[str]) -> Result:
    v, (name,) = task.values, names
    n_cycles = _whole(v["cycles"])
    found = endurance(
        place.bench,
        name,
        amplitude_v=_number(v["volts"]),
        width_s=_number(v["width"]),
        n_cycles=n_cycles,
        n_per_half=_whole(v["pulses"]),
    )
    n = min(len(found.low_ohm), len(found.high_ohm))
    line = f"{name}: {n} cycles"
    if n:
        line += f", high/low {found.ratio_first:.2f} at first, {found.ratio_last:.2f} at last"
    return Result([line], asdict(found), n == n_cycles)


def _map(place: Place, task: Task, names: Sequence[str]) -> Result:
    v, (name,) = task.values, names
    found = pulse_map(
        place.bench,
        name,
        amplitudes_v=_numbers(v["volts"]),
        widths_s=_numbers(v["widths"]),
        n_repeats=_whole(v["repeats"]),
        rng=np.random.default_rng(_whole(v["seed"])),
    )
    lines = [f"{name}: {len(found)} pulses"]
    return Result(lines, {"responses": [asdict(response) for response in found]})


def _form(place: Place, task: Task, names: Sequence[str]) -> Result:
    v, (name,) = task.values, names
    settings = FormingSettings(
        start_v=_number(v["start"]),
        step_v=_number(v["step"]),
        stop_v=_number(v["stop"]),
        width_s=_number(v["width"]),
        is_negative=bool(v["negative"]),
        below_ohm=None if v["below"] is None else _number(v["below"]),
    )
    made = forming(place.bench, name, settings, who=task.who, arm=place.arm_forming)
    line = (
        f"{name}: {made.outcome} at {made.last_amplitude_v:+g} V after {made.n_pulses} pulses: "
        f"{ohm(made.before_ohm)} -> {ohm(made.after_ohm)}"
    )
    return Result([line], {"outcome": made.outcome}, made.outcome == "formed")


def _unfreeze(place: Place, task: Task, names: Sequence[str]) -> Result:
    (name,) = names
    place.bench.unfreeze(name, task.who)
    return Result([f"{name}: may be pulsed again"])


def _program(place: Place, task: Task, names: Sequence[str]) -> Result:
    v = task.values
    settings = ProgramSettings(
        target_ohm=_number(v["target"]),
        tolerance=_number(v["tolerance"]),
        max_writes=_whole(v["max-writes"]),
        max_v=None if v["max-volts"] is None else _number(v["max-volts"]),
    )
    results = [program(place.bench, name, settings) for name in names]
    is_well = all(r.reason is Reason.REACHED for r in results)
    return Result([_ended(r) for r in results], {"results": [asdict(r) for r in results]}, is_well)


def _ended(r: Programmed) -> str:
    error = "" if math.isnan(r.error) else f", error {r.error:+.2%}"
    return f"{r.device}: {r.reason} ({r.sentence}), {r.n_writes} writes{error}"


_Run = Callable[[Place, Task, Sequence[str]], Result]
_RUNS: Mapping[str, _Run] = {
    "read": _read,
    "pulse": _pulse,
    "iv": _iv,
    "retention": _retention,
    "endurance": _endurance,
    "map": _map,
    "form": _form,
    "unfreeze": _unfreeze,
    "program": _program,
}


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number; a form gives numbers")
    return float(value)


def _whole(value: object) -> int:
    return int(_number(value))


def _numbers(value: object) -> tuple[float, ...]:
    if not isinstance(value, tuple):
        raise TypeError(f"{value!r} is no list of numbers; a form gives tuples")
    return value
