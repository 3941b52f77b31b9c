"""The ArC ONE memristor characterisation board as a source-measure unit."""

import threading
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from drivers.errors import InstrumentError, SafetyLimitError
from drivers.permit import Permit, PulseDevice
from drivers.safe_state import SafeReport, SafeState
from drivers.smu.agreement import NoAgreementError, read_after, read_until_agreed
from drivers.smu.arc_one import wire
from drivers.smu.arc_one.board import ArcOneState, Board
from drivers.smu.arc_one.counters import ArcOneCounters
from drivers.smu.arc_one.limits import check_device, check_measured_pulse, check_pulse
from drivers.smu.arc_one.settings import ArcOneSettings
from drivers.smu.protocol import Capabilities, DeviceAddress, PulseOutcome, Reading
from drivers.transport.protocol import Transport

CELL_DEADLINE_S = 0.02
"""What each device adds to the deadline of a whole array."""
SENDING_LIMIT_S = 0.5
"""How long `make_safe` waits for a pulse's bytes that are just leaving."""
N_HARMLESS_LINES = 3
"""A pulse's job, word line and bit line: cut off after them it ends with 0 V (`filler_lines`)."""
N_HARMLESS_CURVE_LINES = 13
"""A curve's job and all but its number of devices: cut off after them it has none."""
FULL_LEVEL = 0.98
"""A step that stayed below this part of its level was at the compliance."""

CAPABILITIES = Capabilities(
    model="ArC ONE",
    min_width_s=wire.MIN_PULSE_WIDTH_S,
    max_width_s=wire.MAX_PULSE_WIDTH_S,
    width_resolution_s=1e-9,
    width_jitter_s=0.0,
    max_pulse_v=wire.MAX_VOLTAGE_V,
    min_compliance_a=None,
    max_compliance_a=None,
    is_measuring_pulses=False,
    note="single pulses have no compliance; resolution and jitter are not published",
)


def _never() -> bool:
    return False


class ArcOne:
    """A `SourceMeasureUnit`. One thread owns it; only `make_safe` may come from any thread.

    Source: the vendor's clients and manual, as told in `wire`. The board never reports an error
    and its bytes carry no checksum: a byte that is lost on its way out changes a number and no
    driver can see it. So lines go out slowly, and a value that decides something is read twice.

    After any time-out, short or long reply or value outside 100 ohm to 100 Mohm the state is
    DESYNC: the bytes are discarded and counted, and the next call first resets the board and
    verifies it by one reading. A pulse asked for in DESYNC is refused after that, with its permit
    unspent, since a permit lives shorter than a reset takes. No pulse is ever sent twice.
    """

    def __init__(
        self,
        name: str,
        make_transport: Callable[[], Transport],
        settings: ArcOneSettings,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = name
        self.settings = settings
        self._clock_ns = clock_ns
        self._board = Board(name, make_transport, settings, clock_ns=clock_ns, sleep=sleep)
        self._last_good: DeviceAddress | None = None
        self._pulse_end_ns: int | None = None
        self._is_latched = threading.Event()
        self._sending = threading.Lock()

    @property
    def capabilities(self) -> Capabilities:
        """Get what the board can do honestly. Any thread."""
        return CAPABILITIES

    @property
    def state(self) -> ArcOneState:
        """Get the state. Any thread."""
        return self._board.state

    @property
    def counters(self) -> ArcOneCounters:
        """Get a snapshot of the counters. Any thread."""
        return self._board.counters

    @property
    def firmware(self) -> tuple[int, int] | None:
        """Get major and minor version; None: not asked, or it did not say."""
        return self._board.firmware

    def open(self) -> None:
        """Open the port, reset and initialise the board. Changes no output.

        Also leaves FAILED, and takes back what `make_safe` shut. Takes a little over
        `reset_wait_s`.

        Raises
        ------
        TransportError
            The port cannot be opened or is gone.
        InstrumentTimeoutError, InstrumentProtocolError
            The board did not answer the initialisation with `1`. The port is closed again.
        """
        self._is_latched.clear()
        self._board.connect()

    def read(self, device: DeviceAddress) -> Reading:
        """Measure the resistance of one device, in ohms, 100 to 100e6.

        Raises
        ------
        SafetyLimitError
            The array has no such device; nothing was sent.
        InstrumentTimeoutError, InstrumentProtocolError
            No believable answer; its bytes are discarded.
        TransportError
            The port is closed or gone.
        """
        check_device(self.name, self.settings, device)
        self._board.catch_up(self._last_good or device)
        what = f"reading {device.wordline}, {device.bitline}"
        self._board.send(what, wire.read_one_lines(device.wordline, device.bitline))
        return self._take_reading(what, device, self.settings.reply_deadline_s)

    def read_agreed(self, device: DeviceAddress) -> Reading:
        """Measure until two readings in a row agree, at most four times; return the later one.

        Raises as `read` does, and `InstrumentProtocolError` if no two agree.
        """
        try:
            return read_until_agreed(
                self.name, lambda: self.read(device), self.settings.max_disagreement
            )
        except NoAgreementError:
            self._board.count(n_disagreed=1)
            raise

    def read_all(self, *, should_stop: Callable[[], bool] = _never) -> npt.NDArray[np.float64]:
        """Measure every device; return ohms, `(n_wordlines, n_bitlines)`.

        `should_stop` is asked every 50 ms while the board sends. If it says yes, board and host
        are out of step, which the next call cures, and `InstrumentTimeoutError` is raised.

        Raises as `read` does; one value outside 100 ohm to 100 Mohm condemns the whole answer,
        because after a lost byte each later value is wrong.
        """
        shape = (self.settings.n_wordlines, self.settings.n_bitlines)
        n_devices = shape[0] * shape[1]
        self._board.catch_up(self._last_good or DeviceAddress(1, 1))
        self._board.send("reading all", wire.read_all_lines(*shape))
        deadline_s = self.settings.reply_deadline_s + n_devices * CELL_DEADLINE_S
        values = self._board.take("reading all", n_devices, deadline_s, should_stop)
        return values.reshape(shape)

    def pulse(self, permit: Permit) -> PulseOutcome:
        """Apply the permitted pulse and read the device after it (job 3).

        The permit is spent right before the first byte. If no believable answer comes, the outcome
        has no reading: the pulse may have happened, is counted as unconfirmed and never sent again.

        Raises
        ------
        SafetyLimitError
            Outside the limits, no valid permit, or made safe; no byte left.
        InstrumentError
            Board and host were out of step. They agree again, no pulse happened, the permit is
            unspent and too old: ask again.
        TransportError
            The port is closed, or was gone before the amplitude left: no pulse happened.
        """
        pulse = check_pulse(self.name, self.settings, permit.action)
        device = self._be_in_step_for(pulse)
        what = f"pulsing {pulse.wordline}, {pulse.bitline}"
        deadline_s = self.settings.reply_deadline_s + pulse.width_s
        lines = wire.pulse_and_read_lines(
            pulse.wordline, pulse.bitline, pulse.amplitude_v, pulse.width_s
        )
        sent_ns = self._clock_ns()
        try:
            sent_ns = self._send_pulse(what, permit, lines, pulse.width_s)
            after = self._take_reading(what, device, deadline_s)
        except SafetyLimitError:
            raise
        except InstrumentError as exc:
            if self._board.n_lines_begun <= N_HARMLESS_LINES:
                raise
            self._board.count(n_unconfirmed=1)
            return PulseOutcome(device, sent_ns, None, f"the pulse may have happened: {exc}")
        return PulseOutcome(device, sent_ns, after)

    def pulse_measured(self, permit: Permit) -> PulseOutcome:
        """Apply the permitted pulse with compliance, measure in it, then read (jobs 201 and 1).

        The board knows compliance and current only in its curves: this is a curve of one step.
        Raises as `pulse` does.
        """
        pulse, compliance_a = check_measured_pulse(self.name, self.settings, permit.action)
        device = self._be_in_step_for(pulse)
        what = f"tracing {pulse.wordline}, {pulse.bitline}"
        lines = wire.curve_step_lines(
            pulse.wordline, pulse.bitline, pulse.amplitude_v, pulse.width_s, compliance_a
        )
        deadline_s = self.settings.reply_deadline_s + pulse.width_s
        sent_ns = self._clock_ns()
        try:
            sent_ns = self._send_pulse(what, permit, lines, pulse.width_s)
            step = self._board.take(
                what, wire.N_CURVE_STEP_VALUES, deadline_s, parse=wire.parse_curve_step
            )
        except SafetyLimitError:
            raise
        except InstrumentError as exc:
            if self._board.n_lines_begun <= N_HARMLESS_CURVE_LINES:
                raise
            self._board.count(n_unconfirmed=1)
            return PulseOutcome(device, sent_ns, None, f"the pulse may have happened: {exc}")
        ohm, volts = (float(value) for value in step)
        after, detail = read_after(lambda: self.read(device))
        return PulseOutcome(
            device,
            sent_ns,
            after,
            detail,
            pulse_v=volts,
            pulse_a=volts / ohm,
            is_limited=abs(volts) < FULL_LEVEL * abs(pulse.amplitude_v),
        )

    def make_safe(self) -> SafeReport:
        """Let no further pulse leave until `open` is called again; never raises. Any thread.

        The board has no command that stops a pulse and needs none: each has a width, which the
        board ends by itself. Reading stays possible.
        """
        self._is_latched.set()
        if not self._sending.acquire(timeout=SENDING_LIMIT_S):
            return SafeReport(
                self.name,
                SafeState.FAILED,
                f"the port has not taken a pulse's bytes for {SENDING_LIMIT_S:g} s; that pulse of "
                f"at most {self.settings.max_pulse_width_s:g} s may still happen, pull the cable",
            )
        end_ns = self._pulse_end_ns
        self._sending.release()
        left_s = 0.0 if end_ns is None else (end_ns - self._clock_ns()) / 1e9
        last = f"; the last ends in {left_s:g} s" if left_s > 0 else ""
        return SafeReport(
            self.name,
            SafeState.BY_CONSTRUCTION,
            f"only finite pulses exist, no further one will be sent{last}",
        )

    def close(self) -> None:
        """Make safe and close the port; idempotent, never raises."""
        self.make_safe()
        self._board.disconnect(ArcOneState.CLOSED)

    def _be_in_step_for(self, pulse: PulseDevice) -> DeviceAddress:
        """Return the pulse's device, or raise `InstrumentError`: then no pulse was sent."""
        self._refuse_if_latched()
        device = DeviceAddress(pulse.wordline, pulse.bitline)
        fault = self._board.catch_up(self._last_good or device)
        if fault:
            raise InstrumentError(
                f"{self.name}: no pulse was sent, because board and host were out of step ({fault})"
                "; they have been brought together, ask again"
            )
        return device

    def _send_pulse(self, what: str, permit: Permit, lines: wire.Lines, width_s: float) -> int:
        with self._sending:  # make_safe waits for it, so that "no further one" is true
            self._refuse_if_latched()
            permit.spend(self.name)
            self._board.count(n_pulses=1)
            try:
                return self._board.send(what, lines)
            finally:
                self._pulse_end_ns = self._clock_ns() + round(width_s * 1e9)

    def _take_reading(self, what: str, device: DeviceAddress, deadline_s: float) -> Reading:
        resistance_ohm = float(self._board.take(what, 1, deadline_s)[0])
        self._last_good = device
        return Reading(device, resistance_ohm, self.settings.read_voltage_v, self._clock_ns())

    def _refuse_if_latched(self) -> None:
        if self._is_latched.is_set():
            raise SafetyLimitError(
                f"{self.name}: no pulse after make_safe; call open() before the next one"
            )
