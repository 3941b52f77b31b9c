"""A simulated Keithley 707B with six cards of 8 x 12.

Channels close besides those that are closed; `channel.getclose` answers `nil` for none. A list with
one wrong channel closes none of it. Switched off, every relay opens.
"""

import re
from collections.abc import Callable
from itertools import product
from typing import Any

from mocks.smu_instrument import CommandError
from mocks.smu_terminals import Terminals
from mocks.tsp_instrument import TspInstrument

RELAY_S = 4e-3
_BREAK_BEFORE_MAKE = 1.0
_CONSTANTS = {
    "channel.OFF": 0.0,
    "channel.BREAK_BEFORE_MAKE": 1.0,
    "channel.MAKE_BEFORE_BREAK": 2.0,
}
_CHANNELS = tuple(
    f"{slot}{row}{column:02d}"
    for slot, row, column in product(range(1, 7), "ABCDEFGH", range(1, 13))
)
_EVERYWHERE = re.compile(r"allslots|slot[1-6]")


class Keithley707B(TspInstrument):
    """A 707B that was just switched on."""

    identity = "Keithley Instruments Inc., Model 707B, 1243657, 01.40a"

    def __init__(self, terminals: Terminals, outside_s: Callable[[], float]) -> None:
        super().__init__(outside_s)
        self._terminals = terminals
        self._rule = _BREAK_BEFORE_MAKE
        self.calls |= {
            "reset": self._reset,
            "channel.reset": self._open,
            "channel.close": self._close,
            "channel.open": self._open,
            "channel.exclusiveclose": self._close_exclusively,
            "channel.getclose": self._closed,
        }

    def power_off(self) -> None:
        """Let every relay fall open."""
        self._terminals.move(())

    def get(self, name: str) -> Any:
        """Return a constant, the rule, or what every instrument has."""
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        return self._rule if name == "channel.connectrule" else super().get(name)

    def set(self, name: str, new: Any) -> None:
        """Set the rule or a global."""
        if name != "channel.connectrule":
            super().set(name, new)
        elif new in _CONSTANTS.values():
            self._rule = new
        else:
            raise CommandError(1102, "Parameter out of range")

    def _reset(self) -> None:
        self._rule = _BREAK_BEFORE_MAKE
        self._move(())

    def _close(self, channels: Any) -> None:
        self._move({*self._terminals.closed, *_listed(channels)})

    def _open(self, channels: Any) -> None:
        gone = set(_CHANNELS) if channels == "allslots" else _listed(channels, takes_slots=True)
        self._move(self._terminals.closed - gone)

    def _close_exclusively(self, channels: Any) -> None:
        self._move(_listed(channels) if str(channels).strip() else ())

    def _closed(self, channels: Any) -> str | None:
        wanted = _listed(channels, takes_slots=True)
        return ";".join(sorted(self._terminals.closed & wanted)) or None

    def _move(self, closed: Any) -> None:
        self._terminals.move(closed)
        self.clock.spend(RELAY_S)


def _listed(text: Any, *, takes_slots: bool = False) -> set[str]:
    """Return the channels of a list such as "1A01:1A05,1C03"; an error leaves all as it is."""
    found: set[str] = set()
    for part in str(text).replace(";", ",").split(","):
        word = part.strip()
        if takes_slots and _EVERYWHERE.fullmatch(word):
            found |= {c for c in _CHANNELS if word == "allslots" or c[0] == word[-1]}
            continue
        first, _, last = word.partition(":")
        if first not in _CHANNELS or (last or first) not in _CHANNELS:
            raise CommandError(1112, f"Invalid channel {word[:12]}")
        found |= set(_CHANNELS[_CHANNELS.index(first) : _CHANNELS.index(last or first) + 1])
    return found
