"""What a simulated switch connects to the terminals of a simulated bench unit."""

from collections.abc import Iterable, Sequence
from itertools import product

from mocks.smu_output import Output, Place


class Terminals:
    """Closed relays, and the devices that they put between HI (word lines) and LO (bit lines).

    `n_hot` counts relays that moved while the output was on: that wears them, and a device gets
    what nobody asked for.
    """

    def __init__(self, wordlines: Sequence[str], bitlines: Sequence[str]) -> None:
        self.closed: frozenset[str] = frozenset()
        self.n_hot = 0
        self._wordlines = {channel: i + 1 for i, channel in enumerate(wordlines)}
        self._bitlines = {channel: i + 1 for i, channel in enumerate(bitlines)}
        self._output: Output | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Get the number of word lines and bit lines."""
        return len(self._wordlines), len(self._bitlines)

    def hang(self, output: Output) -> None:
        """Let a unit's output lead here."""
        self._output = output
        output.places = self.places

    def places(self) -> list[Place]:
        """Return the devices between the terminals."""
        words = [w for channel, w in self._wordlines.items() if channel in self.closed]
        bits = [b for channel, b in self._bitlines.items() if channel in self.closed]
        return list(product(words, bits))

    def move(self, closed: Iterable[str]) -> None:
        """Close these relays and no others."""
        closed = frozenset(closed)
        output = self._output
        if closed == self.closed:
            return
        if output is not None:
            output.settle()
            self.n_hot += output.is_on
        self.closed = closed
