"""Numbers as people type them: one meaning or a refusal, whatever the country. No Qt in here.

The decimal sign is the point, there are no thousands separators, and nothing is repaired: Qt's own
number boxes make 15 of "1.5" in one country and of "1,5" in another.
"""

import math
import re
from dataclasses import dataclass

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
MAX_LENGTH = 40

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"))
_WORDS = {
    "G": "giga", "M": "mega", "k": "kilo", "": "", "m": "milli", "u": "micro", "n": "nano",
    "p": "pico",
}  # fmt: skip
_UNITS = {
    "A": "ampere", "V": "volt", "s": "second", "C": "coulomb", "Hz": "hertz", "min": "minute",
    "ohm": "ohm", "sigma": "sigma",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class NotANumber:
    """Why a text is not taken, in a sentence."""

    sentence: str


def parse_number(
    text: str, low: float, high: float, unit: str = "", *, is_whole: bool = False
) -> float | NotANumber:
    """Return the number in a text if it lies in `low` to `high`, or why it is not taken."""
    stripped = text.strip(" ")
    why_not = _why_no_number(stripped)
    if why_not:
        return NotANumber(why_not)
    value = float(stripped)
    if not (math.isfinite(value) and low <= value <= high):
        allowed = f"{low:g} to {high:g} {unit}".rstrip()
        return NotANumber(f"{stripped} is outside {allowed}")
    if is_whole and not value.is_integer():
        return NotANumber(f"{stripped} is not a whole number")
    return value


def _why_no_number(text: str) -> str:
    if not text:
        return "nothing is entered"
    if len(text) > MAX_LENGTH:
        return f"{len(text)} characters are not a number"
    if "," in text:
        return "a comma is not understood: write 1.5, with a point"
    if not _NUMBER.fullmatch(text):
        shown = text.encode("ascii", "backslashreplace").decode("ascii")
        return f"'{shown}' is not a number: only digits, a point, a sign and e"
    return ""


def in_words(value: float, unit: str) -> str:
    """Return a value so that a slipped decimal is seen: "2 microampere", "200 microsecond"."""
    prefix = unit[0] if len(unit) > 1 and unit[0] in _WORDS and unit[1:] in _UNITS else ""
    base = unit[1:] if prefix else unit
    if base not in _UNITS:
        return f"{value:.6g} {unit}".rstrip()
    return f"{value:.6g} {_WORDS[prefix]}{_UNITS[base]}"


def with_prefix(value: float | None, unit: str, digits: int = 3) -> str:
    """Return a value with an SI prefix, "4.70 kohm"; a dash for what is not known."""
    if value is None or not math.isfinite(value):
        return "–"
    size = abs(value)
    if size == 0:
        return f"0 {unit}"
    for factor, prefix in (*_PREFIXES, (1e-12, "p")):
        if size >= factor * 0.9995:
            return f"{value / factor:.{digits}g} {prefix}{unit}"
    return f"{value:.2e} {unit}"


def duration(seconds: float | None) -> str:
    """Return a duration for reading from afar: "850 ms", "12.4 s", "3 min 05 s", "2 h 10 min"."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 72 else f"{hours / 24:.1f} days"


def grouped(count: int) -> str:
    """Return a count in groups of three: "171 904"."""
    return f"{count:,}".replace(",", " ")


def size(n_bytes: float | None) -> str:
    """Return an amount of data: "12.3 MB"."""
    if n_bytes is None:
        return "–"
    for factor, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.1f} {unit}"
    return f"{n_bytes:.0f} B"
