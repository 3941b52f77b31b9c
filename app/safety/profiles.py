"""What the Gate knows of each instrument that can move something."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from app.config.limits import ChipLimits, DeviceLimits, StimulationLimits
from app.core.spikes import Provenance
from app.safety.ceilings import (
    MAX_ELECTRODE_AREA_UM2,
    MIN_ELECTRODE_AREA_UM2,
    check_limits,
)
from app.safety.quantity import amount
from drivers.mea.protocol import Pattern
from drivers.smu.protocol import DeviceAddress


@dataclass(frozen=True, slots=True)
class StimulatorProfile:
    """An amplifier and its prepared patterns."""

    name: str
    provenance: Provenance
    patterns: Mapping[int, Pattern]
    """By pattern id, exactly as uploaded."""
    electrode_area_um2: float
    limits: StimulationLimits
    accepts_simulated: bool = False
    """A live culture takes stimuli that mock or playback spikes caused."""


@dataclass(frozen=True, slots=True)
class DeviceArrayProfile:
    """A source-measure unit and the memristors behind it."""

    name: str
    provenance: Provenance
    devices: Mapping[DeviceAddress, tuple[str, DeviceLimits]]
    """Name and limits of each device."""
    read_voltage_v: float
    compliance_a: float | None = None
    """Current limit that the instrument is set to; None: it has none to set (ArC ONE)."""


@dataclass(frozen=True, slots=True)
class ChipProfile:
    """A neuron chip and the neurons that may be driven."""

    name: str
    provenance: Provenance
    neurons: tuple[int, ...]
    limits: ChipLimits


@dataclass(frozen=True, slots=True)
class PlaybackProfile:
    """An amplifier that plays a recording: it moves nothing, and every request to it is refused."""

    name: str

    @property
    def provenance(self) -> Provenance:
        """Get what stands behind it: a recording."""
        return Provenance.PLAYBACK


ActuatorProfile = StimulatorProfile | DeviceArrayProfile | ChipProfile | PlaybackProfile
"""What the Gate takes charge of; a playback is in it so that its refusals have a reason."""


def check_profile(profile: ActuatorProfile) -> list[str]:
    """Return why the Gate cannot take charge of this instrument; an empty list: it can."""
    if isinstance(profile, PlaybackProfile):
        return []
    if isinstance(profile, StimulatorProfile):
        sentences = check_limits(profile.limits, profile.name)
        sentences += [
            f"{profile.name}: pattern {pattern.pattern_id} is listed as {number}; what is judged "
            "and what is triggered must be the same"
            for number, pattern in profile.patterns.items()
            if pattern.pattern_id != number
        ]
        area_um2 = profile.electrode_area_um2
        if not (MIN_ELECTRODE_AREA_UM2 <= area_um2 <= MAX_ELECTRODE_AREA_UM2):
            sentences.append(
                f"{profile.name}: electrode area {area_um2:g} um2, allowed "
                f"{MIN_ELECTRODE_AREA_UM2:g} to {MAX_ELECTRODE_AREA_UM2:g} um2; "
                "enter the geometric area of one electrode"
            )
        return sentences
    if isinstance(profile, DeviceArrayProfile):
        return [
            sentence
            for device, limits in profile.devices.values()
            for sentence in _check_device(profile, device, limits)
        ]
    return check_limits(profile.limits, profile.name)


def limits_in_force(profiles: Mapping[str, ActuatorProfile]) -> bytes:
    """Return everything the verdicts depend on as canonical JSON, to be hashed into a version."""
    listed = [_builtins(profiles[name]) for name in sorted(profiles)]
    return msgspec.json.encode(listed, order="sorted")


def _check_device(profile: DeviceArrayProfile, name: str, limits: DeviceLimits) -> list[str]:
    sentences = check_limits(limits, f"{profile.name}, device {name}")
    if not (0 < profile.read_voltage_v <= limits.max_read_v):
        sentences.append(
            f"{profile.name}, device {name}: read voltage {profile.read_voltage_v:g} V, allowed "
            f"up to {limits.max_read_v:g} V; lower read_voltage_v"
        )
    compliance_a = profile.compliance_a
    if compliance_a is not None and not (0 < compliance_a <= limits.max_compliance_a):
        sentences.append(
            f"{profile.name}, device {name}: compliance {amount(compliance_a, 'A')}, allowed up to "
            f"{amount(limits.max_compliance_a, 'A')} (max_compliance_a); lower the compliance"
        )
    return sentences


def _builtins(profile: ActuatorProfile) -> object:
    if isinstance(profile, DeviceArrayProfile):
        devices = [
            (address.wordline, address.bitline, name, limits)
            for address, (name, limits) in sorted(profile.devices.items())
        ]
        terms = (profile.read_voltage_v, profile.compliance_a)
        return ["devices", profile.name, profile.provenance, *terms, devices]
    if isinstance(profile, StimulatorProfile):
        patterns = [pattern for _, pattern in sorted(profile.patterns.items())]
        rest = (profile.electrode_area_um2, profile.accepts_simulated, profile.limits, patterns)
        return ["stimulator", profile.name, profile.provenance, *rest]
    if isinstance(profile, PlaybackProfile):
        return ["playback", profile.name]
    return ["chip", profile.name, profile.provenance, sorted(profile.neurons), profile.limits]
