"""What differs between bench units: their words. The manual of each, in code, without I/O."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from drivers.errors import InstrumentRefusedError
from drivers.permit import PulseDevice
from drivers.smu.bench.settings import BenchSettings
from drivers.smu.protocol import Capabilities
from drivers.tagged.message import Fields, Grammar, Message, number, switch


@dataclass(frozen=True, slots=True)
class OutputState:
    """What an instrument says of its output."""

    is_on: bool
    compliance_a: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What an instrument measured at a level."""

    voltage_v: float
    current_a: float
    is_limited: bool
    is_on_after: bool
    """The output is still on."""


@dataclass(frozen=True, slots=True)
class Language:
    """Which language an instrument must be set to, where there are several."""

    question: str
    wanted: str
    advice: str

    def check(self, answer: str) -> None:
        """Raise `InstrumentRefusedError` if it is set to another: the same words mean nothing."""
        if answer.strip().upper() != self.wanted:
            raise InstrumentRefusedError(f"it is set to {answer[:20]!r}; {self.advice}")


def output_state(fields: Fields) -> OutputState:
    """Return the answer to a dialect's `state`: output, then compliance."""
    output, limit = fields
    return OutputState(switch(output, "output"), number(limit, "compliance"))


def error_queue_tells(fields: Fields) -> None:
    """Do nothing: what the instrument did not take of a pulse is in its error queue."""


class Dialect(Protocol):
    """The words of one family of instruments. Every message leaves the level at 0 V."""

    @property
    def can(self) -> Capabilities:
        """Get what such an instrument does honestly."""

    @property
    def grammar(self) -> Grammar:
        """Get how its messages are written."""

    @property
    def is_wedged_by_reading_off(self) -> bool:
        """Get whether it must not be asked for a reading while its output is off."""

    def check_identity(self, identity: str) -> None:
        """Raise `InstrumentProtocolError` if `*IDN?` was not answered by this family."""

    @property
    def language(self) -> Language | None:
        """Get the language that must be set, where there are several."""

    @property
    def state(self) -> Message:
        """Get the question for the output's state and its compliance. Moves nothing."""

    @property
    def off(self) -> Message:
        """Get the message that puts the level to 0 V and the output off, and asks for `state`."""

    def configure(self, settings: BenchSettings) -> tuple[Message, ...]:
        """Return the messages that reset and set up, with the output off."""

    @property
    def on(self) -> Message:
        """Get the message that switches the output on at 0 V, and asks for `state`."""

    def read(self, settings: BenchSettings) -> Message:
        """Return the message that measures at the read voltage."""

    def parse_read(self, fields: Fields) -> Measured:
        """Return the answer to `read`."""

    def prepare_pulse(self, settings: BenchSettings, pulse: PulseDevice) -> Message:
        """Return the message that sets a pulse up; moves nothing."""

    def check_prepared(self, fields: Fields) -> None:
        """Raise `InstrumentRefusedError` unless the answer to `prepare_pulse` says yes."""

    def fire(self, settings: BenchSettings, pulse: PulseDevice) -> Message:
        """Return the message that makes the pulse, measures in it, and ends it."""

    def parse_pulse(self, fields: Fields) -> Measured:
        """Return the answer to `fire`."""


@runtime_checkable
class StaircaseDialect(Protocol):
    """The words of a family that goes from level to level in one message, and ends it at 0 V."""

    def staircase(
        self, settings: BenchSettings, pulse: PulseDevice, n_steps: int, *, halts: bool
    ) -> Message:
        """Return the message that goes to the amplitude in steps and back."""

    def parse_staircase(self, fields: Fields, n_steps: int) -> tuple[Measured, ...]:
        """Return the answer to `staircase`: every step that was made, in order."""
