"""RHX's command grammar: one received text -> commands, or the error texts RHX answers.

Text has no framing: `;` separates commands, blanks separate words, the text of one read is one
batch and its commands are counted from 1.
"""

from dataclasses import dataclass

_WITH_SPACES = ("note1", "note2", "note3", "filename", "impedancefilename")
_N_LIVE_NOTES_CHARACTERS = 10
_USAGE = {
    "set": "Set commands require a parameter and a value",
    "get": "Get commands require a parameter",
    "execute": "Execute commands require an action",
}


@dataclass(frozen=True, slots=True)
class Get:
    """Ask for a parameter."""

    parameter: str


@dataclass(frozen=True, slots=True)
class Set:
    """Set a parameter; `value` is as received, before lower-casing."""

    parameter: str
    value: str


@dataclass(frozen=True, slots=True)
class Execute:
    """Do an action; `argument` is None if none was given."""

    action: str
    argument: str | None = None


@dataclass(frozen=True, slots=True)
class LiveNote:
    """Write a note into the recording."""

    text: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A command that RHX answers with `error`.

    `is_bare_set`: it is a `set` without a parameter, on which the real program may crash.
    """

    error: str
    is_bare_set: bool = False


Command = Get | Set | Execute | LiveNote | Malformed


def parse(text: str) -> list[Command]:
    """Return the commands of one received text. Any text is accepted."""
    parts = [part for part in text.split(";") if part.strip()]
    return [_parse_one(number, part) for number, part in enumerate(parts, start=1)]


def _parse_one(number: int, part: str) -> Command:
    words = part.split()
    n_words = len(words)
    match words[0].lower():
        case "set":
            return _parse_set(number, words)
        case "get" if n_words == 2:
            return Get(words[1])
        case "execute" if n_words in (2, 3):
            return Execute(words[1], words[2] if n_words == 3 else None)
        case "livenotes":
            return LiveNote(part[_N_LIVE_NOTES_CHARACTERS:])
        case verb:
            why = _USAGE.get(verb, "Unrecognized command")
            return Malformed(f"Error - Command {number}: {why}")


def _parse_set(number: int, words: list[str]) -> Command:
    if len(words) >= 3 and (len(words) == 3 or words[1].lower().startswith(_WITH_SPACES)):
        return Set(words[1], " ".join(words[2:]))
    error = f"Error - Command {number}: {_USAGE['set']}"
    return Malformed(error, is_bare_set=len(words) == 1)
