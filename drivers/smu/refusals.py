"""What every source-measure unit refuses before a byte leaves: a device, a size, a length."""

from numbers import Integral

from drivers.errors import SafetyLimitError
from drivers.permit import Action, PulseDevice
from drivers.smu.protocol import DeviceAddress


def check_place(name: str, device: DeviceAddress, n_wordlines: int, n_bitlines: int) -> None:
    """Accept a device of an array, or raise `SafetyLimitError`."""
    for word, line, n_lines in (
        ("word line", device.wordline, n_wordlines),
        ("bit line", device.bitline, n_bitlines),
    ):
        is_number = isinstance(line, Integral) and not isinstance(line, bool)
        if not (is_number and 1 <= line <= n_lines):
            raise SafetyLimitError(
                f"{name}: {word} {line!r}, allowed 1 to {n_lines}; correct the device"
            )


def pulse_in(name: str, action: Action) -> PulseDevice:
    """Return the action if it is a pulse, or raise `SafetyLimitError`."""
    if not isinstance(action, PulseDevice):
        raise SafetyLimitError(f"{name}: {action!r} is no pulse; ask another instrument")
    return action


def check_size(
    name: str,
    pulse: PulseDevice,
    *,
    max_pulse_v: float,
    max_forming_v: float,
    min_width_s: float,
    max_width_s: float,
    model: str,
) -> None:
    """Accept an amplitude up to its limit that is not 0, and a width; or raise."""
    is_forming = pulse.is_forming is True
    max_v = max_forming_v if is_forming else max_pulse_v
    if not (0 < abs(pulse.amplitude_v) <= max_v):
        word = "forming pulse" if is_forming else "pulse"
        raise SafetyLimitError(
            f"{name}: {word} of {pulse.amplitude_v!r} V, allowed up to +-{max_v:g} V and not 0; "
            "choose a smaller pulse"
        )
    if not (min_width_s <= pulse.width_s <= max_width_s):
        raise SafetyLimitError(
            f"{name}: pulse of {pulse.width_s!r} s, allowed {min_width_s:g} to {max_width_s:g} s "
            f"on a {model}; choose another width or another instrument"
        )
