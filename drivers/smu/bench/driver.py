"""A bench source-measure unit as a synapse's instrument: one driver, whatever its language."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from drivers.errors import (
    InstrumentError,
    InstrumentProtocolError,
    SafetyLimitError,
)
from drivers.permit import Permit, PulseDevice
from drivers.safe_state import SafeReport, SafeState
from drivers.smu.agreement import NoAgreementError, read_after, read_until_agreed
from drivers.smu.bench.counters import BenchCounters
from drivers.smu.bench.dialect import Dialect, Measured, StaircaseDialect
from drivers.smu.bench.levels import is_at_level, resistance_ohm
from drivers.smu.bench.limits import check_pulse, check_staircase
from drivers.smu.bench.route import OneCell, Route
from drivers.smu.bench.settings import BenchSettings
from drivers.smu.bench.unit import BenchState, Unit
from drivers.smu.protocol import Capabilities, DeviceAddress, PulseOutcome, Reading, Step
from drivers.tagged.message import Message
from drivers.transport.protocol import LinePort

EXCHANGE_LIMIT_S = 2.5
"""How long `make_safe` waits for a message that is under way."""


class BenchSmu:
    """One device between the terminals of a bench unit, or an array behind a switch (`route`).

    One thread makes every call; `make_safe` may come from any. `open` changes no output. The first
    reading switches the output off, sets everything up, compares the compliance with what was set,
    and only then switches it on, at 0 V; there it rests between readings and pulses.

    A switch is moved only while the output is off, which is read back: off, all relays open, the
    device's relays closed, each read back, and on again at 0 V. A reading counts only if the relays
    are as they should be after it, and a pulse is set up only if they are before it.

    Whatever goes wrong in an exchange leaves the unit out of step: the next call opens it anew,
    output off first. A pulse asked for then is refused after that, since a permit lives shorter
    than that takes. No pulse is ever sent twice.

    Raises
    ------
    SafetyLimitError
        A setting is beyond what the instrument can do.
    """

    def __init__(
        self,
        name: str,
        dialect: Dialect,
        make_port: Callable[[], LinePort],
        settings: BenchSettings,
        *,
        route: Route | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        settings.check(name, dialect.can)
        self.name = name
        self.settings = settings
        self._dialect = dialect
        self._clock_ns = clock_ns
        self._route: Route = route or OneCell()
        self._unit = Unit(name, dialect, make_port, settings)
        self._is_latched = threading.Event()
        self._talking = threading.RLock()

    @property
    def capabilities(self) -> Capabilities:
        """Get what the instrument can do honestly. Any thread."""
        return self._dialect.can

    @property
    def state(self) -> BenchState:
        """Get the state. Any thread."""
        return self._unit.state

    @property
    def counters(self) -> BenchCounters:
        """Get a snapshot of the counters. Any thread."""
        return replace(self._unit.counters, n_switched=self._route.n_moves)

    @property
    def identity(self) -> str:
        """Get what the instrument says it is; empty before it was opened."""
        return self._unit.identity

    def open(self) -> None:
        """Connect, ask who is there and in which state. Changes no output.

        Also takes back what `make_safe` shut.

        Raises
        ------
        TransportError, InstrumentTimeoutError
            Nobody is there, or nobody answers.
        InstrumentProtocolError, InstrumentRefusedError
            Another instrument is there, or another language is set.
        """
        self._is_latched.clear()
        with self._talking:
            self._unit.connect()
            self._route.attach()

    def read(self, device: DeviceAddress) -> Reading:
        """Measure the resistance of the device, in ohms, up to 1e9.

        Raises
        ------
        SafetyLimitError
            There is no such device, or the unit was made safe; nothing was sent.
        InstrumentTimeoutError, InstrumentProtocolError, InstrumentRefusedError
            No believable answer.
        TransportError
            The way to the instrument is gone.
        """
        self._route.check(self.name, device)
        with self._talking:
            self._refuse_if_latched("reading")
            self._select(device)
            self._unit.be_ready()
            if self._dialect.is_wedged_by_reading_off:
                self._unit.verify_output()
            message = self._dialect.read(self.settings)
            measured = self._unit.measure("reading", message, self._dialect.parse_read)
            self._route.verify()
        return self._reading(device, measured)

    def read_agreed(self, device: DeviceAddress) -> Reading:
        """Measure until two readings in a row agree, at most four times; return the later one.

        Raises as `read` does, and `InstrumentProtocolError` if no two agree.
        """
        try:
            return read_until_agreed(
                self.name, lambda: self.read(device), self.settings.max_disagreement
            )
        except NoAgreementError:
            self._unit.count(n_disagreed=1)
            raise

    def pulse(self, permit: Permit) -> PulseOutcome:
        """Apply the permitted pulse, measure in it, and read the device after it.

        Raises
        ------
        SafetyLimitError
            Outside the limits or the instrument's abilities, no valid permit, or made safe; no
            pulse was sent.
        InstrumentError
            The unit was not ready, or did not take the pulse's settings. No pulse happened; ask
            again, with another permit.
        TransportError
            The way to the instrument is gone and no pulse happened.
        """
        pulse = check_pulse(self.name, self.settings, self.capabilities, self._route, permit.action)
        with self._talking:
            self._spend_on(pulse, permit)
            self._unit.prepare(self._dialect.prepare_pulse(self.settings, pulse))
            self._refuse_set_up_pulse(permit)
            self._unit.count(n_pulses=1)
            sent_ns = self._clock_ns()
            return self._fire(pulse, sent_ns)

    def staircase(self, permit: Permit, n_steps: int, *, halts: bool) -> PulseOutcome:
        """Deliver the permitted pulse as a staircase, and read the device after it.

        One message goes over all levels and ends at 0 V; none is above the amplitude. Raises as
        `pulse` does.
        """
        pulse = check_pulse(self.name, self.settings, self.capabilities, self._route, permit.action)
        check_staircase(self.name, self.capabilities, pulse, n_steps)
        if not isinstance(self._dialect, StaircaseDialect):
            raise SafetyLimitError(f"{self.name}: has no words for a staircase; ask for pulses")
        message = self._dialect.staircase(self.settings, pulse, n_steps, halts=halts)
        with self._talking:
            self._spend_on(pulse, permit)
            self._refuse_set_up_pulse(permit)
            self._unit.count(n_pulses=1)
            return self._trace(pulse, message, self._dialect, n_steps)

    def make_safe(self) -> SafeReport:
        """Put the level to 0 V and the output off, then open every relay; never raises. Any thread.

        No reading and no pulse before `open` is called again.
        """
        self._is_latched.set()
        if not self._talking.acquire(timeout=EXCHANGE_LIMIT_S):
            return SafeReport(
                self.name,
                SafeState.FAILED,
                f"the instrument has been busy for {EXCHANGE_LIMIT_S:g} s; switch its output off "
                "at its front panel",
            )
        try:
            state, detail = self._unit.switch_off()
            # Also while the output may be on: a device that is cut off is safe.
            route_state, route_detail = self._route.release()
        finally:
            self._talking.release()
        if route_detail:
            detail = f"{detail}; {route_detail}"
        is_off = route_state is SafeState.CONFIRMED
        return SafeReport(self.name, state if is_off else route_state, detail)

    def close(self) -> None:
        """Make safe and disconnect; idempotent, never raises."""
        # What somebody else switched on, we only looked at.
        if self._unit.is_ours or self._route.is_ours:
            self.make_safe()
        self._unit.disconnect(BenchState.CLOSED)
        self._route.detach()

    def _select(self, device: DeviceAddress) -> bool:
        """Connect a device if it is not; say whether the output went off for that."""
        if self._route.selected == device:
            return False
        self._unit.rest()
        self._route.select(device)
        return True

    def _be_ready_for_a_pulse(self) -> None:
        if self._unit.state is not BenchState.READY:
            fault = self._unit.be_ready()
            raise InstrumentError(
                f"{self.name}: no pulse was sent, because the unit was not ready ({fault}); "
                "it is now, ask again"
            )

    def _spend_on(self, pulse: PulseDevice, permit: Permit) -> None:
        """Be ready for a pulse, spend its permit, and have the device between the terminals.

        Switching, and setting up on a slow serial line, takes longer than a permit lives: it is
        spent now, and a trip is looked for again before the message that moves.
        """
        self._refuse_if_latched("pulse")
        self._be_ready_for_a_pulse()
        permit.spend(self.name)
        if self._select(DeviceAddress(pulse.wordline, pulse.bitline)):
            self._unit.be_ready()
        self._unit.verify_output()
        self._route.verify()

    def _trace(
        self, pulse: PulseDevice, message: Message, dialect: StaircaseDialect, n_steps: int
    ) -> PulseOutcome:
        device, sent_ns = DeviceAddress(pulse.wordline, pulse.bitline), self._clock_ns()
        try:
            measured = self._unit.trace(message, lambda f: dialect.parse_staircase(f, n_steps))
            for k, step in enumerate(measured[: len(measured) // 2 + 1], start=1):
                self._refuse_wrong_level(step, pulse.amplitude_v * k / n_steps)
        except InstrumentError as exc:
            self._unit.count(n_unconfirmed=1)
            return PulseOutcome(device, sent_ns, None, f"the staircase may have happened: {exc}")
        after, detail = read_after(lambda: self.read(device))
        self._unit.count(n_unconfirmed=int(after is None))
        steps = tuple(Step(m.voltage_v, m.current_a, m.is_limited) for m in measured)
        is_limited = any(step.is_limited for step in steps)
        return PulseOutcome(device, sent_ns, after, detail, is_limited=is_limited, steps=steps)

    def _refuse_set_up_pulse(self, permit: Permit) -> None:
        """Raise if there was a trip meanwhile; what is set up goes away with starting over."""
        try:
            self._refuse_if_latched("pulse")
            permit.refuse_if_tripped(self.name)
        except SafetyLimitError as exc:
            self._unit.lose_step("setting a pulse up", str(exc))
            raise

    def _fire(self, pulse: PulseDevice, sent_ns: int) -> PulseOutcome:
        device = DeviceAddress(pulse.wordline, pulse.bitline)
        try:
            measured = self._unit.measure(
                "pulsing",
                self._dialect.fire(self.settings, pulse),
                self._dialect.parse_pulse,
                may_end_off=True,
            )
            self._refuse_wrong_level(measured, pulse.amplitude_v)
        except InstrumentError as exc:
            self._unit.count(n_unconfirmed=1)
            return PulseOutcome(device, sent_ns, None, f"the pulse may have happened: {exc}")
        after, detail = read_after(lambda: self.read(device))
        self._unit.count(n_unconfirmed=int(after is None))
        return PulseOutcome(
            device,
            sent_ns,
            after,
            detail,
            pulse_v=measured.voltage_v,
            pulse_a=measured.current_a,
            is_limited=measured.is_limited,
        )

    def _reading(self, device: DeviceAddress, measured: Measured) -> Reading:
        """Return what a measurement means, or raise: a wrong level is no reading of the device."""
        self._refuse_wrong_level(measured, self.settings.read_voltage_v)
        resistance = resistance_ohm(self.name, measured)
        self._unit.count(n_readings=1)
        return Reading(
            device,
            resistance,
            self.settings.read_voltage_v,
            self._clock_ns(),
            is_limited=measured.is_limited,
        )

    def _refuse_wrong_level(self, measured: Measured, asked_v: float) -> None:
        if is_at_level(measured, asked_v):
            return
        self._unit.lose_step("measuring", f"{measured.voltage_v:g} V instead of {asked_v:g} V")
        raise InstrumentProtocolError(
            f"{self.name}: measured {measured.voltage_v:g} V, asked were {asked_v:g} V"
        )

    def _refuse_if_latched(self, what: str) -> None:
        if self._is_latched.is_set():
            raise SafetyLimitError(
                f"{self.name}: no {what} after make_safe; call open() before the next one"
            )
