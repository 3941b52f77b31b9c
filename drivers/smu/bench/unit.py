"""A bench unit and us in step, or not: states, output, and what went wrong how often."""

import contextlib
import enum
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

from drivers.errors import (
    InstrumentError,
    InstrumentProtocolError,
    InstrumentRefusedError,
    InstrumentTimeoutError,
    TransportError,
)
from drivers.safe_state import SafeState
from drivers.smu.bench.counters import BenchCounters
from drivers.smu.bench.dialect import Dialect, Measured, OutputState, output_state
from drivers.smu.bench.settings import BenchSettings
from drivers.tagged.conversation import Conversation
from drivers.tagged.message import Fields, Message
from drivers.transport.protocol import LinePort

log = logging.getLogger(__name__)

COMPLIANCE_TOLERANCE = 0.01


class BenchState(enum.Enum):
    """CLOSED -open-> OPEN -first reading-> SET_UP -> READY <-be_ready-> OUT_OF_STEP."""

    CLOSED = "closed"
    OPEN = "open"
    """Connected; settings and output as somebody left them."""
    SET_UP = "set up"
    """Set up by us, output off: some switch it off by themselves after a pulse."""
    READY = "ready"
    """Set up by us, compliance compared, output on at 0 V."""
    OUT_OF_STEP = "out of step"
    """An exchange did not end as it should: nothing is believed before it was opened anew."""


class Unit:
    """A connected instrument that knows whether it is as we set it. Used by one thread at a time.

    Every exchange that does not end as it should leaves OUT_OF_STEP behind, and only opening the
    port anew, with the output off first, leads out.
    """

    def __init__(
        self,
        name: str,
        dialect: Dialect,
        make_port: Callable[[], LinePort],
        settings: BenchSettings,
    ) -> None:
        self.state = BenchState.CLOSED
        self.identity = ""
        self.counters = BenchCounters()
        self._name = name
        self._dialect = dialect
        self._make_port = make_port
        self._settings = settings
        self._talk: Conversation | None = None
        self._fault = ""
        self.is_ours = False
        """We have switched the output on, or may have: a lost connection does not change that."""

    def count(self, **steps: int) -> None:
        """Add to counters by name."""
        now = {name: getattr(self.counters, name) + step for name, step in steps.items()}
        self.counters = replace(self.counters, **now)

    def connect(self) -> None:
        """Open the port anew and find out who is there; OPEN, or raise and CLOSED.

        Changes no output, unless it is one that we switched on before: that goes off.
        """
        was_ours = self.is_ours
        self._attach()
        try:
            with self._exchange("opening") as talk:
                if was_ours:
                    talk.catch_up()
                self._meet(talk)
                state = output_state(talk.ask(self._dialect.state))
            if was_ours:
                self._output_off("opening")
            elif state.is_on:
                log.warning("%s: its output is on, left so by somebody else", self._name)
        except BaseException:
            self.disconnect(BenchState.CLOSED)
            raise
        self.state = BenchState.OPEN

    def disconnect(self, state: BenchState) -> None:
        """Close the port, if it is open, and take this state; never raises."""
        talk, self._talk = self._talk, None
        if talk is not None:
            self.count(n_lines_discarded=talk.n_lines_discarded)
            talk.close()
        self.state = state

    def be_ready(self) -> str:
        """Bring the unit to READY if it is not; return what was wrong, or nothing.

        Raises `InstrumentError` if that fails, `TransportError` without a port.
        """
        if self.state is BenchState.READY:
            return ""
        if self.state is BenchState.CLOSED:
            raise TransportError(f"{self._name}: is closed; call open() first")
        fault = self._fault or "its output was off"
        try:
            if self.state is BenchState.OUT_OF_STEP:
                self.count(n_resyncs=1)
                self._start_over()
            if self.state is not BenchState.SET_UP:
                self._set_up()
            self._switch_on()
        except InstrumentError:
            self.count(n_failed_resyncs=1)
            self.state = BenchState.OUT_OF_STEP
            raise
        if self._fault:
            log.warning("%s: in step again", self._name)
        self._fault = ""
        self.state = BenchState.READY
        return fault

    def rest(self) -> None:
        """Have the output off, read back: for what must not happen while it is on.

        Raises `InstrumentError` if that fails, `TransportError` without a port.
        """
        if self.state is BenchState.CLOSED:
            raise TransportError(f"{self._name}: is closed; call open() first")
        if self.state is BenchState.OUT_OF_STEP:
            self.count(n_resyncs=1)
            self._start_over()
            self.state = BenchState.OPEN
            return
        self._output_off("resting")
        if self.state is BenchState.READY:
            self.state = BenchState.SET_UP

    def prepare(self, message: Message) -> None:
        """Set a pulse up; what the instrument does not take leaves OUT_OF_STEP."""
        with self._exchange("setting a pulse up") as talk:
            self._dialect.check_prepared(talk.ask(message))

    def measure(
        self,
        what: str,
        message: Message,
        parse: Callable[[Fields], Measured],
        *,
        may_end_off: bool = False,
    ) -> Measured:
        """Return a measurement made with the output on; what goes wrong leaves OUT_OF_STEP."""
        with self._exchange(what) as talk:
            measured = parse(talk.ask(message))
            if not (measured.is_on_after or may_end_off):
                raise InstrumentProtocolError("its output is off; somebody else changed it")
        self.count(n_limited=int(measured.is_limited))
        if not measured.is_on_after:
            self.state = BenchState.SET_UP
        return measured

    def trace(
        self, message: Message, parse: Callable[[Fields], tuple[Measured, ...]]
    ) -> tuple[Measured, ...]:
        """Return what was measured on a way over several levels, as `measure` does."""
        with self._exchange("tracing") as talk:
            steps = parse(talk.ask(message))
            if not all(step.is_on_after for step in steps):
                raise InstrumentProtocolError("its output is off; somebody else changed it")
        self.count(n_limited=sum(step.is_limited for step in steps))
        return steps

    def verify_output(self) -> None:
        """Raise `InstrumentProtocolError` unless output and compliance are as we set them."""
        with self._exchange("looking at the output") as talk:
            state = output_state(talk.ask(self._dialect.state))
            self._compare(state, is_on=True)

    def switch_off(self) -> tuple[SafeState, str]:
        """Put the level to 0 V and the output off; say what that achieved. Never raises."""
        try:
            if self.state is BenchState.OUT_OF_STEP or self._talk is None:
                self._start_over()
            else:
                self._output_off("switching off")
        except InstrumentError as exc:
            first = exc
        else:
            self.state = BenchState.OPEN
            return SafeState.CONFIRMED, "0 V, output off, read back"
        try:
            self._start_over()
        except InstrumentError as exc:
            return SafeState.FAILED, f"{first}; then: {exc}; look at its front panel"
        self.state = BenchState.OPEN
        return SafeState.CONFIRMED, f"0 V, output off, read back at the second try ({first})"

    def lose_step(self, what: str, fault: str) -> None:
        """Note that nothing the instrument says can be believed before it was opened anew."""
        self.state = BenchState.OUT_OF_STEP
        known, self._fault = self._fault, f"{what}: {fault}"
        if self._fault != known:  # an instrument that stays away is said once
            log.warning("%s: out of step after %s", self._name, self._fault)

    def _attach(self) -> None:
        self.disconnect(BenchState.CLOSED)
        self._talk = Conversation(
            self._make_port(), self._dialect.grammar, self._settings.reply_deadline_s
        )

    def _start_over(self) -> None:
        """Open the port anew, throw away what is under way, and switch the output off."""
        try:
            self._attach()
            with self._exchange("starting over") as talk:
                talk.catch_up()
                self._meet(talk)
            self._output_off("starting over")
        except InstrumentError:
            self.state = BenchState.OUT_OF_STEP
            raise

    def _meet(self, talk: Conversation) -> None:
        self.identity = talk.ask_plainly("*IDN?")
        self._dialect.check_identity(self.identity)
        language = self._dialect.language
        if language is not None:
            language.check(talk.ask_plainly(language.question))
        talk.clear_errors()

    def _set_up(self) -> None:
        self._output_off("setting up")
        with self._exchange("setting up") as talk:
            for message in self._dialect.configure(self._settings):
                talk.ask(message)

    def _switch_on(self) -> None:
        with self._exchange("switching on") as talk:
            state = output_state(talk.ask(self._dialect.state))
            self._compare(state, is_on=False)
            self.is_ours = True
            state = output_state(talk.ask(self._dialect.on))
            self._compare(state, is_on=True)

    def _output_off(self, what: str) -> None:
        with self._exchange(what) as talk:
            state = output_state(talk.ask(self._dialect.off))
            if state.is_on:
                raise InstrumentProtocolError("its output is still on after it was switched off")
        self.is_ours = False

    def _compare(self, state: OutputState, *, is_on: bool) -> None:
        if state.is_on is not is_on:
            word = "on" if state.is_on else "off"
            raise InstrumentProtocolError(f"its output is {word}; somebody else changed it")
        wanted_a = self._settings.compliance_a
        if not abs(state.compliance_a - wanted_a) <= COMPLIANCE_TOLERANCE * wanted_a:
            raise InstrumentProtocolError(
                f"its compliance is {state.compliance_a:g} A, set was {wanted_a:g} A; it does not "
                "take such a value, choose another"
            )

    @contextlib.contextmanager
    def _exchange(self, what: str) -> Iterator[Conversation]:
        if self._talk is None:
            raise TransportError(f"{self._name}: is {self.state.value}; call open() first")
        try:
            yield self._talk
        except InstrumentError as exc:
            self.count(
                n_timeouts=int(isinstance(exc, InstrumentTimeoutError)),
                n_refused=int(isinstance(exc, InstrumentRefusedError)),
                n_unbelievable=int(isinstance(exc, InstrumentProtocolError)),
            )
            self.lose_step(what, str(exc))
            raise type(exc)(f"{self._name}: {what}: {exc}") from exc
        except BaseException as exc:  # Ctrl-C too: an answer may be on its way
            self.lose_step(what, f"interrupted by {exc!r}")
            raise
