"""What each procedure asks for: one table for the command line, the engine and the window.

Plain values in, plain values out; nothing in here touches an instrument. Bounds are those of
sense; what a device may receive is the Gate's to say.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Value = float | int | bool | str | tuple[float, ...] | None
Values = Mapping[str, Value]

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
MAX_V = 210.0
MAX_S = 1e6
MAX_COUNT = 1_000_000
MAX_LIST = 64
"""Numbers in one list; more would be no map that anybody waits for."""


class AskedError(ValueError):
    """A value is missing, unknown or out of its bounds; the message says which and what is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The unit in which a person types a value, and how many SI units one of it is."""

    unit: str
    factor: float


MICRO_S, MILLI_S, KILO_OHM = Shown(unit="us", factor=1e-6), Shown(unit="ms", factor=1e-3), Shown(
    unit="kohm", factor=1e3
)  # fmt: skip
PERCENT = Shown(unit="%", factor=1e-2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One number, or a list of them. Without a default it must be given, unless it may be left."""

    name: str
    label: str
    low: float
    high: float
    unit: str = ""
    default: float | tuple[float, ...] | None = None
    is_required: bool = False
    is_whole: bool = False
    is_list: bool = False
    shown: Shown | None = None
    tip: str = ""

    def taken(self, given: object) -> Value:
        """Return what was given as a value. Raises `AskedError`."""
        return self.many(given) if self.is_list else self._one(given)

    def many(self, given: object) -> tuple[float, ...]:
        """Return numbers that were given in a list, or in a text with spaces between them.

        Raises `AskedError`.
        """
        parts: Iterable[object] = given if isinstance(given, list | tuple) else [given]
        if isinstance(given, str):
            parts = [_parsed(self.name, part) for part in given.split()]
        values = tuple(self._one(part) for part in parts)
        if not 1 <= len(values) <= MAX_LIST:
            raise AskedError(f"{self.name}: {len(values)} numbers, allowed are 1 to {MAX_LIST}")
        return values

    def _one(self, given: object) -> float | int:
        if isinstance(given, bool) or not isinstance(given, int | float):
            raise AskedError(f"{self.name}: a number is needed, not {given!r}")
        if not (self.low <= given <= self.high and math.isfinite(given)):
            allowed = f"{self.low:g} to {self.high:g} {self.unit}".strip()
            raise AskedError(f"{self.name}: {given:g} is outside {allowed}")
        if self.is_whole:
            if not float(given).is_integer():
                raise AskedError(f"{self.name}: {given:g} is not a whole number")
            return int(given)
        return float(given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of some words."""

    name: str
    label: str
    words: tuple[str, ...]
    default: str
    tip: str = ""

    def taken(self, given: object) -> Value:
        """Return what was given as a value. Raises `AskedError`."""
        if not isinstance(given, str) or given not in self.words:
            raise AskedError(f"{self.name}: {given!r} is none of {', '.join(self.words)}")
        return given


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """Yes or no; no unless it is given."""

    name: str
    label: str
    tip: str = ""

    def taken(self, given: object) -> Value:
        """Return what was given as a value. Raises `AskedError`."""
        if not isinstance(given, bool):
            raise AskedError(f"{self.name}: true or false is needed, not {given!r}")
        return given


Asked = Number | Choice | Flag


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One procedure."""

    name: str
    title: str
    sentence: str
    asked: tuple[Asked, ...] = ()
    takes_many: bool = False
    """Several devices, or all of the site file when none is named."""
    is_pulsing: bool = True
    """It needs an armed site; one that only reads does not."""
    is_forming: bool = False
    """It needs an arm of its own, which names the device."""
    by_name: Mapping[str, Asked] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Look fields up by name from now on."""
        object.__setattr__(self, "by_name", {asked.name: asked for asked in self.asked})

    def taken(self, given: Mapping[str, object]) -> dict[str, Value]:
        """Return a value for everything that is asked. Raises `AskedError`."""
        unknown = sorted(set(given) - set(self.by_name))
        if unknown:
            known = ", ".join(self.by_name) or "nothing"
            raise AskedError(f"{self.name}: {', '.join(unknown)}: not asked for; asked is {known}")
        return {asked.name: self._value(asked, given.get(asked.name)) for asked in self.asked}

    def _value(self, asked: Asked, given: object) -> Value:
        if given is not None:
            return asked.taken(given)
        if isinstance(asked, Flag):
            return False
        if isinstance(asked, Number) and asked.is_required:
            raise AskedError(f"{self.name}: {asked.name} must be given")
        return asked.default


def _parsed(name: str, text: str) -> float:
    if not _NUMBER.fullmatch(text):  # float() would make 15 of 1_5 and take other scripts' digits
        raise AskedError(f"{name}: {text!r} is not a number; write 1.5, with a point")
    return float(text)


def _volts(name: str, label: str, default: float | None, tip: str = "") -> Number:
    return Number(
        name=name, label=label, low=1e-3, high=MAX_V, unit="V", default=default,
        is_required=default is None, tip=tip,
    )  # fmt: skip


def _width(default: float | None, shown: Shown = MICRO_S, label: str = "Pulse width") -> Number:
    return Number(
        name="width", label=label, low=1e-9, high=100.0, unit="s", default=default,
        is_required=default is None, shown=shown, tip="What the instrument can do is in its data",
    )  # fmt: skip


def _count(name: str, label: str, default: int, tip: str = "") -> Number:
    return Number(
        name=name, label=label, low=1, high=MAX_COUNT, default=default, is_whole=True, tip=tip
    )


def _ohms(name: str, label: str, tip: str = "", *, is_required: bool = False) -> Number:
    return Number(
        name=name, label=label, low=1.0, high=1e12, unit="ohm", is_required=is_required,
        shown=KILO_OHM, tip=tip,
    )  # fmt: skip


def _signed_volts(*, is_list: bool) -> Number:
    tip = "with its sign; negative pulses move the device the other way"
    if is_list:
        tip = "amplitudes with their signs, with spaces between them"
    return Number(
        name="volts", label="Amplitudes" if is_list else "Amplitude", low=-MAX_V, high=MAX_V,
        unit="V", is_required=True, is_list=is_list, tip=tip,
    )  # fmt: skip


_MAP_WIDTHS = Number(
    name="widths", label="Pulse widths", low=1e-9, high=100.0, unit="s", is_required=True,
    is_list=True, shown=MICRO_S, tip="with spaces between them",
)  # fmt: skip
_DURATION = Number(
    name="seconds", label="Duration", low=1e-3, high=MAX_S, unit="s", default=60.0, tip="in all"
)
_INTERVAL = Number(
    name="interval", label="Interval", low=1e-3, high=MAX_S, unit="s", default=1.0,
    tip="between readings",
)  # fmt: skip
_PAUSE = Number(
    name="pause", label="Pause", low=0.0, high=MAX_S, unit="s", default=0.0, shown=MILLI_S,
    tip="between the steps",
)  # fmt: skip
_TOLERANCE = Number(
    name="tolerance", label="Tolerance", low=1e-4, high=1.0, default=0.02, shown=PERCENT,
    tip="how near to the target is near enough",
)  # fmt: skip
_MAX_VOLTS = Number(
    name="max-volts", label="Largest amplitude", low=1e-3, high=MAX_V, unit="V",
    tip="default: what the device's limits allow",
)  # fmt: skip
_SEED = Number(
    name="seed", label="Seed", low=0, high=2**31, default=1, is_whole=True,
    tip="of the order of pulses",
)  # fmt: skip

FORMS: tuple[Form, ...] = (
    Form(
        name="read", title="Read", takes_many=True, is_pulsing=False,
        sentence="Read devices, or every position of the array. Moves nothing.",
        asked=(
            _count("times", "Readings of each", 1),
            Flag(name="all", label="Every position of the array"),
        ),
    ),
    Form(
        name="pulse", title="Pulse",
        sentence="Verified pulses: resistance before and after, the direction expected, a verdict. "
        "A device that does not move as expected is frozen.",
        asked=(
            _signed_volts(is_list=False), _width(None), _count("times", "Pulses", 1),
            Flag(name="explore", label="Explore", tip="do not freeze a device that does not move"),
        ),
    ),
    Form(
        name="iv", title="I-V curve",
        sentence="Current over voltage, out and back in both polarities, turning back where the "
        "compliance is reached.",
        asked=(
            _volts("up", "Up to", 1.0), _volts("down", "Down to minus", 1.0),
            _volts("step", "Step", 0.1), _width(5e-3, MILLI_S, "Step width"), _PAUSE,
            _count("cycles", "Cycles", 1),
            Choice(name="shape", label="Shape", default="pulsed", words=("pulsed", "staircase"),
                   tip="pulsed: 0 V between the steps; staircase: from level to level, where the "
                   "unit can"),
            Choice(name="span", label="Polarities", default="both",
                   words=("both", "both-down-first", "up", "down")),
            Flag(name="no-halt", label="Go on at the compliance"),
        ),
    ),
    Form(
        name="retention", title="Retention", is_pulsing=False,
        sentence="Read at equal intervals and pulse nothing.", asked=(_DURATION, _INTERVAL),
    ),
    Form(
        name="endurance", title="Endurance", sentence="Raise and lower a device many times.",
        asked=(
            _volts("volts", "Amplitude", None, "of both polarities"), _width(None),
            _count("cycles", "Cycles", 100), _count("pulses", "Pulses in each half", 1),
        ),
    ),
    Form(
        name="map", title="Pulse response",
        sentence="What each amplitude and width does, in random order; the device is brought back "
        "in between.",
        asked=(_signed_volts(is_list=True), _MAP_WIDTHS, _count("repeats", "Repeats", 1), _SEED),
    ),
    Form(
        name="form", title="Forming", is_forming=True,
        sentence="Form a new device with pulses of rising voltage, under an arm of its own.",
        asked=(
            _volts("start", "From", 1.0), _volts("step", "Step", 0.1), _volts("stop", "Up to", 4.0),
            _width(1e-3), Flag(name="negative", label="Negative pulses"),
            _ohms("below", "Formed when below", "default: when it has changed by 30 %"),
        ),
    ),
    Form(
        name="program", title="Program to target", takes_many=True,
        sentence="Write and verify until the resistance is the target's, and say why it ended.",
        asked=(
            _ohms("target", "Target", is_required=True), _TOLERANCE,
            _count("max-writes", "Writes at most", 20), _MAX_VOLTS,
        ),
    ),
    Form(
        name="unfreeze", title="Unfreeze", is_pulsing=False,
        sentence="Let a frozen device be pulsed again, after a person has looked at it.",
    ),
)  # fmt: skip
"""In the order in which a device is usually met."""

BY_NAME: Mapping[str, Form] = {form.name: form for form in FORMS}
