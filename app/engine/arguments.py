"""Arguments of console commands: a value of the right kind and size, or a refusal."""

from typing import Any

from app.console.messages import CommandRefusedError


def text(arguments: dict[str, Any], name: str) -> str:
    """Return a text that is not blank, at most 500 characters of it."""
    value = arguments.get(name)
    if not (isinstance(value, str) and value.strip()):
        raise CommandRefusedError(f"{name}: a text is needed, not {value!r}")
    return value.strip()[:500]


def number(arguments: dict[str, Any], name: str, low: float, high: float) -> float:
    """Return a number above `low` and not above `high`."""
    value = arguments.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CommandRefusedError(f"{name}: a number is needed, not {value!r}")
    if not (low < value <= high):
        raise CommandRefusedError(f"{name}: {value} is outside {low:g} to {high:g}")
    return float(value)


def flag(arguments: dict[str, Any], name: str, *, default: bool) -> bool:
    """Return a truth value."""
    value = arguments.get(name, default)
    if not isinstance(value, bool):
        raise CommandRefusedError(f"{name}: true or false is needed, not {value!r}")
    return value
