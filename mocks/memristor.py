"""Physics of a simulated memristor: when a pulse changes its resistance, and what it conducts.

The switching law is the bounded quadratic one of the data-driven TiOx model (Messaris et al.,
2017) with a threshold and bounds added; the presets and the conduction are our fits to the
published data of the device in the ArC ONE's manual.
"""

import math
from dataclasses import dataclass

_SERIES_KNEE_OHM = 1500.0
"""Below this the fitted series resistances do not apply: half the resistance is used."""
_N_NEWTON_STEPS = 6


@dataclass(frozen=True, slots=True)
class SwitchingBranch:
    """One polarity of the law: dR/dt = `rate` (exp((|V| - threshold)/slope) - 1) (R - bound)^2."""

    rate_per_ohm_s: float
    threshold_v: float
    slope_v: float
    bound_ohm: float


@dataclass(frozen=True, slots=True)
class ConductionBranch:
    """One polarity of I = g sinh(b (V - I Rs))."""

    b_per_v: float
    series_ohm: float


POSITIVE_CONDUCTION = ConductionBranch(5.5, 1139.0)
NEGATIVE_CONDUCTION = ConductionBranch(6.35, 1252.0)


@dataclass(frozen=True, slots=True)
class MemristorModel:
    """The constants of a kind of device.

    The state is the resistance at `reference_v`; at other voltages the device has another one.
    A pulse above `max_v` destroys the device, and so does one above the threshold that is longer
    than `max_width_s` (our choice: the published data say nothing of it).
    """

    positive: SwitchingBranch
    negative: SwitchingBranch
    reference_v: float
    max_v: float = 5.0
    max_width_s: float = 20e-3

    def branch(self, pulse_v: float) -> SwitchingBranch:
        """Return the constants for pulses of this polarity."""
        return self.positive if pulse_v > 0 else self.negative

    def is_destroyed_by(self, pulse_v: float, width_s: float) -> bool:
        """Say whether no device survives such a pulse."""
        is_strong = abs(pulse_v) > self.branch(pulse_v).threshold_v
        return abs(pulse_v) > self.max_v or (is_strong and width_s > self.max_width_s)


PRESETS = {
    "A": MemristorModel(
        SwitchingBranch(6.07e-4, 1.607, 0.095, 20_000.0),
        SwitchingBranch(5.29, 1.445, 0.338, 2658.0),
        reference_v=0.3,
    ),
    "B": MemristorModel(
        SwitchingBranch(4.6e-3, 1.0, 0.30, 20_000.0),
        SwitchingBranch(0.18, 1.0, 0.30, 2000.0),
        reference_v=0.5,
    ),
    "C": MemristorModel(
        SwitchingBranch(4.6e-3, 3.0, 0.5, 20_000.0),
        SwitchingBranch(0.18, 3.0, 0.5, 2000.0),
        reference_v=0.5,
    ),
}
"""A: the manual's device. B: soft, for 1.2 to 2 V and 100 us. C: B for 4 V and 100 us."""


def switched_ohm(
    model: MemristorModel,
    resistance_ohm: float,
    pulse_v: float,
    width_s: float,
    rate_factor: float = 1.0,
) -> float:
    """Return the resistance after a rectangular pulse, by the exact solution of the law.

    Positive pulses raise it towards the upper bound, negative ones lower it. `rate_factor`
    multiplies the speed of this pulse. A resistance beyond the bound does not change.
    """
    branch = model.branch(pulse_v)
    overdrive_v = abs(pulse_v) - branch.threshold_v
    direction = 1.0 if pulse_v > 0 else -1.0
    distance_ohm = direction * (branch.bound_ohm - resistance_ohm)
    if not (overdrive_v > 0 and distance_ohm > 0 and width_s > 0):
        return resistance_ohm
    speed = rate_factor * branch.rate_per_ohm_s * math.expm1(overdrive_v / branch.slope_v)
    return branch.bound_ohm - direction / (1.0 / distance_ohm + speed * width_s)


def current_a(model: MemristorModel, resistance_ohm: float, bias_v: float) -> float:
    """Return the current at a voltage of a device with this resistance at the reference voltage.

    Newton's method on the voltage of the junction, which is monotone; better than 1e-4.
    """
    if bias_v == 0:
        return 0.0
    b, series_ohm = _conduction(resistance_ohm, bias_v)
    g_a = _scale_a(model, resistance_ohm, b, series_ohm)
    v = abs(bias_v)
    k_v = series_ohm * g_a
    u = min(v, math.asinh(v / k_v) / b)
    for _ in range(_N_NEWTON_STEPS):
        u -= (u + k_v * math.sinh(b * u) - v) / (1.0 + k_v * b * math.cosh(b * u))
    return math.copysign((v - u) / series_ohm, bias_v)


def bias_for_v(model: MemristorModel, resistance_ohm: float, wanted_a: float) -> float:
    """Return the voltage at which the device carries this current."""
    b, series_ohm = _conduction(resistance_ohm, wanted_a)
    g_a = _scale_a(model, resistance_ohm, b, series_ohm)
    return wanted_a * series_ohm + math.asinh(wanted_a / g_a) / b


def resistance_at_ohm(model: MemristorModel, resistance_ohm: float, read_v: float) -> float:
    """Return what a reading at `read_v` gives: voltage over current.

    Raises ValueError at 0 V.
    """
    if not abs(read_v) > 0:
        raise ValueError(f"memristor: cannot be read at {read_v} V; use a voltage other than 0")
    return read_v / current_a(model, resistance_ohm, read_v)


def _conduction(resistance_ohm: float, bias: float) -> tuple[float, float]:
    branch = POSITIVE_CONDUCTION if bias > 0 else NEGATIVE_CONDUCTION
    is_low = resistance_ohm < _SERIES_KNEE_OHM
    return branch.b_per_v, 0.5 * resistance_ohm if is_low else branch.series_ohm


def _scale_a(model: MemristorModel, resistance_ohm: float, b: float, series_ohm: float) -> float:
    """Return g such that the current at the reference voltage is that voltage over R."""
    reference_a = model.reference_v / resistance_ohm
    return reference_a / math.sinh(b * (model.reference_v - reference_a * series_ohm))
