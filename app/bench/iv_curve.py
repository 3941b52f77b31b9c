"""Current-voltage curves: out and back, in both polarities, ended where the compliance is reached.

Pulsed: each step is a pulse of its own, from 0 V and back, with a permit of its own and the current
measured near its end. Staircase: the instrument goes from level to level without 0 V in between, by
its own clock, out and back in one go; only a unit that can do that, others refuse it.
"""

import enum
import math
from dataclasses import dataclass

from app.bench.bench import Bench
from app.bench.delivery import Staircase
from app.bench.errors import BenchError, RefusedError
from app.safety.requests import RefusalReason
from drivers.smu.protocol import MeasuresOnDemand

MAX_STEPS = 2000


class Span(enum.StrEnum):
    """Which polarities, and which first."""

    BOTH_UP_FIRST = "both"
    BOTH_DOWN_FIRST = "both-down-first"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class IvSettings:
    """What is traced. Voltages are magnitudes."""

    up_v: float
    down_v: float
    step_v: float
    width_s: float
    pause_s: float = 0.0
    n_cycles: int = 1
    span: Span = Span.BOTH_UP_FIRST
    is_staircase: bool = False
    halts_at_compliance: bool = True
    """Go back where the compliance is reached."""


@dataclass(frozen=True, slots=True)
class IvPoint:
    """One step. The voltage is what the instrument measured."""

    cycle: int
    voltage_v: float
    current_a: float
    is_limited: bool
    after_ohm: float | None
    """At the read voltage, after the step."""


def iv_curve(bench: Bench, name: str, settings: IvSettings) -> list[IvPoint]:
    """Trace a device's curve.

    Raises
    ------
    BenchError
        The instrument measures no current in a pulse, or the settings make no curve.
    RefusedError
        The Gate says no, for another reason than that the curve has carried the device to an edge
        of its window: then that polarity ends there and the next begins.
    """
    if settings.is_staircase:
        return _staircase(bench, name, settings)
    if not (bench.can.is_measuring_pulses or isinstance(bench.smu, MeasuresOnDemand)):
        raise BenchError(
            f"{bench.smu.name}: a {bench.can.model} measures no current in a pulse, so no curve; "
            "use a bench unit"
        )
    legs = _legs(settings)
    total = n_planned(settings)
    points: list[IvPoint] = []
    for cycle in range(settings.n_cycles):
        for leg in legs:
            points += _trace(bench, name, settings, cycle, leg, (len(points), total))
    bench.progress(total, total, f"curve of {name}")
    return points


def _staircase(bench: Bench, name: str, settings: IvSettings) -> list[IvPoint]:
    if bench.can.min_step_s is None:
        raise BenchError(
            f"{bench.smu.name} ({bench.can.model}) returns to 0 V after every level, so no "
            "staircase; trace a pulsed curve"
        )
    legs = _legs(settings)
    points: list[IvPoint] = []
    for cycle in range(settings.n_cycles):
        for i, leg in enumerate(legs):
            done, total = cycle * len(legs) + i, settings.n_cycles * len(legs)
            bench.progress(done, total, f"staircase of {name} to {leg[-1]:+.3g} V")
            way = Staircase(len(leg), settings.halts_at_compliance)
            try:
                outcome = bench.trace(name, leg[-1], settings.width_s, way)
            except RefusedError as exc:
                if _is_at_its_window(exc):
                    continue
                raise
            if not outcome.steps:
                raise BenchError(f"{name}: staircase to {leg[-1]:+g} V: {outcome.detail}")
            last = len(outcome.steps) - 1
            after_ohm = None if outcome.after is None else outcome.after.resistance_ohm
            points += [
                IvPoint(
                    cycle,
                    step.voltage_v,
                    step.current_a,
                    step.is_limited,
                    after_ohm if k == last else None,
                )
                for k, step in enumerate(outcome.steps)
            ]
            bench.wait(settings.pause_s)
    return points


def _trace(
    bench: Bench,
    name: str,
    settings: IvSettings,
    cycle: int,
    outward: list[float],
    progress: tuple[int, int],
) -> list[IvPoint]:
    """Go out and back; a step at the compliance is the turning point, the window's edge the end."""
    points: list[IvPoint] = []
    way = list(outward)
    back_from = len(outward) - 1
    i = 0
    while i < len(way):
        done, total = progress
        bench.progress(min(done + i, total), total, f"curve of {name}: {way[i]:+.3g} V")
        try:
            points.append(_step(bench, name, settings, cycle, way[i]))
        except RefusedError as exc:
            if _is_at_its_window(exc):
                break  # the other polarity brings it back
            raise
        is_turning = points[-1].is_limited and settings.halts_at_compliance
        if i <= back_from and (is_turning or i == back_from):
            way = [*way[: i + 1], *reversed(way[:i])]
            back_from = -1
        bench.wait(settings.pause_s)
        i += 1
    return points


def _is_at_its_window(exc: RefusedError) -> bool:
    """Say whether the device has been carried to an edge of its window by the curve itself."""
    return exc.refusal.reason is RefusalReason.WINDOW


def _step(bench: Bench, name: str, settings: IvSettings, cycle: int, level_v: float) -> IvPoint:
    write = bench.apply(name, level_v, settings.width_s, tag="CT", is_measured=True)
    outcome = write.outcome
    if outcome.pulse_v is None or outcome.pulse_a is None:
        raise BenchError(f"{name}: step of {level_v:+g} V was not confirmed: {write.detail}")
    is_limited = bool(outcome.is_limited)
    return IvPoint(cycle, outcome.pulse_v, outcome.pulse_a, is_limited, write.after_ohm)


def n_planned(settings: IvSettings) -> int:
    """Return how many steps there are if nothing ends one polarity early."""
    return settings.n_cycles * sum(2 * len(leg) - 1 for leg in _legs(settings))


def _legs(settings: IvSettings) -> list[list[float]]:
    wanted = {
        Span.BOTH_UP_FIRST: (settings.up_v, -settings.down_v),
        Span.BOTH_DOWN_FIRST: (-settings.down_v, settings.up_v),
        Span.UP: (settings.up_v,),
        Span.DOWN: (-settings.down_v,),
    }[settings.span]
    return [_levels(settings.step_v, end_v) for end_v in wanted]


def _levels(step_v: float, end_v: float) -> list[float]:
    """Return the levels from one step to the end, with its sign."""
    if not (0 < step_v <= abs(end_v) and abs(end_v) / step_v <= MAX_STEPS):
        raise BenchError(
            f"curve to {end_v:g} V in steps of {step_v:g} V; allowed are 1 to {MAX_STEPS} steps"
        )
    n = math.floor(abs(end_v) / step_v + 1e-6)
    return [math.copysign(step_v * (k + 1), end_v) for k in range(n)]
