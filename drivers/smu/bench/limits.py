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


def check_staircase(name: str, can: Capabilities, pulse: PulseDevice, n_steps: int) -> None:
    """Raise `SafetyLimitError` unless the instrument makes a staircase of such a pulse."""
    if can.min_step_s is None:
        raise SafetyLimitError(
            f"{name}: a {can.model} returns to 0 V after every level, so no staircase; ask for "
            "pulses"
        )
    if not 1 <= n_steps <= can.max_steps:
        raise SafetyLimitError(
            f"{name}: staircase of {n_steps} steps, allowed are 1 to {can.max_steps} on a "
            f"{can.model}; take larger steps"
        )
    step_s = pulse.width_s / (2 * n_steps - 1)
    if not step_s >= can.min_step_s * (1 - 1e-6):
        raise SafetyLimitError(
            f"{name}: steps of {step_s:g} s, allowed from {can.min_step_s:g} s on a {can.model}; "
            "take longer or fewer steps"
        )
