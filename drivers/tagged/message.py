"""One question to a bench instrument and its answer; how each language marks and ends them.

An instrument's answers carry no number, so an answer that comes too late looks like that to the
next question. Therefore every message carries a tag that the instrument sends back before the
values, and asks for the error queue after them: a stale, lost, doubled or half answer is known as
such, and no error stays in the instrument unheard.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from drivers.errors import InstrumentProtocolError

N_TAGS = 255
"""Tags count from 1 to 255: SCPI can echo no more than a byte (`*ESE`)."""

Fields = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent as one line.

    `steps` are done in order. In SCPI those that end a header with `?` answer; in TSP the
    expressions in `values` do.
    """

    steps: tuple[str, ...]
    values: tuple[str, ...] = ()
    duration_s: float = 0.0
    """How long the instrument is busy with it, beyond its overhead."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The values of an answer whose tag fits, and the first error that the instrument reports."""

    fields: Fields
    error: str | None


class Grammar(Protocol):
    """How a language of instruments writes tagged messages. Pure."""

    def compose(self, tag: int, message: Message) -> str:
        """Return the line."""

    def tag_of(self, line: str) -> int | None:
        """Return the tag of an answer; None if it has none."""

    def parse(self, message: Message, line: str) -> Answer:
        """Return the answer of a line whose tag was found right.

        Raises `InstrumentProtocolError` if its values are not those that were asked for.
        """

    @property
    def clear_errors(self) -> Message:
        """Get the message that empties the error queue."""

    @property
    def next_error(self) -> Message:
        """Get the message that takes one error from the queue."""

    def error_in(self, answer: Answer) -> str | None:
        """Return the error of the answer to `next_error`; None: the queue is empty."""


def number(text: str, what: str) -> float:
    """Return the number in a field.

    Raises `InstrumentProtocolError` for anything else, and for the values by which instruments
    say "overflow" (9.9e37) or "no number" (9.91e37).
    """
    try:
        value = float(text)
    except ValueError as exc:
        raise InstrumentProtocolError(f"{what} is {text[:40]!r}, not a number") from exc
    if not (abs(value) < 9.8e37):
        raise InstrumentProtocolError(f"{what} is {value:g}: overflow, or not measured")
    return value


def numbers(text: str, n: int, what: str) -> list[float]:
    """Return `n` numbers separated by commas; raises as `number` does."""
    parts = text.split(",")
    if len(parts) != n:
        raise InstrumentProtocolError(f"{what}: {len(parts)} values in {text[:60]!r}, due were {n}")
    return [number(part, what) for part in parts]


def switch(text: str, what: str) -> bool:
    """Return whether an output or a flag is on."""
    words = {"0": False, "1": True, "OFF": False, "ON": True, "false": False, "true": True}
    value = words.get(text.strip())
    if value is None:
        value = {0.0: False, 1.0: True}.get(number(text, what))
    if value is None:
        raise InstrumentProtocolError(f"{what} is {text[:40]!r}, neither on nor off")
    return value


def fixed(value: float, n_decimals: int = 6) -> str:
    """Write a number without exponent: a line that is cut then never means a larger one."""
    return f"{value:.{n_decimals}f}"


def expect_fields(fields: Sequence[str], n: int, line: str) -> None:
    """Raise `InstrumentProtocolError` unless so many fields came."""
    if len(fields) != n:
        raise InstrumentProtocolError(f"{len(fields)} values in {line[:80]!r}, due were {n}")
