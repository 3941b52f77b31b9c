"""What a stimulation pattern would do to tissue, computed as it is typed. No Qt in here.

The Gate's own judgement is asked, so what is said here is what the Gate will say.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from app.config.limits import StimulationLimits
from app.gui.numbers import with_prefix
from app.safety.stimulation_limits import judge_pattern
from drivers.mea.protocol import CurrentPulse, Pattern


@dataclass(frozen=True, slots=True)
class PatternVerdict:
    """Figures for reading, and why the Gate would refuse; empty: it would not."""

    charge: str
    density: str
    balance: str
    duration: str
    refusal: str


def check_pattern(
    pattern: Pattern, limits: dict[str, Any], area_um2: float, instrument: str
) -> PatternVerdict:
    """Return what a pattern amounts to on electrodes of this area, under these limits."""
    pulse = pattern.pulse
    in_force = msgspec.convert(limits, StimulationLimits)
    refusal = judge_pattern(instrument, pattern, in_force, area_um2)
    density_c_per_m2 = pulse.first_charge_c / (area_um2 * 1e-12)
    left_c = pulse.first_charge_c - pulse.second_charge_c
    share = left_c / pulse.first_charge_c if pulse.first_charge_c > 0 else float("nan")
    return PatternVerdict(
        charge=f"{with_prefix(pulse.first_charge_c, 'C')} per phase",
        density=f"{density_c_per_m2 / 10:.3g} mC/cm² ({density_c_per_m2:.3g} C/m²)",
        balance=f"{share:+.2%} of the first phase is left",
        duration=with_prefix(pulse.duration_s, "s"),
        refusal="" if refusal is None else refusal.sentence,
    )


def pattern_of(described: dict[str, Any]) -> Pattern:
    """Return a prepared pattern from an engine's description."""
    names = CurrentPulse.__dataclass_fields__
    pulse = CurrentPulse(**{name: described[name] for name in names})
    return Pattern(described["pattern_id"], tuple(described["channels"]), pulse)


def site_toml(pattern: Pattern, post: int) -> str:
    """Return a pattern as it stands in `site.toml`."""
    pulse = pattern.pulse
    channels = ", ".join(f'"{channel}"' for channel in pattern.channels)
    lines = [
        "[[amplifiers.patterns]]",
        f"pattern_id = {pattern.pattern_id}",
        f"post = {post}",
        f"channels = [{channels}]",
        f"first_amplitude_a = {pulse.first_amplitude_a:.9g}",
        f"first_duration_s = {pulse.first_duration_s:.9g}",
        f"second_amplitude_a = {pulse.second_amplitude_a:.9g}",
        f"second_duration_s = {pulse.second_duration_s:.9g}",
        f"interphase_s = {pulse.interphase_s:.9g}",
        f"is_negative_first = {str(pulse.is_negative_first).lower()}",
        f"n_pulses = {pulse.n_pulses}",
        f"period_s = {pulse.period_s:.9g}",
    ]
    return "\n".join(lines) + "\n"
