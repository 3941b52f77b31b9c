"""What this window has seen of memristors and synapses, bounded. No Qt in here."""

from collections import defaultdict, deque
from dataclasses import dataclass, field

from app.console.happenings import DevicePulse, DeviceRead, Hole

MAX_READS = 20_000
MAX_PULSES = 5_000
MAX_HOLES = 200

DeviceKey = tuple[str, int, int]
"""Instrument, wordline, bitline."""


@dataclass(slots=True)
class DeviceHistory:
    """One device: its resistance over time, and each pulse with what it did."""

    reads: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=MAX_READS))
    """(site time in ns, ohm)."""
    pulses: deque[DevicePulse] = field(default_factory=lambda: deque(maxlen=MAX_PULSES))

    @property
    def newest_ohm(self) -> float | None:
        """Get the newest resistance; None: not read yet."""
        return self.reads[-1][1] if self.reads else None


class SynapseHistory:
    """Everything by device and by synapse."""

    def __init__(self) -> None:
        self.devices: dict[DeviceKey, DeviceHistory] = defaultdict(DeviceHistory)
        self.holes: dict[int, deque[Hole]] = defaultdict(lambda: deque(maxlen=MAX_HOLES))
        self.n_changes = 0
        """Grows with everything that is taken, so that a view knows when to draw."""

    def take(self, happening: object) -> None:
        """Take a happening; others than reads, pulses and holes are passed over."""
        match happening:
            case DeviceRead():
                key = (happening.instrument, happening.wordline, happening.bitline)
                self.devices[key].reads.append((happening.time_ns, happening.resistance_ohm))
            case DevicePulse():
                key = (happening.instrument, happening.wordline, happening.bitline)
                self.devices[key].pulses.append(happening)
            case Hole():
                self.holes[happening.synapse].append(happening)
            case _:
                return
        self.n_changes += 1
