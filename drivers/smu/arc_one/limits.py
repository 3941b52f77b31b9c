"""What the driver refuses before a byte leaves, whoever permitted it."""

from drivers.errors import SafetyLimitError
from drivers.permit import Action, PulseDevice
from drivers.smu.arc_one.settings import ArcOneSettings
from drivers.smu.arc_one.wire import MIN_CURVE_V, MIN_CURVE_WIDTH_S
from drivers.smu.protocol import DeviceAddress
from drivers.smu.refusals import check_place, check_size, pulse_in


def check_device(name: str, settings: ArcOneSettings, device: DeviceAddress) -> None:
    """Accept a device of the array, or raise `SafetyLimitError`."""
    check_place(name, device, settings.n_wordlines, settings.n_bitlines)


def check_measured_pulse(
    name: str, settings: ArcOneSettings, action: Action
) -> tuple[PulseDevice, float]:
    """Return a pulse that the board can make as a curve of one step, and its compliance."""
    pulse = check_pulse(name, settings, action)
    if settings.compliance_a is None:
        raise SafetyLimitError(f"{name}: measures pulses only with compliance_a set; set it")
    if not (pulse.width_s >= MIN_CURVE_WIDTH_S and abs(pulse.amplitude_v) >= MIN_CURVE_V):
        raise SafetyLimitError(
            f"{name}: measured pulse of {pulse.amplitude_v:g} V for {pulse.width_s:g} s, allowed "
            f"from {MIN_CURVE_V:g} V and {MIN_CURVE_WIDTH_S:g} s; choose a longer step"
        )
    return pulse, settings.compliance_a


def check_pulse(name: str, settings: ArcOneSettings, action: Action) -> PulseDevice:
    """Return the action if it is a pulse within the limits, or raise `SafetyLimitError`."""
    pulse = pulse_in(name, action)
    check_device(name, settings, DeviceAddress(pulse.wordline, pulse.bitline))
    check_size(
        name,
        pulse,
        max_pulse_v=settings.max_pulse_v,
        max_forming_v=settings.max_forming_v,
        min_width_s=settings.min_pulse_width_s,
        max_width_s=settings.max_pulse_width_s,
        model="ArC ONE",
    )
    return pulse
