"""What the driver of a bench unit refuses before a byte leaves, whoever permitted it."""

from drivers.errors import SafetyLimitError
from drivers.permit import Action, PulseDevice
from drivers.smu.bench.route import Route
from drivers.smu.bench.settings import BenchSettings
from drivers.smu.protocol import Capabilities, DeviceAddress
from drivers.smu.refusals import check_size, pulse_in


def check_pulse(
    name: str, settings: BenchSettings, can: Capabilities, route: Route, action: Action
) -> PulseDevice:
    """Return the action if it is a pulse that may and can be made, or raise `SafetyLimitError`."""
    pulse = pulse_in(name, action)
    route.check(name, DeviceAddress(pulse.wordline, pulse.bitline))
    check_size(
        name,
        pulse,
        max_pulse_v=settings.max_pulse_v,
        max_forming_v=settings.max_forming_v,
        min_width_s=max(settings.min_pulse_width_s, can.min_width_s),
        max_width_s=min(settings.max_pulse_width_s, can.max_width_s),
        model=can.model,
    )
    n_steps = pulse.width_s / can.width_resolution_s
    if not abs(n_steps - round(n_steps)) <= 1e-6 * n_steps:
        raise SafetyLimitError(
            f"{name}: pulse of {pulse.width_s!r} s, allowed are multiples of "
            f"{can.width_resolution_s:g} s on a {can.model}; it would not be the pulse that was "
            "asked for"
        )
    return pulse
