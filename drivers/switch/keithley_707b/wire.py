"""The Keithley 707B's language, TSP. No I/O.

Source: Models 707B and 708B Switching Matrix reference manual (707B-901-01 Rev. B, January 2015),
section 7: `channel.close` (p. 7-17), `channel.connectrule` (p. 7-20), `channel.getclose` (p. 7-27),
`channel.open` (p. 7-35); channel specifiers in section 2, "Working with channels". No real unit has
confirmed any of it yet.
"""

import re
from collections.abc import Set as AbstractSet

from drivers.errors import InstrumentProtocolError
from drivers.tagged.message import Fields, Message, number
from drivers.tagged.tsp import TspGrammar

GRAMMAR = TspGrammar()
SETTLE_S = 0.1
"""A card's relays take 1 to 15 ms each; the instrument waits for them before it answers."""
CHANNEL = re.compile(r"[1-6][A-H][0-9]{2}")
"""Slot, row, column: 1A01 to 6H12 on the usual cards of 8 x 12."""
_BREAK_BEFORE_MAKE = 1.0
_CLOSED = 'channel.getclose("allslots")'

closed = Message((), (_CLOSED,))
open_all = Message(
    ("channel.connectrule = channel.BREAK_BEFORE_MAKE", 'channel.open("allslots")'),
    ("channel.connectrule", _CLOSED),
    SETTLE_S,
)


def close(channels: AbstractSet[str]) -> Message:
    """Return the message that closes channels besides those that are closed."""
    return Message((f'channel.close("{",".join(sorted(channels))}")',), (_CLOSED,), SETTLE_S)


def check_identity(identity: str) -> None:
    """Accept "Keithley Instruments Inc., Model 707B, ...", and a 708B."""
    if not any(model in identity.upper() for model in ("707B", "708B")):
        raise InstrumentProtocolError(f"{identity[:80]!r} is no Keithley 707B")


def parse_open_all(fields: Fields) -> frozenset[str]:
    """Return the channels that are still closed; raises if the rule was not taken."""
    rule, channels = fields
    if number(rule, "channel.connectrule") != _BREAK_BEFORE_MAKE:
        raise InstrumentProtocolError(f"channel.connectrule is {rule[:20]!r}, set was 1")
    return parse_closed((channels,))


def parse_closed(fields: Fields) -> frozenset[str]:
    """Return the closed channels: a list with semicolons, or `nil` for none."""
    (text,) = fields
    if text == "nil":
        return frozenset()
    channels = text.split(";")
    if not all(CHANNEL.fullmatch(channel) for channel in channels):
        raise InstrumentProtocolError(f"{text[:80]!r} is no list of channels")
    return frozenset(channels)
