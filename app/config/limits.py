"""Limits as the owner of a rig states them. What the Gate refuses is written here.

Defaults are the careful ones, and `site.toml` may only tighten them; a site that needs more has it
signed in its limits override file (`app.config.overrides`). The hard ceilings in
`app.safety.ceilings` stay above both and no file moves them.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from app.config.units import Count, Fraction, NotNegative, Positive, Text


class _Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Text | None = None
    """Why a limit is looser than its default; from the limits override file only."""
    confirmed_by: Text | None = None
    """Who of the rig's owners signed for that; from the limits override file only."""


class StimulationLimits(_Limits, frozen=True, kw_only=True):
    """What one electrode, and the culture as a whole, may receive.

    Defaults: current, charge per phase and rate after the CL1's published contract; 1 C/m2 is
    0.1 mC/cm2, the careful value for platinum. The owner of each rig must confirm them.
    """

    max_current_a: Positive = 3e-6
    max_charge_per_phase_c: Positive = 3e-9
    max_charge_density_c_per_m2: Positive = 1.0
    max_shannon_k: NotNegative = 1.5
    """log10(charge in uC x density in uC/cm2) of one phase; binds on large electrodes only."""
    max_imbalance: Fraction = 0.01
    """Charge of both phases together, as a fraction of the first phase's."""
    max_residual_charge_c: NotNegative = 0.5e-9
    """Sum of what the phases of one electrode's pulses leave behind, in any sliding 10 s."""
    allows_positive_first: bool = False
    """Pulses may begin with the anodic phase, which corrodes titanium nitride."""
    min_phase_s: Positive = 20e-6
    max_phase_s: Positive = 1e-3
    max_pulses_per_trigger: Count = 10
    max_electrodes_at_once: Count = 4
    max_per_second: Count = 200
    """Triggers of one electrode in any sliding second, whatever their cause."""
    max_remote_per_second: Count = 20
    """The same for triggers that another site's or a synapse's spikes cause."""
    max_culture_remote_per_second: Count = 100
    """PSP-caused triggers of all electrodes together in any sliding second."""
    min_interval_s: NotNegative = 5e-3
    """Between two triggers of the same electrode."""
    max_duty: Fraction = 0.01
    """Part of any sliding second in which current may flow through an electrode."""
    max_triggers_per_hour: Count = 200_000
    max_triggers_per_day: Count = 1_000_000
    max_charge_per_hour_c: Positive = 100e-6
    """First phases' charge of one electrode; hour and day reach back into earlier sessions."""
    max_charge_per_day_c: Positive = 500e-6
    max_queue: Count = 8
    """Requests that may wait for the instrument; more are refused."""


class DeviceLimits(_Limits, frozen=True, kw_only=True):
    """What one memristor may receive. The owner sets them per device."""

    max_amplitude_v: Positive = 1.5
    max_read_v: Positive = 0.2
    max_forming_v: Positive = 4.0
    """A forming pulse, possible only under an arm of its own that names the device."""
    max_compliance_a: Positive = 100e-6
    """Largest current limit that an instrument which has one may be set to."""
    min_width_s: Positive = 100e-9
    max_width_s: Positive = 10e-3
    min_interval_s: NotNegative = 1e-3
    max_per_second: Count = 10
    """Pulses in any sliding second."""
    window_min_ohm: Positive = 1000.0
    """At or below it no further pulse that lowers the resistance."""
    window_max_ohm: Positive = 1e6
    """At or above it no further pulse that raises the resistance."""
    budget_pulses: Count = 1_000_000
    """Pulses in the device's life, all sessions together."""
    is_positive_raising: bool = True
    """A positive pulse raises the resistance (the devices of 2020), or lowers it."""


class ChipLimits(_Limits, frozen=True, kw_only=True):
    """What one silicon neuron may receive: no harm is possible, a runaway loop is."""

    max_per_second: Annotated[int, Meta(ge=1, le=10_000)] = 200
