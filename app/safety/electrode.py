"""What one electrode received lately, in every unit in which a limit counts it."""

from dataclasses import dataclass

from app.config.limits import StimulationLimits
from app.safety.rates import SECOND_NS, SlidingSum, last_day, last_hour, last_second
from app.safety.requests import RefusalReason
from drivers.mea.protocol import CurrentPulse

FEMTO = 1e15
"""Charges are summed as whole femtocoulombs: exact, and finer than any stimulator's step."""
RESIDUAL_WINDOW_NS = 10 * SECOND_NS
"""A residual charge decays within some seconds; for so long it is taken to stay whole."""


@dataclass(frozen=True, slots=True)
class TriggerDose:
    """What one trigger of a pattern gives to each of its electrodes."""

    charge_fc: int
    """First phases of the whole train."""
    residual_fc: int
    """What the second phases do not take back."""
    flow_ns: int
    """How long current flows."""


def dose_of(pulse: CurrentPulse) -> TriggerDose:
    """Return the dose of one trigger. The pulse's numbers are finite."""
    return TriggerDose(
        charge_fc=femto(pulse.n_pulses * pulse.first_charge_c),
        residual_fc=femto(pulse.n_pulses * abs(pulse.first_charge_c - pulse.second_charge_c)),
        flow_ns=round(1e9 * pulse.n_pulses * (pulse.first_duration_s + pulse.second_duration_s)),
    )


def femto(charge_c: float) -> int:
    """Return whole femtocoulombs."""
    return round(charge_c * FEMTO)


@dataclass(frozen=True, slots=True)
class Meter:
    """One sum, what a trigger would add to it, and how far it may go."""

    total: SlidingSum
    added: int
    limit: int
    unit: str
    """Of `scale` times the sum; "" for a count of triggers."""
    scale: float
    reason: RefusalReason
    field: str


class Electrode:
    """One electrode's sums. `judge` looks, `count` adds. Not thread-safe."""

    __slots__ = (
        "_day",
        "_day_fc",
        "_flow",
        "_hour",
        "_hour_fc",
        "_remote",
        "_residual",
        "_second",
        "busy_until_ns",
        "last_ns",
    )

    def __init__(self) -> None:
        self.last_ns: int | None = None
        self.busy_until_ns: int | None = None
        self._second = last_second()
        self._remote = last_second()
        self._flow = last_second()
        self._residual = SlidingSum(RESIDUAL_WINDOW_NS)
        self._hour = last_hour()
        self._hour_fc = last_hour()
        self._day = last_day()
        self._day_fc = last_day()

    def meters(
        self, dose: TriggerDose, limits: StimulationLimits, *, is_spike_caused: bool
    ) -> list[Meter]:
        """Return every sum that a trigger would add to, the narrowest window first."""
        reasons = RefusalReason
        found = [
            _count(self._second, limits.max_per_second, reasons.RATE, "max_per_second"),
            Meter(self._flow, dose.flow_ns, round(limits.max_duty * SECOND_NS), "s", 1e-9,
                  reasons.DUTY, "max_duty"),
            _charge(self._residual, dose.residual_fc, limits.max_residual_charge_c,
                    reasons.RESIDUAL, "max_residual_charge_c"),
            _count(self._hour, limits.max_triggers_per_hour, reasons.HOUR_DOSE,
                   "max_triggers_per_hour"),
            _charge(self._hour_fc, dose.charge_fc, limits.max_charge_per_hour_c,
                    reasons.HOUR_DOSE, "max_charge_per_hour_c"),
            _count(self._day, limits.max_triggers_per_day, reasons.DAY_DOSE,
                   "max_triggers_per_day"),
            _charge(self._day_fc, dose.charge_fc, limits.max_charge_per_day_c,
                    reasons.DAY_DOSE, "max_charge_per_day_c"),
        ]  # fmt: skip
        if is_spike_caused:
            remote = limits.max_remote_per_second
            found.insert(
                1, _count(self._remote, remote, reasons.REMOTE_RATE, "max_remote_per_second")
            )
        return found

    def count(self, dose: TriggerDose, end_ns: int, now_ns: int, *, is_spike_caused: bool) -> None:
        """Count a permitted trigger whose train ends at `end_ns`."""
        self.last_ns = now_ns
        self.busy_until_ns = end_ns
        self._second.add(now_ns)
        if is_spike_caused:
            self._remote.add(now_ns)
        self._flow.add(now_ns, dose.flow_ns)
        self._residual.add(now_ns, dose.residual_fc)
        self.count_past(now_ns, 1, dose.charge_fc)

    def count_past(self, time_ns: int, n_triggers: int, charge_fc: int) -> None:
        """Count into hour and day alone: what earlier sessions gave, in order of time."""
        for window, amount in (
            (self._hour, n_triggers),
            (self._day, n_triggers),
            (self._hour_fc, charge_fc),
            (self._day_fc, charge_fc),
        ):
            window.add(time_ns, amount)


def _count(total: SlidingSum, limit: int, reason: RefusalReason, field: str) -> Meter:
    return Meter(total, 1, limit, "", 1.0, reason, field)


def _charge(
    total: SlidingSum, added_fc: int, limit_c: float, reason: RefusalReason, field: str
) -> Meter:
    return Meter(total, added_fc, femto(limit_c), "C", 1 / FEMTO, reason, field)
