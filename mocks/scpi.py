"""A simulated instrument that speaks SCPI: how lines become commands, and what all have in common.

A subclass has `commands` (header -> method that takes the argument and may return an answer) and
`settings` (header -> value that is only kept). Headers are in short form without colons before,
numeric suffixes and optional nodes.
"""

import re
from collections.abc import Callable

from mocks.smu_instrument import Clock, CommandError, ErrorQueue
from mocks.smu_output import Output

_OPTIONAL = {"LEV", "IMM", "AMPL", "NEXT", "DC"}
_MAX_SHORT = 4
_VOWELS = "AEIOU"
Handler = Callable[[str], str | None]


def short(header: str) -> str:
    """Return a header in short form: ":SOURce1:VOLTage:LEVel" -> "SOUR:VOLT"."""
    words = [_short_word(word) for word in header.strip(":").upper().split(":")]
    kept = [word for i, word in enumerate(words) if i == 0 or word not in _OPTIONAL]
    return ":".join(kept)


def _short_word(word: str) -> str:
    word = re.sub(r"\d+$", "", word)
    if len(word) <= _MAX_SHORT:
        return word
    return word[:3] if word[3] in _VOWELS else word[:4]


def split_units(line: str) -> list[str]:
    """Return the units of a line: split at semicolons that are not in quotes."""
    parts = re.findall(r'(?:"[^"]*"|[^;"])+|"', line)
    return [part.strip() for part in parts if part.strip()]


def value(text: str) -> float:
    """Return a number or raise -104."""
    words = {"ON": 1.0, "OFF": 0.0}
    try:
        return words.get(text.strip().upper()) or float(text.strip() or "x")
    except ValueError:
        if text.strip().upper() == "OFF":
            return 0.0
        raise CommandError(-104, "Data type error") from None


def values(text: str) -> list[float]:
    """Return numbers separated by commas or raise -104."""
    return [value(part) for part in text.split(",")]


class ScpiInstrument:
    """Common commands, the error queue, and the splitting of lines. Subclasses add the rest."""

    identity = ""
    output: Output

    def __init__(self, outside_s: Callable[[], float]) -> None:
        self.clock = Clock(outside_s)
        self.errors = ErrorQueue()
        self.is_wedged = False
        """It answers no question any more, until it is switched off and on."""
        self.settings: dict[str, str] = {}
        self._event_enable = 0
        self.commands: dict[str, Handler] = {
            "*IDN?": lambda _: self.identity,
            "*CLS": lambda _: self.errors.clear(),
            "*ESE": self._set_event_enable,
            "*ESE?": lambda _: str(self._event_enable),
            "*ESR?": lambda _: "0",
            "*OPC": lambda _: None,
            "*OPC?": lambda _: "1",
            "*WAI": lambda _: None,
            "*RST": lambda _: self.reset(),
            "SYST:ERR?": lambda _: self._next_error(),
            "SYST:CLE": lambda _: self.errors.clear(),
        }

    def reset(self) -> None:
        """Put settings back."""

    def power_off(self) -> None:
        """Let the output go off."""
        self.output.switch(is_on=False)

    def handle(self, line: str) -> tuple[str | None, float]:
        """Do the units of a line in order; answers come in one line."""
        answers = []
        with self.clock.line():
            for unit in split_units(line):
                try:
                    answer = self._do(unit)
                except CommandError as error:
                    self.errors.add(error.code, error.text)
                    continue
                if answer is not None:
                    answers.append(answer)
        if self.is_wedged or not answers:
            return None, self.clock.spent_s
        return ";".join(answers), self.clock.spent_s

    def _do(self, unit: str) -> str | None:
        header, _, argument = unit.partition(" ")
        is_query = header.endswith("?")
        name = header.upper() if header.startswith("*") else short(header.rstrip("?"))
        name += "?" if is_query and not name.endswith("?") else ""
        if name in self.commands:
            return self.commands[name](argument.strip())
        if is_query and name[:-1] in self.settings:
            return self.settings[name[:-1]]
        if not is_query and name in self.settings:
            self.settings[name] = argument.strip()
            return None
        raise CommandError(-113, "Undefined header")

    def _set_event_enable(self, argument: str) -> None:
        self._event_enable = int(value(argument)) & 255

    def _next_error(self) -> str:
        code, text = self.errors.take()
        return f'{code},"{text}"'
