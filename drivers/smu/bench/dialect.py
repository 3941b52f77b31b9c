"""What differs between bench units: their words. The manual of each, in code, without I/O."""

from dataclasses import dataclass
from typing import Protocol

from drivers.permit import PulseDevice
from drivers.smu.bench.settings import BenchSettings
from drivers.smu.protocol import Capabilities
from drivers.tagged.message import Fields, Grammar, Message


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
    def language_question(self) -> str | None:
        """Get the question for the language that is set, where there are several."""

    def check_language(self, answer: str) -> None:
        """Raise `InstrumentRefusedError` if the instrument is set to another language."""

    @property
    def state(self) -> Message:
        """Get the question for the output's state. Moves nothing."""

    def parse_state(self, fields: Fields) -> OutputState:
        """Return the answer to `state`."""

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
