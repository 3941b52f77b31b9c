"""What the driver refuses before a byte leaves, whoever permitted it."""

from numbers import Integral

from drivers.errors import SafetyLimitError
from drivers.permit import Action, PulseDevice
from drivers.smu.arc_one.settings import ArcOneSettings
from drivers.smu.arc_one.wire import MIN_CURVE_V, MIN_CURVE_WIDTH_S
from drivers.smu.protocol import DeviceAddress


def check_device(name: str, settings: ArcOneSettings, device: DeviceAddress) -> None:
    """Accept a device of the array, or raise `SafetyLimitError`."""
    for word, line, n_lines in (
        ("word line", device.wordline, settings.n_wordlines),
        ("bit line", device.bitline, settings.n_bitlines),
    ):
        is_number = isinstance(line, Integral) and not isinstance(line, bool)
        if not (is_number and 1 <= line <= n_lines):
            raise SafetyLimitError(
                f"{name}: {word} {line!r}, allowed 1 to {n_lines}; correct the device"
            )


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
    if not isinstance(action, PulseDevice):
        raise SafetyLimitError(f"{name}: {action!r} is no pulse; ask another instrument")
    check_device(name, settings, DeviceAddress(action.wordline, action.bitline))
    max_v = settings.max_forming_v if action.is_forming is True else settings.max_pulse_v
    if not (0 < abs(action.amplitude_v) <= max_v):
        raise SafetyLimitError(
            f"{name}: pulse of {action.amplitude_v!r} V, allowed up to "
            f"+-{max_v:g} V and not 0; choose a smaller pulse"
        )
    if not (settings.min_pulse_width_s <= action.width_s <= settings.max_pulse_width_s):
        raise SafetyLimitError(
            f"{name}: pulse of {action.width_s!r} s, allowed {settings.min_pulse_width_s:g} to "
            f"{settings.max_pulse_width_s:g} s; choose another width"
        )
    return action
