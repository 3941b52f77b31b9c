"""The board and us in step, or not: states, reset, and what went wrong how often."""

import contextlib
import enum
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from drivers.errors import InstrumentError, InstrumentTimeoutError, TransportError
from drivers.smu.arc_one import wire
from drivers.smu.arc_one.conversation import Conversation
from drivers.smu.arc_one.counters import ArcOneCounters
from drivers.smu.arc_one.settings import ArcOneSettings
from drivers.smu.protocol import DeviceAddress
from drivers.transport.protocol import Transport

log = logging.getLogger(__name__)

FIRMWARE_WAIT_S = 0.2
FIRMWARE_DEADLINE_S = 2.0


class ArcOneState(enum.Enum):
    """CLOSED -open-> READY <-resync-> DESYNC; a lost port leads to FAILED, left by `open`."""

    CLOSED = "closed"
    READY = "ready"
    DESYNC = "desync"
    """A reply was missing or not believable: nothing may pulse before board and host agree."""
    FAILED = "failed"
    """The port is gone, or the board did not answer when it was opened."""


class Board:
    """A connected ArC ONE that knows whether it is in step with us. Owned by one thread.

    Every exchange that does not end as the protocol says, an interrupted one included, leaves
    DESYNC or FAILED behind, and only a reset with a verifying reading, or `connect`, leads out.
    """

    def __init__(
        self,
        name: str,
        make_transport: Callable[[], Transport],
        settings: ArcOneSettings,
        *,
        clock_ns: Callable[[], int],
        sleep: Callable[[float], None],
    ) -> None:
        self.state = ArcOneState.CLOSED
        self.firmware: tuple[int, int] | None = None
        self._name = name
        self._make_transport = make_transport
        self._settings = settings
        self._clock_ns = clock_ns
        self._sleep = sleep
        self._talk: Conversation | None = None
        self._fault = ""
        self._counters = ArcOneCounters()
        self._n_bytes_discarded_before = 0

    @property
    def counters(self) -> ArcOneCounters:
        """Get a snapshot of the counters. Any thread."""
        talk = self._talk
        n_now = 0 if talk is None else talk.n_bytes_discarded
        return replace(self._counters, n_bytes_discarded=self._n_bytes_discarded_before + n_now)

    @property
    def n_lines_begun(self) -> int:
        """Get how many lines of the last command may have left, all or in part."""
        return self._open_talk().n_lines_begun

    def count(self, **steps: int) -> None:
        """Add to counters by name."""
        now = {name: getattr(self._counters, name) + step for name, step in steps.items()}
        self._counters = replace(self._counters, **now)

    def connect(self) -> None:
        """Open the port anew, reset and initialise the board; READY, or raise and FAILED."""
        self.disconnect(ArcOneState.FAILED)
        self._talk = Conversation(
            self._make_transport(),
            line_pacing_s=self._settings.line_pacing_s,
            clock_ns=self._clock_ns,
            sleep=self._sleep,
        )
        try:
            with self._exchange("opening") as talk:
                self._initialise(talk)
                if self._settings.is_asking_firmware:
                    self.firmware = self._ask_firmware(talk)
        except BaseException:
            self.disconnect(ArcOneState.FAILED)
            raise
        self.state = ArcOneState.READY

    def disconnect(self, state: ArcOneState) -> None:
        """Close the port, if it is open, and take this state; never raises."""
        talk, self._talk = self._talk, None
        if talk is not None:
            self._n_bytes_discarded_before += talk.n_bytes_discarded
            talk.close()
        self.state = state

    def catch_up(self, verify_with: DeviceAddress) -> str:
        """Bring board and host in step if they are not; return what was wrong, or nothing.

        Raises `InstrumentError` if that fails (still DESYNC), `TransportError` without a port.
        """
        talk = self._open_talk()
        if self.state is ArcOneState.FAILED:
            raise TransportError(f"{self._name}: failed ({self._fault}); call open() again")
        if self.state is ArcOneState.READY:
            with self._exchange("listening"):
                n_unasked = talk.discard()
            if not n_unasked:
                return ""
            self.count(n_unbelievable=1)
            self._fall_to(ArcOneState.DESYNC, f"{n_unasked} bytes came unasked")
        fault = self._fault
        self._resynchronise(verify_with)
        return fault

    def send(self, what: str, lines: wire.Lines) -> int:
        """Send a command; return the host time in ns at which its last byte left."""
        with self._exchange(what) as talk:
            return talk.send(lines)

    def take(
        self,
        what: str,
        n_values: int,
        deadline_s: float,
        should_stop: Callable[[], bool] = lambda: False,
        parse: Callable[[bytes], npt.NDArray[np.float64]] = wire.parse_resistances,
    ) -> npt.NDArray[np.float64]:
        """Return believable resistances in ohms, `(n_values,)`; what else came is discarded.

        `parse` makes something else of the values' bytes.

        Raises `InstrumentTimeoutError` or `InstrumentProtocolError` and leaves DESYNC, or
        `TransportError` and leaves FAILED.
        """
        with self._exchange(what) as talk:
            n_bytes = n_values * wire.N_BYTES_PER_VALUE
            data = talk.expect_bytes(n_bytes, deadline_s, should_stop)
            values = parse(data)
        self.count(n_readings=len(values))
        return values

    def _open_talk(self) -> Conversation:
        if self._talk is None:
            raise TransportError(f"{self._name}: port is {self.state.value}; call open() first")
        return self._talk

    @contextlib.contextmanager
    def _exchange(self, what: str) -> Iterator[Conversation]:
        try:
            yield self._open_talk()
        except InstrumentError as exc:
            self._note_fault(what, exc)
            raise type(exc)(f"{self._name}: {what}: {exc}") from exc
        except BaseException as exc:  # Ctrl-C too: an answer may be on its way
            self._fall_to(ArcOneState.DESYNC, f"{what}: interrupted by {exc!r}")
            raise

    def _note_fault(self, what: str, exc: InstrumentError) -> None:
        if isinstance(exc, TransportError):
            self._fall_to(ArcOneState.FAILED, f"{what}: {exc}")
            return
        is_late = isinstance(exc, InstrumentTimeoutError)
        self.count(n_timeouts=int(is_late), n_unbelievable=int(not is_late))
        self._fall_to(ArcOneState.DESYNC, f"{what}: {exc}")

    def _fall_to(self, state: ArcOneState, fault: str) -> None:
        if self.state is not state:
            log.warning("%s: %s after %s", self._name, state.value, fault)
        self.state = state
        self._fault = fault

    def _initialise(self, talk: Conversation) -> None:
        s = self._settings
        talk.push(wire.filler_lines())
        talk.push(wire.reset_lines())
        self._sleep(s.reset_wait_s)
        talk.discard()
        talk.send(
            wire.init_lines(
                n_read_cycles=s.n_read_cycles,
                n_wordlines=s.n_wordlines,
                n_bitlines=s.n_bitlines,
                read_mode=s.read_mode,
                session_mode=s.session_mode,
                sneak_path=s.sneak_path,
                read_voltage_v=s.read_voltage_v,
            )
        )
        wire.parse_init_reply(talk.expect_line(s.init_deadline_s))
        talk.send(wire.set_read_lines(s.read_mode, s.read_voltage_v))

    def _ask_firmware(self, talk: Conversation) -> tuple[int, int] | None:
        self._sleep(FIRMWARE_WAIT_S)
        talk.send(wire.firmware_lines())
        try:
            reply = talk.expect_bytes(wire.N_FIRMWARE_BYTES, FIRMWARE_DEADLINE_S)
        except InstrumentTimeoutError:
            return None  # old firmware; what still comes is unasked and found by the next command
        return wire.parse_firmware(reply)

    def _resynchronise(self, verify_with: DeviceAddress) -> None:
        self.count(n_resyncs=1)
        try:
            with self._exchange("resynchronising") as talk:
                self._initialise(talk)
                talk.send(wire.read_one_lines(verify_with.wordline, verify_with.bitline))
            self.take("verifying", 1, self._settings.reply_deadline_s)
        except InstrumentError:
            self.count(n_failed_resyncs=1)
            raise
        self.state = ArcOneState.READY
        log.warning("%s: in step again", self._name)
