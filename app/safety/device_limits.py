"""What a memristor may receive, and when: one array's readings, counters and frozen directions."""

from app.config.limits import DeviceLimits
from app.safety.dose import Dose
from app.safety.forming import FormingArm
from app.safety.profiles import DeviceArrayProfile
from app.safety.quantity import amount
from app.safety.rates import last_second
from app.safety.requests import Refusal, RefusalReason
from drivers.permit import Action, PulseDevice
from drivers.smu.protocol import DeviceAddress

RAISE = 1
LOWER = -1
_WORD = {RAISE: "raises", LOWER: "lowers"}


def direction_of(amplitude_v: float, limits: DeviceLimits) -> int:
    """Return RAISE if the pulse raises this device's resistance, else LOWER."""
    return RAISE if (amplitude_v > 0) == limits.is_positive_raising else LOWER


class _Device:
    """What is known of one device."""

    __slots__ = ("frozen", "last_ns", "limits", "n_spent", "name", "resistance_ohm", "second")

    def __init__(self, name: str, limits: DeviceLimits) -> None:
        self.name = name
        self.limits = limits
        self.n_spent = 0
        self.resistance_ohm: float | None = None
        self.last_ns: int | None = None
        self.second = last_second()
        self.frozen: dict[int, str] = {}


class DeviceArrayJudge:
    """Judges pulses on one array. Not thread-safe.

    A permitted pulse makes the last reading void: until the device has been read again nobody
    knows where in its window it stands, so no further pulse is permitted.
    """

    def __init__(self, profile: DeviceArrayProfile) -> None:
        self.profile = profile
        self.forming: FormingArm | None = None
        self._devices = {
            address: _Device(name, limits) for address, (name, limits) in profile.devices.items()
        }

    def knows(self, address: DeviceAddress) -> bool:
        """Say whether the site file lists a device here."""
        return address in self._devices

    def note_reading(self, address: DeviceAddress, resistance_ohm: float | None) -> None:
        """Keep the last reading in ohms; None: there is no believable one."""
        self._devices[address].resistance_ohm = resistance_ohm

    def freeze(self, address: DeviceAddress, direction: int, reason: str) -> None:
        """Permit no further pulse in this direction."""
        self._devices[address].frozen[direction] = reason

    def unfreeze(self, address: DeviceAddress, direction: int) -> bool:
        """Permit the direction again; return whether it was frozen."""
        return self._devices[address].frozen.pop(direction, None) is not None

    def frozen(self) -> tuple[tuple[str, int, str], ...]:
        """Return (device name, direction, reason) of everything that is frozen."""
        return tuple(
            (device.name, direction, reason)
            for device in self._devices.values()
            for direction, reason in sorted(device.frozen.items())
        )

    def spent(self) -> tuple[tuple[str, DeviceAddress, int], ...]:
        """Return (device name, address, pulses permitted in its life) of each device."""
        return tuple(
            (device.name, address, device.n_spent) for address, device in self._devices.items()
        )

    def budget(self, address: DeviceAddress) -> int:
        """Return how many pulses a device may receive in its life."""
        return self._devices[address].limits.budget_pulses

    @property
    def refuses_simulated(self) -> bool:
        """Say False: simulated spikes harm no memristor, its limits hold for every cause."""
        return False

    def describe(self, action: Action) -> str:
        """Return what would happen, in words."""
        if not isinstance(action, PulseDevice) or _address(action) not in self._devices:
            return repr(action)
        name = self._devices[_address(action)].name
        word = "forming pulse" if action.is_forming else "pulse"
        return (
            f"{word} on {name} ({action.wordline}, {action.bitline}): "
            f"{amount(action.amplitude_v, 'V')}, {amount(action.width_s, 's')}"
        )

    def refuse_target(self, action: Action) -> Refusal | None:
        """Return why this instrument cannot do such an action at all, or None."""
        if isinstance(action, PulseDevice) and _address(action) in self._devices:
            return None
        names = sorted(device.name for device in self._devices.values())
        return Refusal(
            RefusalReason.UNKNOWN_TARGET,
            f"{self.profile.name}: has no {action!r}, allowed are pulses on {names}; "
            "add the device to the site file",
        )

    def refuse(
        self, action: Action, *, is_spike_caused: bool, queue_length: int, now_ns: int
    ) -> Refusal | None:
        """Return why this pulse may not be applied now, or None."""
        pulse, device = self._find(action)
        who = f"{self.profile.name}, device {device.name}"
        if pulse.is_forming:
            return (
                self._no_forming_arm(who, _address(pulse), now_ns, is_spike_caused=is_spike_caused)
                or refuse_shape(who, pulse, device.limits)
                or _pace(who, device, now_ns)
                or _budget(who, device)
            )
        direction = direction_of(pulse.amplitude_v, device.limits)
        return (
            refuse_shape(who, pulse, device.limits)
            or _pace(who, device, now_ns)
            or _window(who, device, direction)
            or _frozen(who, device, direction)
            or _budget(who, device)
        )

    def count(self, action: Action, *, is_spike_caused: bool, now_ns: int) -> tuple[Dose, ...]:
        """Count a permitted pulse and void the reading before it."""
        _, device = self._find(action)
        device.last_ns = now_ns
        device.second.add(now_ns)
        device.n_spent += 1
        device.resistance_ohm = None
        return (Dose(self.profile.name, device.name, 1, 0.0),)

    def count_past(self, target: str, time_ns: int, n_pulses: int, charge_fc: int) -> None:
        """Count pulses of earlier sessions against a device's budget."""
        for device in self._devices.values():
            if device.name == target:
                device.n_spent += n_pulses

    def _no_forming_arm(
        self, who: str, address: DeviceAddress, now_ns: int, *, is_spike_caused: bool
    ) -> Refusal | None:
        # No reading and no window binds: a device that was never formed has no state yet.
        arm = self.forming
        if is_spike_caused:
            found = "a forming pulse that a spike or another site asks for"
        elif arm is None or arm.address != address:
            found = "a forming pulse without a forming arm that names this device"
        elif not (now_ns < arm.until_ns):
            found = f"a forming pulse after the end of the forming arm of {arm.who}"
        else:
            return None
        return Refusal(
            RefusalReason.FORMING,
            f"{who}: {found}, allowed are an operator's pulses under an arm for this device; "
            "arm its forming",
        )

    def _find(self, action: Action) -> tuple[PulseDevice, _Device]:
        if not isinstance(action, PulseDevice):
            raise TypeError(f"{self.profile.name}: {action!r} is not a pulse")
        return action, self._devices[_address(action)]


def _address(action: PulseDevice) -> DeviceAddress:
    return DeviceAddress(action.wordline, action.bitline)


def refuse_shape(who: str, pulse: PulseDevice, limits: DeviceLimits) -> Refusal | None:
    """Return why a pulse of this amplitude and width is never permitted, or None."""
    field = "max_forming_v" if pulse.is_forming else "max_amplitude_v"
    max_v: float = getattr(limits, field)
    if not (0 < abs(pulse.amplitude_v) <= max_v):
        return Refusal(
            RefusalReason.AMPLITUDE,
            f"{who}: pulse of {amount(pulse.amplitude_v, 'V')}, allowed up to "
            f"+-{amount(max_v, 'V')} and not 0 ({field}); "
            "change the synapse's pulse in the experiment",
        )
    if not (limits.min_width_s <= pulse.width_s <= limits.max_width_s):
        return Refusal(
            RefusalReason.WIDTH,
            f"{who}: pulse of {amount(pulse.width_s, 's')}, allowed "
            f"{amount(limits.min_width_s, 's')} to {amount(limits.max_width_s, 's')} "
            "(min_width_s, max_width_s); change the synapse's pulse in the experiment",
        )
    return None


def _pace(who: str, device: _Device, now_ns: int) -> Refusal | None:
    limits = device.limits
    if device.last_ns is not None:
        since_ns = now_ns - device.last_ns
        if not (since_ns >= round(limits.min_interval_s * 1e9)):
            return Refusal(
                RefusalReason.INTERVAL,
                f"{who}: {amount(since_ns / 1e9, 's')} after the last pulse, allowed after "
                f"{amount(limits.min_interval_s, 's')} (min_interval_s); ask less often",
            )
    n_then = device.second.total(now_ns) + 1
    if not (1 <= n_then <= limits.max_per_second):
        return Refusal(
            RefusalReason.RATE,
            f"{who}: pulse {n_then} in a second, allowed {limits.max_per_second} "
            "(max_per_second); ask less often",
        )
    return None


def _window(who: str, device: _Device, direction: int) -> Refusal | None:
    limits = device.limits
    resistance_ohm = device.resistance_ohm
    if resistance_ohm is None:
        return Refusal(
            RefusalReason.UNREAD,
            f"{who}: resistance not known since its last pulse or since the start, allowed only "
            "with a reading; read the device first",
        )
    if direction == RAISE and not (resistance_ohm < limits.window_max_ohm):
        edge = f"below {amount(limits.window_max_ohm, 'ohm')} (window_max_ohm)"
    elif direction == LOWER and not (resistance_ohm > limits.window_min_ohm):
        edge = f"above {amount(limits.window_min_ohm, 'ohm')} (window_min_ohm)"
    else:
        return None
    return Refusal(
        RefusalReason.WINDOW,
        f"{who}: at {amount(resistance_ohm, 'ohm')} a pulse that {_WORD[direction]} the "
        f"resistance, allowed {edge}; pulse it the other way",
    )


def _frozen(who: str, device: _Device, direction: int) -> Refusal | None:
    reason = device.frozen.get(direction)
    if reason is None:
        return None
    return Refusal(
        RefusalReason.FROZEN,
        f"{who}: a pulse that {_WORD[direction]} the resistance, not allowed since the direction "
        f"is frozen: {reason}; a person must look at the device and unfreeze it",
    )


def _budget(who: str, device: _Device) -> Refusal | None:
    n_then = device.n_spent + 1
    if not (1 <= n_then <= device.limits.budget_pulses):
        return Refusal(
            RefusalReason.BUDGET,
            f"{who}: pulse {n_then} of its life, allowed {device.limits.budget_pulses} "
            "(budget_pulses); replace the device or confirm a larger budget",
        )
    return None
