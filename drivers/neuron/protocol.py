"""What every neuron chip can do for us: report its spikes, and take weighted events."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from drivers.permit import Permit
from drivers.safe_state import SafeReport


@dataclass(frozen=True, slots=True)
class ChipSpike:
    """One event of a chip's neuron, at the host's receive time."""

    neuron: int
    received_ns: int


class NeuronChip(Protocol):
    """A neuron chip behind a driver.

    One thread calls `read_spikes`; one other thread calls everything else.
    """

    name: str

    def open(self) -> None:
        """Open the way to the chip's host. Changes no output."""

    def read_spikes(self, timeout_s: float) -> Sequence[ChipSpike]:
        """Return what arrived, in order of arrival; empty if nothing came in time."""

    def drive(self, permit: Permit) -> int:
        """Send the permitted event; return the host time in ns at which its bytes left."""

    def make_safe(self) -> SafeReport:
        """Send nothing more, say what was achieved; never raises."""

    def close(self) -> None:
        """Make safe and disconnect; idempotent, never raises."""
