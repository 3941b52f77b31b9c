"""What every switch can do for an instrument: connect lines, and say which relays are closed."""

from collections.abc import Set as AbstractSet
from typing import Protocol


class Switch(Protocol):
    """A matrix of relays behind a driver. One thread at a time makes every call.

    A channel is a relay by the name that its maker gives it. Every method but `detach` raises
    `InstrumentError`; after trouble the next call attaches anew.
    """

    name: str

    @property
    def n_moves(self) -> int:
        """Get how often relays were closed: they wear."""

    def check(self, channel: str) -> None:
        """Raise `SafetyLimitError` for what is no channel of this family."""

    def attach(self) -> None:
        """Connect and ask who is there. Moves no relay."""

    def detach(self) -> None:
        """Disconnect; moves no relay, never raises."""

    def closed(self) -> frozenset[str]:
        """Return the channels that are closed, as the switch says."""

    def open_all(self) -> None:
        """Open every relay, and read back that none is closed."""

    def close_only(self, channels: AbstractSet[str]) -> None:
        """Break before make: open every relay, read back, close these, read back that no other is.

        The caller sees to it that nothing is driven meanwhile.
        """
