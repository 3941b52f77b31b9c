"""Is this pattern one that an electrode may ever receive? Pure; rates are judged elsewhere."""

import math

from app.config.limits import StimulationLimits
from app.safety.ceilings import MAX_INTERPHASE_S, MAX_PATTERN_S
from app.safety.profiles import StimulatorProfile
from app.safety.quantity import amount
from app.safety.requests import Refusal, RefusalReason
from drivers.mea.protocol import CurrentPulse, Pattern

_ROUNDING = 1 + 1e-9
"""Products of decimal fractions: 3 uA x 1 ms must not be above 3 nC by its last bit."""

_UC_PER_CM2 = 100.0
"""Of 1 C/m2."""

_NUMBERS = (
    "first_amplitude_a",
    "first_duration_s",
    "second_amplitude_a",
    "second_duration_s",
    "interphase_s",
    "period_s",
)


def judge_pattern(
    who: str, pattern: Pattern, limits: StimulationLimits, electrode_area_um2: float
) -> Refusal | None:
    """Return why this pattern is never permitted under these limits, or None.

    Every electrode of the pattern carries the pulse's whole current. `who` begins the sentence.
    """
    where = f"{who}, pattern {pattern.pattern_id}"
    return (
        _malformed(where, pattern)
        or _current(where, pattern.pulse, limits)
        or _charge(where, pattern.pulse, limits)
        or _density(where, pattern.pulse, limits, electrode_area_um2)
        or _shannon(where, pattern.pulse, limits, electrode_area_um2)
        or _balance(where, pattern.pulse, limits)
        or _polarity(where, pattern.pulse, limits)
        or _width(where, pattern.pulse, limits)
        or _n_pulses(where, pattern.pulse, limits)
        or _n_electrodes(where, pattern, limits)
        or _duration(where, pattern.pulse)
    )


def refused_patterns(profile: StimulatorProfile) -> list[Refusal]:
    """Return why prepared patterns would be refused each time."""
    judged = (
        judge_pattern(profile.name, pattern, profile.limits, profile.electrode_area_um2)
        for pattern in profile.patterns.values()
    )
    return [refusal for refusal in judged if refusal is not None]


def describe_pattern(pattern: Pattern, electrode_area_um2: float) -> str:
    """Return waveform, charge and charge density in words, for the audit."""
    pulse = pattern.pulse
    sign = "-" if pulse.is_negative_first else "+"
    charge_c = pulse.first_charge_c
    return (
        f"pattern {pattern.pattern_id} on {' '.join(map(str, pattern.channels))}: "
        f"{pulse.n_pulses} x {sign}{amount(pulse.first_amplitude_a, 'A')} "
        f"{amount(pulse.first_duration_s, 's')}, then {amount(pulse.second_amplitude_a, 'A')} "
        f"{amount(pulse.second_duration_s, 's')}; {amount(charge_c, 'C')} per phase, "
        f"{amount(_per_m2(charge_c, electrode_area_um2), 'C/m2')}"
    )


def _malformed(where: str, pattern: Pattern) -> Refusal | None:
    pulse = pattern.pulse
    for name in _NUMBERS:
        value = getattr(pulse, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return _refuse(RefusalReason.MALFORMED, where, f"{name} is {value!r}", "a number")
        if not math.isfinite(value):
            return _refuse(RefusalReason.MALFORMED, where, f"{name} is {value}", "finite values")
    if type(pulse.n_pulses) is not int:
        found = f"n_pulses is {pulse.n_pulses!r}"
        return _refuse(RefusalReason.MALFORMED, where, found, "a whole number")
    if len(set(pattern.channels)) != len(pattern.channels):
        return _refuse(RefusalReason.MALFORMED, where, "a channel twice", "each channel once")
    return None


def _current(where: str, pulse: CurrentPulse, limits: StimulationLimits) -> Refusal | None:
    for current_a in (pulse.first_amplitude_a, pulse.second_amplitude_a):
        if not (0 < current_a <= limits.max_current_a):
            return _refuse(
                RefusalReason.CURRENT,
                where,
                f"a phase of {amount(current_a, 'A')}",
                f"more than 0 and at most {amount(limits.max_current_a, 'A')} (max_current_a)",
            )
    return None


def _charge(where: str, pulse: CurrentPulse, limits: StimulationLimits) -> Refusal | None:
    for charge_c in (pulse.first_charge_c, pulse.second_charge_c):
        if not (0 < charge_c <= limits.max_charge_per_phase_c * _ROUNDING):
            return _refuse(
                RefusalReason.CHARGE,
                where,
                f"{amount(charge_c, 'C')} in a phase",
                f"at most {amount(limits.max_charge_per_phase_c, 'C')} (max_charge_per_phase_c)",
            )
    return None


def _density(
    where: str, pulse: CurrentPulse, limits: StimulationLimits, area_um2: float
) -> Refusal | None:
    charge_c = max(pulse.first_charge_c, pulse.second_charge_c)
    density_c_per_m2 = _per_m2(charge_c, area_um2)
    if not (density_c_per_m2 <= limits.max_charge_density_c_per_m2 * _ROUNDING):
        return _refuse(
            RefusalReason.CHARGE_DENSITY,
            where,
            f"{amount(charge_c, 'C')} on {area_um2:g} um2 is {density_c_per_m2:.4g} C/m2",
            f"at most {limits.max_charge_density_c_per_m2:g} C/m2 (max_charge_density_c_per_m2)",
        )
    return None


def _shannon(
    where: str, pulse: CurrentPulse, limits: StimulationLimits, area_um2: float
) -> Refusal | None:
    """Judge k = log10(Q D), Q in uC and D in uC/cm2 per phase (Shannon 1992)."""
    charge_c = max(pulse.first_charge_c, pulse.second_charge_c)
    k = math.log10(charge_c * 1e6 * _per_m2(charge_c, area_um2) * _UC_PER_CM2)
    if not (k <= limits.max_shannon_k):
        return _refuse(
            RefusalReason.SHANNON,
            where,
            f"{amount(charge_c, 'C')} on {area_um2:g} um2 is a Shannon k of {k:.4g}",
            f"at most {limits.max_shannon_k:g} (max_shannon_k)",
        )
    return None


def _polarity(where: str, pulse: CurrentPulse, limits: StimulationLimits) -> Refusal | None:
    if pulse.is_negative_first is True or limits.allows_positive_first is True:
        return None
    return _refuse(
        RefusalReason.POLARITY,
        where,
        "a pulse that begins with the positive phase",
        "negative first (allows_positive_first)",
    )


def _balance(where: str, pulse: CurrentPulse, limits: StimulationLimits) -> Refusal | None:
    first_c, second_c = pulse.first_charge_c, pulse.second_charge_c
    imbalance = abs(first_c - second_c) / first_c
    if not (imbalance <= limits.max_imbalance + 1e-9):
        return _refuse(
            RefusalReason.BALANCE,
            where,
            f"phases of {amount(first_c, 'C')} and {amount(second_c, 'C')} differ by "
            f"{imbalance:.2%}",
            f"at most {limits.max_imbalance:.2%} (max_imbalance)",
        )
    return None


def _width(where: str, pulse: CurrentPulse, limits: StimulationLimits) -> Refusal | None:
    for width_s in (pulse.first_duration_s, pulse.second_duration_s):
        if not (limits.min_phase_s <= width_s <= limits.max_phase_s):
            return _refuse(
                RefusalReason.PHASE_WIDTH,
                where,
                f"a phase of {amount(width_s, 's')}",
                f"{amount(limits.min_phase_s, 's')} to {amount(limits.max_phase_s, 's')} "
                "(min_phase_s, max_phase_s)",
            )
    return None


def _n_pulses(where: str, pulse: CurrentPulse, limits: StimulationLimits) -> Refusal | None:
    if not (1 <= pulse.n_pulses <= limits.max_pulses_per_trigger):
        return _refuse(
            RefusalReason.N_PULSES,
            where,
            f"{pulse.n_pulses} pulses per trigger",
            f"1 to {limits.max_pulses_per_trigger} (max_pulses_per_trigger)",
        )
    return None


def _n_electrodes(where: str, pattern: Pattern, limits: StimulationLimits) -> Refusal | None:
    if not (1 <= len(pattern.channels) <= limits.max_electrodes_at_once):
        return _refuse(
            RefusalReason.N_ELECTRODES,
            where,
            f"{len(pattern.channels)} electrodes at once",
            f"1 to {limits.max_electrodes_at_once} (max_electrodes_at_once)",
        )
    return None


def _duration(where: str, pulse: CurrentPulse) -> Refusal | None:
    one_s = pulse.first_duration_s + pulse.interphase_s + pulse.second_duration_s
    if not (0 <= pulse.interphase_s <= MAX_INTERPHASE_S):
        found = f"{amount(pulse.interphase_s, 's')} between the phases"
        allowed = f"0 to {amount(MAX_INTERPHASE_S, 's')}"
    elif pulse.n_pulses > 1 and not (one_s <= pulse.period_s):
        found = f"a period of {amount(pulse.period_s, 's')}"
        allowed = f"at least one pulse's length, {amount(one_s, 's')}"
    elif not (pulse.duration_s <= MAX_PATTERN_S):
        found = f"{amount(pulse.duration_s, 's')} per trigger"
        allowed = f"at most {amount(MAX_PATTERN_S, 's')}"
    else:
        return None
    return _refuse(RefusalReason.DURATION, where, found, allowed)


def _per_m2(charge_c: float, area_um2: float) -> float:
    return charge_c / (area_um2 * 1e-12)


def _refuse(reason: RefusalReason, where: str, found: str, allowed: str) -> Refusal:
    return Refusal(
        reason, f"{where}: {found}, allowed {allowed}; change the pattern in the site file"
    )
