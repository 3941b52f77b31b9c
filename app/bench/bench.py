"""Readings and pulses on one array, each through the Gate, verified and recorded.

Procedures are functions that take a `Bench`; what they may do to a device is decided here and in
the Gate, never in them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.bench.abort import Abort, Caller, directly
from app.bench.array_view import ArrayView, DeviceRecord, DeviceState
from app.bench.delivery import Delivery, Staircase
from app.bench.direction import DOWN, UP, WORD
from app.bench.errors import AbortedError, BenchError, NoReadingError
from app.bench.points import Write, of_pulse, of_reading, of_staircase
from app.bench.progress import Progress
from app.config.site import Device
from app.core.clock import ClockNs, monotonic_ns
from app.core.measured import Point
from app.core.spikes import Provenance
from app.safety.gate import Gate
from app.synapse.verify import PulseVerdict, judge_pulse
from drivers.errors import InstrumentError, TransportError
from drivers.permit import PulseDevice
from drivers.smu.protocol import (
    Capabilities,
    DeviceAddress,
    PulseOutcome,
    Reading,
)
from drivers.smu.protocol import SourceMeasureUnit as Smu


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSeams:
    """What a bench is joined to."""

    await_audit: Callable[[int], bool]
    """Waits until the audit row of a permit is on the disk."""
    on_reading: Callable[[Reading, str], None] = lambda reading, why: None
    on_point: Callable[[Point], None] = lambda point: None
    on_progress: Callable[[Progress], None] = lambda progress: None
    on_frozen: Callable[[str, str], None] = lambda device, reason: None
    """Tells the operator."""


class Bench:
    """One source-measure unit and its devices under the Gate. One thread; `abort` from any.

    `devices` are those of the site file, by name: only they can be pulsed. All waiting is done in
    `wait`, which an abort ends at once; every call to the instrument goes through `call`, which
    decides how long an abort waits for one that is under way.
    """

    def __init__(
        self,
        smu: Smu,
        devices: Mapping[str, Device],
        gate: Gate,
        array: ArrayView,
        seams: BenchSeams,
        *,
        site: str,
        provenance: Provenance,
        read_voltage_v: float,
        min_change: float,
        clock_ns: ClockNs = monotonic_ns,
        abort: Abort | None = None,
        call: Caller = directly,
    ) -> None:
        self.smu = smu
        self.devices = dict(devices)
        self.array = array
        self.points: list[Point] = []
        self.read_voltage_v = read_voltage_v
        self.min_change = min_change
        self.clock_ns = clock_ns
        self._gate = gate
        self._seams = seams
        self.call = call
        self._abort = abort or Abort()
        self._delivery = Delivery(
            smu,
            gate,
            seams.await_audit,
            self.read,
            self.wait,
            site,
            provenance,
            clock_ns,
            call,
        )
        self._last_ohm: dict[str, float | None] = {}

    @property
    def can(self) -> Capabilities:
        """Get what the instrument does honestly."""
        return self.smu.capabilities

    def abort(self) -> None:
        """End the running procedure before its next step. Any thread, and a signal handler."""
        self._abort.ask()

    def is_aborted(self) -> bool:
        """Say whether somebody asked for the end. Any thread."""
        return self._abort.is_asked()

    def wait(self, duration_s: float) -> None:
        """Wait. Raises `AbortedError` at once when somebody asks for the end."""
        self._abort.wait(duration_s)

    def progress(self, done: int, total: int, text: str) -> None:
        """Tell how far the procedure is, and let an abort end it."""
        self._seams.on_progress(Progress(done, total, text))
        self.wait(0.0)

    def device(self, name: str) -> Device:
        """Return a device of the site file. Raises `BenchError` for an unknown name."""
        try:
            return self.devices[name]
        except KeyError:
            known = ", ".join(sorted(self.devices))
            raise BenchError(
                f"{self.smu.name}: no device {name!r} in the site file, it has {known}"
            ) from None

    def record(self, name: str) -> DeviceRecord:
        """Return what is known of a device."""
        device = self.device(name)
        return self.array.at(self.smu.name, device.wordline, device.bitline)

    def read(self, name: str, tag: str = "S", *, agreed: bool = False) -> float:
        """Return a device's resistance in ohms; `agreed` reads until two readings agree.

        Raises `NoReadingError` if there is no believable one, `TransportError` if the instrument
        is gone.
        """
        self.wait(0.0)
        device = self.device(name)
        address = DeviceAddress(device.wordline, device.bitline)
        act = self.smu.read_agreed if agreed else self.smu.read
        try:
            reading = self.call(lambda: act(address))
        except TransportError:
            raise
        except InstrumentError as exc:
            self._note(name, None)
            raise NoReadingError(f"{name}: no believable reading: {exc}") from exc
        self._seams.on_reading(reading, tag)
        self._note(name, reading)
        self.keep(of_reading(reading, name, tag))
        return reading.resistance_ohm

    def apply(
        self,
        name: str,
        amplitude_v: float,
        width_s: float,
        *,
        tag: str = "P",
        is_forming: bool = False,
        is_measured: bool = False,
    ) -> Write:
        """Apply one pulse and say what it did. A device that did not move is not frozen.

        `is_measured` asks for voltage and current in the pulse from a unit that measures them only
        on demand.

        Raises
        ------
        RefusedError
            The Gate says no.
        BenchError
            The driver refuses, or no believable reading was to be had before the pulse.
        AbortedError
            Somebody asked for the end; a pulse that was not waited for is recorded as unconfirmed.
        TransportError
            The instrument is gone.
        """
        device = self.device(name)
        action = PulseDevice(device.wordline, device.bitline, amplitude_v, width_s, is_forming)
        direction = UP if (amplitude_v > 0) == device.limits.is_positive_raising else DOWN
        before_ohm = self._last_ohm.get(name)
        if before_ohm is None:
            before_ohm = self.read(name, agreed=True)
        outcome = self._delivery.deliver(device, action, is_measured=is_measured)
        after_ohm = self._after(name, outcome, tag)
        is_up = direction == UP
        verdict = judge_pulse(before_ohm, after_ohm, is_up, self.min_change)
        if not outcome.is_confirmed:
            verdict = PulseVerdict.UNCONFIRMED
        write = Write(action, direction, before_ohm, after_ohm, verdict, outcome.detail, outcome)
        self.record(name).n_pulses += 1
        self.keep(of_pulse(write, name, tag, self.read_voltage_v))
        if write.after_ohm is None:
            self.wait(0.0)
        return write

    def trace(
        self, name: str, amplitude_v: float, step_s: float, staircase: Staircase
    ) -> PulseOutcome:
        """Go to an amplitude in steps and back without 0 V in between, and keep each step.

        The Gate judges it as one pulse of that amplitude and of all steps' length. Raises as
        `apply` does.
        """
        device = self.device(name)
        width_s = round(step_s * (2 * staircase.n_steps - 1), 9)
        action = PulseDevice(device.wordline, device.bitline, amplitude_v, width_s)
        if self._last_ohm.get(name) is None:
            self.read(name, agreed=True)
        outcome = self._delivery.deliver(device, action, is_measured=True, staircase=staircase)
        after_ohm = self._after(name, outcome, "CT")
        self.record(name).n_pulses += 1
        for point in of_staircase(outcome, name, step_s, after_ohm, self.read_voltage_v):
            self.keep(point)
        if after_ohm is None:
            self.wait(0.0)
        return outcome

    def write(self, name: str, amplitude_v: float, width_s: float, *, tag: str = "P") -> Write:
        """Apply one pulse that shall move the device; freeze the direction if it does not.

        Raises as `apply` does.
        """
        write = self.apply(name, amplitude_v, width_s, tag=tag)
        limits = self.device(name).limits
        if write.verdict in (PulseVerdict.UNMOVED, PulseVerdict.WRONG_WAY):
            self.freeze(name, write.direction, f"{write.verdict} by {amplitude_v:+g} V")
        elif write.after_ohm is not None and not (
            limits.window_min_ohm <= write.after_ohm <= limits.window_max_ohm
        ):
            self.freeze(name, write.direction, f"left its window: {write.after_ohm:g} ohm")
            self.record(name).state = DeviceState.OUT_OF_WINDOW
        return write

    def freeze(self, name: str, direction: int, reason: str) -> None:
        """Permit no further pulse in a direction, and tell the operator."""
        device = self.device(name)
        address = DeviceAddress(device.wordline, device.bitline)
        self._gate.freeze(self.smu.name, address, direction, reason, self.clock_ns())
        record = self.record(name)
        record.frozen = {**record.frozen, WORD[direction]: reason}
        self._seams.on_frozen(name, f"frozen {WORD[direction]}: {reason}")

    def unfreeze(self, name: str, who: str) -> None:
        """Let a device be pulsed again both ways, by a named person."""
        device = self.device(name)
        address = DeviceAddress(device.wordline, device.bitline)
        for direction in (UP, DOWN):
            now_ns = self.clock_ns()
            self._gate.unfreeze(self.smu.name, address, direction, who, now_ns)
        record = self.record(name)
        record.frozen = {}
        record.state = DeviceState.UNKNOWN

    def keep(self, point: Point) -> None:
        """Add a measurement to the record."""
        self.points.append(point)
        self._seams.on_point(point)

    def note_reading(self, reading: Reading, tag: str) -> None:
        """Keep a reading that a whole-array measurement brought."""
        self._seams.on_reading(reading, tag)
        named = [
            name
            for name, device in self.devices.items()
            if DeviceAddress(device.wordline, device.bitline) == reading.device
        ]
        if named:
            self._note(named[0], reading)
        else:
            self._note_record(
                self.array.at(self.smu.name, reading.device.wordline, reading.device.bitline),
                reading,
            )
        record = self.array.at(self.smu.name, reading.device.wordline, reading.device.bitline)
        self.keep(of_reading(reading, record.name, tag))

    # -- what is known

    def _after(self, name: str, outcome: PulseOutcome, tag: str) -> float | None:
        """Return the resistance after a pulse, read again if its own reading is not believable."""
        if outcome.after is not None:
            self._seams.on_reading(outcome.after, tag)
            self._note(name, outcome.after)
            return outcome.after.resistance_ohm
        self._last_ohm[name] = None
        try:
            return self.read(name, agreed=True)
        except (NoReadingError, AbortedError):
            return None

    def _note(self, name: str, reading: Reading | None) -> None:
        device = self.device(name)
        self._last_ohm[name] = None if reading is None else reading.resistance_ohm
        if reading is None:
            self.array.note_reading(self.record(name), None, self.read_voltage_v)
            return
        self._gate.note_reading(
            self.smu.name,
            DeviceAddress(device.wordline, device.bitline),
            reading.resistance_ohm,
            reading.time_ns,
        )
        self._note_record(self.record(name), reading)

    def _note_record(self, record: DeviceRecord, reading: Reading) -> None:
        self.array.note_reading(record, reading.resistance_ohm, reading.read_voltage_v)
