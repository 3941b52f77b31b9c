"""What each limit means in words, on what its default rests, and whether an owner must confirm it.

The table of `docs/limits.md` and the sentences of `spikebridge check` are made from this one list.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from app.config.limits import ChipLimits, DeviceLimits, StimulationLimits
from app.safety.ceilings import Limits, ceilings_of
from app.safety.quantity import amount


@dataclass(frozen=True, slots=True)
class Basis:
    """One limit. `words` names it as a person would; the value follows."""

    field: str
    words: str
    basis: str
    must_confirm: bool = True
    """The owner of the rig must confirm it: it depends on their electrodes, cells or devices."""


_CL1 = "published contract of the CL1 (Cortical Labs, 2026)"
_CHOICE = "engineering choice"
_TYPICAL = "typical of HfO2/TiO2 cells, unverified"

STIMULATION_BASIS = (
    Basis("max_current_a", "current through an electrode: at most", _CL1),
    Basis(
        "max_charge_per_phase_c",
        "charge of one phase: at most",
        f"{_CL1}; about 4 nC is quoted for damage at microelectrodes (unverified; Cogan et al. "
        "2016 say that microelectrodes do not follow Shannon)",
    ),
    Basis(
        "max_charge_density_c_per_m2",
        "charge density of one phase, on the electrode's geometric area: at most",
        "0.1 mC/cm2, the careful value for platinum (MCS manual: Pt 0.4, TiN 23, to be kept well "
        "below; Pt 0.05 to 0.15 is its usual reversible range, unverified). Above the 18 to 72 "
        "uC/cm2 quoted in vivo: for bench cultures only",
    ),
    Basis(
        "max_shannon_k",
        "Shannon k of one phase: at most",
        "damage seen from 1.85 on (literature); binds on large electrodes only",
        must_confirm=False,
    ),
    Basis(
        "max_imbalance",
        "difference of the two phases' charge, as a part of the first: at most",
        "MCS, CL1, FinalSpark: pulses must be balanced",
        must_confirm=False,
    ),
    Basis(
        "max_residual_charge_c",
        "what the phases leave behind on an electrode in 10 s, together: at most",
        _CHOICE,
        must_confirm=False,
    ),
    Basis(
        "allows_positive_first",
        "pulses that begin with the positive phase:",
        "MCS manual: negative first on titanium nitride",
    ),
    Basis("min_phase_s", "a phase lasts at least", "grid of the CL1", must_confirm=False),
    Basis("max_phase_s", "a phase lasts at most", _CHOICE, must_confirm=False),
    Basis("max_pulses_per_trigger", "pulses of one trigger: at most", _CHOICE),
    Basis("max_electrodes_at_once", "electrodes that carry current at once: at most", _CHOICE),
    Basis("max_per_second", "triggers of one electrode in any second: at most", _CL1),
    Basis(
        "max_remote_per_second",
        "triggers of one electrode in any second that spikes or other sites cause: at most",
        "a tenth of the local rate; FinalSpark waits 1 to 10 s between stimuli against fatigue",
    ),
    Basis(
        "max_culture_remote_per_second",
        "such triggers of the whole culture in any second: at most",
        _CHOICE,
    ),
    Basis("min_interval_s", "between two triggers of an electrode: at least", "200 Hz of the CL1",
          must_confirm=False),
    Basis("max_duty", "part of any second in which current flows through an electrode: at most",
          _CHOICE),
    Basis("max_triggers_per_hour", "triggers of one electrode in an hour: at most", _CHOICE),
    Basis("max_triggers_per_day", "triggers of one electrode in a day: at most", _CHOICE),
    Basis("max_charge_per_hour_c", "charge through one electrode in an hour: at most", _CHOICE),
    Basis("max_charge_per_day_c", "charge through one electrode in a day: at most", _CHOICE),
    Basis("max_queue", "requests that wait for an amplifier: at most", _CL1, must_confirm=False),
)  # fmt: skip

DEVICE_BASIS = (
    Basis("max_amplitude_v", "programming voltage, either sign: at most", _TYPICAL),
    Basis("max_read_v", "read voltage: at most", _TYPICAL),
    Basis(
        "max_forming_v",
        "forming voltage, only under an arm that names the device: at most",
        _TYPICAL,
    ),
    Basis(
        "max_compliance_a",
        "compliance that the instrument is set to: at most",
        f"{_TYPICAL}; compliance does not prevent overshoot: use short leads and a series resistor",
    ),
    Basis("min_width_s", "a pulse lasts at least", _CHOICE, must_confirm=False),
    Basis("max_width_s", "a pulse lasts at most", _TYPICAL),
    Basis("min_interval_s", "between two pulses on a device: at least", _CHOICE,
          must_confirm=False),
    Basis("max_per_second", "pulses on a device in any second: at most", _CHOICE),
    Basis("window_min_ohm", "no pulse that lowers the resistance at or below", _TYPICAL),
    Basis("window_max_ohm", "no pulse that raises the resistance at or above", _TYPICAL),
    Basis("budget_pulses", "pulses in a device's life: at most", f"endurance, {_TYPICAL}"),
)  # fmt: skip

CHIP_BASIS = (
    Basis(
        "max_per_second",
        "events to one neuron in any second: at most",
        f"{_CHOICE}: no harm is possible, a runaway loop is",
        must_confirm=False,
    ),
)


def basis_of(limits: Limits) -> tuple[Basis, ...]:
    """Return the bases of this kind of limits, one for each limit."""
    if isinstance(limits, StimulationLimits):
        return STIMULATION_BASIS
    if isinstance(limits, DeviceLimits):
        return DEVICE_BASIS
    return CHIP_BASIS


def to_confirm(who: str, limits: Limits) -> Iterator[str]:
    """Yield a sentence on each limit in force that the owner of the rig must confirm."""
    defaults = type(limits)()
    for basis in basis_of(limits):
        if not basis.must_confirm:
            continue
        value = getattr(limits, basis.field)
        is_default = value == getattr(defaults, basis.field)
        whose = "default" if is_default else f"set here, default {said(defaults, basis.field)}"
        yield f"{who}: {basis.words} {said(limits, basis.field)} ({whose})"


def said(limits: Limits, field: str) -> str:
    """Return the value of a limit with its unit, in words."""
    value = getattr(limits, field)
    if isinstance(value, bool):
        return "allowed" if value else "refused"
    units = {ceiling.field: ceiling.unit for ceiling in ceilings_of(limits)}
    if not units[field]:
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    return amount(value, units[field])


def limits_table(limits: Limits) -> Iterator[str]:
    """Yield the rows of the user guide's table for this kind of limits, as Markdown."""
    yield "| limit | means | default | hard ceiling | basis | owner must confirm |"
    yield "|---|---|---|---|---|---|"
    ceilings = {ceiling.field: ceiling for ceiling in ceilings_of(limits)}
    for basis in basis_of(limits):
        ceiling = ceilings.get(basis.field)
        top = "none" if ceiling is None else amount(ceiling.loosest, ceiling.unit)
        if ceiling is not None and not ceiling.unit and ceiling.loosest >= 1000:
            top = f"{ceiling.loosest:,.0f}"
        mark = "**yes**" if basis.must_confirm else ""
        yield (
            f"| `{basis.field}` | {basis.words} | {said(limits, basis.field)} | {top} "
            f"| {basis.basis} | {mark} |"
        )


KINDS: tuple[tuple[str, Limits], ...] = (
    ("One electrode, and the culture (`amplifiers.limits`)", StimulationLimits()),
    ("One memristor (`smus.devices.limits`)", DeviceLimits()),
    ("One silicon neuron (`chips.limits`)", ChipLimits()),
)
