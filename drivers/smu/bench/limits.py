"""What the driver of a bench unit refuses before a byte leaves, whoever permitted it."""

from drivers.errors import SafetyLimitError
from drivers.permit import Action, PulseDevice
from drivers.smu.bench.route import Route
from drivers.smu.bench.settings import BenchSettings
from drivers.smu.protocol import Capabilities, DeviceAddress


def check_pulse(
    name: str, settings: BenchSettings, can: Capabilities, route: Route, action: Action
) -> PulseDevice:
    """Return the action if it is a pulse that may and can be made, or raise `SafetyLimitError`."""
    if not isinstance(action, PulseDevice):
        raise SafetyLimitError(f"{name}: {action!r} is no pulse; ask another instrument")
    route.check(name, DeviceAddress(action.wordline, action.bitline))
    max_v = settings.max_forming_v if action.is_forming else settings.max_pulse_v
    if not (0 < abs(action.amplitude_v) <= max_v):
        word = "forming pulse" if action.is_forming else "pulse"
        raise SafetyLimitError(
            f"{name}: {word} of {action.amplitude_v!r} V, allowed up to +-{max_v:g} V and not 0; "
            "choose a smaller pulse"
        )
    low_s = max(settings.min_pulse_width_s, can.min_width_s)
    high_s = min(settings.max_pulse_width_s, can.max_width_s)
    if not (low_s <= action.width_s <= high_s):
        raise SafetyLimitError(
            f"{name}: pulse of {action.width_s!r} s, allowed {low_s:g} to {high_s:g} s on a "
            f"{can.model}; choose another width or another instrument"
        )
    n_steps = action.width_s / can.width_resolution_s
    if not abs(n_steps - round(n_steps)) <= 1e-6 * n_steps:
        raise SafetyLimitError(
            f"{name}: pulse of {action.width_s!r} s, allowed are multiples of "
            f"{can.width_resolution_s:g} s on a {can.model}; it would not be the pulse that was "
            "asked for"
        )
    return action
