"""Hard ceilings: how far a site file may move a limit at all. No file moves these."""

import math
from dataclasses import dataclass

from app.config.limits import ChipLimits, DeviceLimits, StimulationLimits
from app.safety.quantity import amount

Limits = StimulationLimits | DeviceLimits | ChipLimits

MAX_INTERPHASE_S = 5e-3
"""Between the phases the first one's charge sits on the electrode."""
MAX_PATTERN_S = 1.0
"""One trigger ends within this time by itself: only finite bursts are uploaded."""
MIN_ELECTRODE_AREA_UM2 = 1.0
MAX_ELECTRODE_AREA_UM2 = 1e7
"""10 mm2, far above any electrode of an array: a mistyped area must not hide a density."""
MAX_FORMING_ARM_NS = 600 * 1_000_000_000
"""Forming is watched: its own arm ends after 10 min at the latest."""
MAX_ARMING_NS = 7 * 24 * 3600 * 1_000_000_000
"""Longest arming, for unattended mock soaks; a person's default is 60 min."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The loosest value that one limit may take."""

    field: str
    loosest: float
    unit: str
    is_floor: bool = False
    """The limit is a minimum: looser means lower."""

    def allows(self, value: object) -> bool:
        """Say whether the value is a number within the ceiling; NaN and infinity are not."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.is_floor:
            return self.loosest <= value < math.inf
        return 0 <= value <= self.loosest

    def is_looser(self, value: float, default: float) -> bool:
        """Say whether the value lets more through than the default does."""
        return not (value >= default if self.is_floor else value <= default)


STIMULATION_CEILINGS = (
    Ceiling("max_current_a", 100e-6, "A"),
    Ceiling("max_charge_per_phase_c", 100e-9, "C"),
    # 4 mC/cm2: below the 4.45 mC/cm2 found for TiN on the bench, the best material in the table.
    Ceiling("max_charge_density_c_per_m2", 40.0, "C/m2"),
    # Damage was seen from 1.85 on.
    Ceiling("max_shannon_k", 1.75, ""),
    Ceiling("max_imbalance", 0.05, ""),
    Ceiling("max_residual_charge_c", 10e-9, "C"),
    Ceiling("min_phase_s", 1e-6, "s", is_floor=True),
    Ceiling("max_phase_s", 5e-3, "s"),
    Ceiling("max_pulses_per_trigger", 256, ""),
    Ceiling("max_electrodes_at_once", 32, ""),
    Ceiling("max_per_second", 1000, ""),
    Ceiling("max_remote_per_second", 500, ""),
    Ceiling("max_culture_remote_per_second", 500, ""),
    Ceiling("min_interval_s", 1e-3, "s", is_floor=True),
    Ceiling("max_duty", 0.1, ""),
    Ceiling("max_triggers_per_hour", 3_600_000, ""),
    Ceiling("max_triggers_per_day", 86_400_000, ""),
    Ceiling("max_charge_per_hour_c", 10e-3, "C"),
    Ceiling("max_charge_per_day_c", 100e-3, "C"),
    Ceiling("max_queue", 64, ""),
)
DEVICE_CEILINGS = (
    Ceiling("max_amplitude_v", 5.0, "V"),
    Ceiling("max_read_v", 1.0, "V"),
    Ceiling("max_forming_v", 6.0, "V"),
    Ceiling("max_compliance_a", 10e-3, "A"),
    Ceiling("min_width_s", 10e-9, "s", is_floor=True),
    Ceiling("max_width_s", 0.1, "s"),
    Ceiling("min_interval_s", 1e-4, "s", is_floor=True),
    Ceiling("max_per_second", 1000, ""),
    Ceiling("window_min_ohm", 1.0, "ohm", is_floor=True),
    Ceiling("window_max_ohm", 1e9, "ohm"),
    Ceiling("budget_pulses", 1_000_000_000, ""),
)
CHIP_CEILINGS = (Ceiling("max_per_second", 10_000, ""),)

_PAIRS = (
    ("min_phase_s", "max_phase_s"),
    ("min_width_s", "max_width_s"),
    ("window_min_ohm", "window_max_ohm"),
)


def ceilings_of(limits: Limits) -> tuple[Ceiling, ...]:
    """Return the ceilings of this kind of limits, one for each of its numbers."""
    if isinstance(limits, StimulationLimits):
        return STIMULATION_CEILINGS
    if isinstance(limits, DeviceLimits):
        return DEVICE_CEILINGS
    return CHIP_CEILINGS


def check_limits(limits: Limits, who: str = "limits") -> list[str]:
    """Return what is wrong with limits, in sentences; an empty list means they may be in force.

    A limit beyond its ceiling is always wrong. One that is looser than its default needs a
    `reason` and the name of the owner who confirmed it, which come from the limits override file.
    """
    defaults = type(limits)()
    is_signed = _is_said(limits.reason) and _is_said(limits.confirmed_by)
    sentences = []
    for ceiling in ceilings_of(limits):
        value = getattr(limits, ceiling.field)
        default = getattr(defaults, ceiling.field)
        if not ceiling.allows(value):
            sentences.append(_beyond(who, ceiling, value))
        elif ceiling.is_looser(value, default) and not is_signed:
            sentences.append(
                f"{who}: {ceiling.field} {amount(value, ceiling.unit)} is looser than the default "
                f"{amount(default, ceiling.unit)}; have it signed in the limits override file"
            )
    if _allows_positive_first(limits) and not is_signed:
        sentences.append(
            f"{who}: allows_positive_first is looser than the default false; "
            "have it signed in the limits override file"
        )
    return sentences or _disordered(limits, who)


def _allows_positive_first(limits: Limits) -> bool:
    # Not a truth value: a text or a number in its place must not pass for false.
    return isinstance(limits, StimulationLimits) and limits.allows_positive_first is not False


def _beyond(who: str, ceiling: Ceiling, value: object) -> str:
    shown = amount(value, ceiling.unit) if isinstance(value, int | float) else repr(value)
    bound = "at least" if ceiling.is_floor else "0 to"
    return (
        f"{who}: {ceiling.field} {shown} is beyond the hard ceiling, allowed {bound} "
        f"{amount(ceiling.loosest, ceiling.unit)}; no file moves a ceiling, change the limit"
    )


def _disordered(limits: Limits, who: str) -> list[str]:
    return [
        f"{who}: {low} {getattr(limits, low):g} must be below {high} {getattr(limits, high):g}; "
        "nothing lies between them"
        for low, high in _PAIRS
        if hasattr(limits, low) and not getattr(limits, low) < getattr(limits, high)
    ]


def _is_said(text: str | None) -> bool:
    return text is not None and bool(text.strip())
