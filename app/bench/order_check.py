"""What the Gate and the instrument would say to an order, before it is given. Pure.

The Gate's own judgement of amplitude and width is asked, so what is said here is what it will say.
Where a device stands, what is frozen and what is spent it looks at for each pulse.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.bench.forms import Values
from app.config.limits import DeviceLimits
from app.safety.device_limits import refuse_shape
from drivers.permit import PulseDevice
from drivers.smu.protocol import Capabilities


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an order amounts to."""

    refusals: tuple[str, ...]
    """Why pulses of it would be refused; empty: none for its amplitude or width."""
    n_pulses: int
    """At most, where it is known before."""
    shortest_s: float
    """By the pace that the device's limits allow."""


def check_order(
    procedure: str, values: Values, device: str, limits: DeviceLimits, can: Capabilities
) -> Estimate:
    """Return what Gate and instrument would say to a procedure on one device."""
    refusals = []
    if values.get("shape") == "staircase" and can.min_step_s is None:
        refusals.append(f"{can.model} returns to 0 V after every level, so no staircase")
    for pulse in _extremes(procedure, values, limits):
        refusal = refuse_shape(device, pulse, limits)
        if refusal is not None:
            refusals.append(refusal.sentence.rpartition(";")[0])  # its advice is to experiments
        elif not (can.min_width_s <= pulse.width_s <= can.max_width_s):
            refusals.append(
                f"a {can.model} makes pulses of {can.min_width_s:g} to {can.max_width_s:g} s, not "
                f"of {pulse.width_s:g} s"
            )
        elif not (abs(pulse.amplitude_v) <= can.max_pulse_v):
            refusals.append(
                f"a {can.model} makes pulses up to {can.max_pulse_v:g} V, not of "
                f"{pulse.amplitude_v:+g} V"
            )
    n_pulses = _count(procedure, values)
    pace_s = max(limits.min_interval_s, 1.0 / limits.max_per_second)
    waited_s = n_pulses * max(pace_s, _number(values, "pause"))
    if procedure == "retention":
        waited_s = _number(values, "seconds")
    return Estimate(tuple(dict.fromkeys(refusals)), n_pulses, waited_s)


def _extremes(procedure: str, values: Values, limits: DeviceLimits) -> list[PulseDevice]:
    """Return the pulses of an order that go farthest."""
    width_s = _number(values, "width")
    match procedure:
        case "pulse":
            pulses = [(_number(values, "volts"), width_s)]
        case "iv":
            span = values["span"]
            ends = [_number(values, "up")] if span != "down" else []
            ends += [-_number(values, "down")] if span != "up" else []
            is_staircase = values["shape"] == "staircase"
            pulses = [(v, width_s * (_n_steps(values, v) if is_staircase else 1)) for v in ends]
        case "endurance":
            pulses = [(sign * _number(values, "volts"), width_s) for sign in (1, -1)]
        case "map":
            widths, volts = _numbers(values, "widths"), _numbers(values, "volts")
            pulses = [(v, w) for v in volts for w in (min(widths), max(widths))]
        case "form":
            sign = -1 if values["negative"] else 1
            pulses = [(sign * _number(values, "stop"), width_s)]
        case "program" if values["max-volts"] is not None:
            pulses = [(_number(values, "max-volts"), limits.max_width_s)]
        case _:
            pulses = []
    is_forming = procedure == "form"
    return [PulseDevice(1, 1, v, w, is_forming) for v, w in pulses]


def _count(procedure: str, values: Values) -> int:
    n = 0.0
    match procedure:
        case "pulse":
            n = _number(values, "times")
        case "iv":
            ends = {"up": ("up",), "down": ("down",)}.get(str(values["span"]), ("up", "down"))
            if values["shape"] == "staircase":
                n = _number(values, "cycles") * len(ends)
            else:
                steps = (_n_steps(values, _number(values, end)) for end in ends)
                n = _number(values, "cycles") * sum(steps)
        case "endurance":
            n = 2 * _number(values, "cycles") * _number(values, "pulses")
        case "map":
            n_places = len(_numbers(values, "volts")) * len(_numbers(values, "widths"))
            n = n_places * _number(values, "repeats")
        case "form":
            range_v = _number(values, "stop") - _number(values, "start")
            n = max(0.0, range_v / _number(values, "step") + 1e-6 + 1)
        case "program":
            n = _number(values, "max-writes")
    return int(n)


def _n_steps(values: Values, end_v: float) -> int:
    """Return how many levels there are to an end and back."""
    n = int(abs(end_v) / _number(values, "step") + 1e-6)
    return max(0, 2 * n - 1)


def _number(values: Values, name: str) -> float:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _numbers(values: Values, name: str) -> Sequence[float]:
    value = values.get(name)
    return value if isinstance(value, tuple) else ()
