"""The simulated neuron chip: packets that drive neurons in, spikes out.

The 8-byte event packet of 2020 (source: the hub program `UDPmod.py` of arc1_pyqt) is two unsigned
32-bit words in network byte order: sender code (8 bits) and neuron (24), auxiliary byte (8) and
time in ticks of 50 us (24). The hub's auxiliary byte is the weight code; the chip's time counts
from its previous spike, whichever neuron fired it, and stays at the largest value after 839 s.
"""

import struct
from collections import deque
from collections.abc import Collection
from typing import NamedTuple

from mocks.aer_link import FaultyLink
from mocks.event_loop import EventLoop
from mocks.faults import FaultPlan
from mocks.silicon import AdexNeuron, mismatched

PACKET = struct.Struct("!II")
FROM_CHIP = 0x41
FROM_HUB = 0x53
TICK_NS = 50_000
MAX_24_BITS = 0xFF_FFFF
MAX_RECORDS = 100_000


class Spike(NamedTuple):
    """One spike, at a time of CLOCK_MONOTONIC."""

    neuron: int
    time_ns: int


class Drive(NamedTuple):
    """One packet that drove a neuron."""

    neuron: int
    weight_code: int
    time_ns: int


class AerChip:
    """A chip on a UDP socket; opens it. Everything belongs to the loop's thread.

    A relay neuron fires once for each packet that drives it, at once. An adex neuron
    (`mocks.silicon`) fires when its membrane does; between events nothing is computed. Raises
    OSError if the address is taken.
    """

    def __init__(
        self,
        loop: EventLoop,
        listen: tuple[str, int],
        hub: tuple[str, int],
        *,
        relays: Collection[int],
        adex: Collection[int],
        seed: int,
        faults: FaultPlan,
    ) -> None:
        self.n_drives = 0
        self.n_spikes = 0
        self.n_malformed = 0
        """Packets of another length than 8 bytes, or not from the hub."""
        self.n_unknown = 0
        """Packets for a neuron that is not on the chip."""
        self.spikes: deque[Spike] = deque(maxlen=MAX_RECORDS)
        self.drives: deque[Drive] = deque(maxlen=MAX_RECORDS)
        self._loop = loop
        self._relays = frozenset(relays)
        self._adex = tuple(sorted(adex))
        self._seed = seed
        self._reset()
        self.link = FaultyLink(
            loop, listen, hub, faults, on_datagram=self._take, on_reset=self._reset
        )

    def close(self) -> None:
        """Give the port back."""
        self.link.close()

    def status(self) -> dict[str, int]:
        """Return what was counted."""
        return {
            "n_datagrams": self.link.n_datagrams,
            "n_drives": self.n_drives,
            "n_spikes": self.n_spikes,
            "n_malformed": self.n_malformed,
            "n_unknown": self.n_unknown,
            "n_lost": self.link.n_lost,
            "n_send_errors": self.link.n_send_errors,
            "n_resets": self.link.n_resets,
        }

    def _reset(self) -> None:
        self._neurons = {n: AdexNeuron(mismatched(self._seed, n)) for n in self._adex}
        self._last_spike_ns: int | None = None

    def _take(self, datagram: bytes) -> None:
        if len(datagram) != PACKET.size or datagram[0] != FROM_HUB:
            self.n_malformed += 1
            return
        head, tail = PACKET.unpack(datagram)
        neuron, weight_code = head & MAX_24_BITS, tail >> 24
        if neuron not in self._relays and neuron not in self._neurons:
            self.n_unknown += 1
            return
        now_ns = self._loop.clock_ns()
        self.n_drives += 1
        self.drives.append(Drive(neuron, weight_code, now_ns))
        if neuron in self._relays:
            self._fire(neuron)
        else:
            self._fire_each(neuron, self._neurons[neuron].inject(weight_code, now_ns * 1e-9))
            self._plan(neuron)

    def _plan(self, neuron: int) -> None:
        """Plan to look at a neuron when it will fire, which the next event may change."""
        spike_s = self._neurons[neuron].next_spike_s()
        if spike_s is None:
            return

        def come() -> None:
            now_s = self._loop.clock_ns() * 1e-9
            spikes_s = self._neurons[neuron].advance(max(spike_s, now_s))
            self._fire_each(neuron, spikes_s)
            if spikes_s:
                self._plan(neuron)

        self.link.at_ns(round(spike_s * 1e9), come)

    def _fire_each(self, neuron: int, times_s: list[float]) -> None:
        for _ in times_s:
            self._fire(neuron)

    def _fire(self, neuron: int) -> None:
        now_ns = self._loop.clock_ns()
        last_ns = now_ns if self._last_spike_ns is None else self._last_spike_ns
        self._last_spike_ns = now_ns
        self.n_spikes += 1
        self.spikes.append(Spike(neuron, now_ns))
        # Differences on a grid, not rounded ones: their sum is the hub's clock and must not drift.
        n_ticks = min(MAX_24_BITS, now_ns // TICK_NS - last_ns // TICK_NS)
        self.link.send(PACKET.pack(FROM_CHIP << 24 | neuron, n_ticks))
