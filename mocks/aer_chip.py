"""The simulated neuron chip as a process: `python -m mocks.aer_chip --listen ... --hub ...`.

It speaks the 8-byte event packet of 2020 over UDP (source: the hub program `UDPmod.py` of
arc1_pyqt): two unsigned 32-bit words in network byte order, sender code (8 bits) and neuron (24),
auxiliary byte (8) and time in ticks of 50 us (24). A relay neuron fires once for each packet that
drives it; an adex neuron (`mocks.silicon`) fires when it has had enough.

The first line on standard output is JSON with `ready` and the ports.
"""

import argparse
import json
import socket
import struct
import sys
from collections import deque
from collections.abc import Sequence
from typing import Any

from mocks import process
from mocks.arc_ports import TruthPort
from mocks.event_loop import EventLoop
from mocks.faults import Fault, FaultPlan, longest_s, spoil
from mocks.silicon import AdexNeuron

PACKET = struct.Struct("!II")
FROM_CHIP = 0x41
FROM_HUB = 0x53
TICK_NS = 50_000
MAX_24_BITS = 0xFF_FFFF
LOOK_AHEAD_S = 0.04
"""An event that has not fired its neuron by then does not fire it alone."""
_MAX_RECORDS = 100_000


class AerChip:
    """A chip on a UDP socket. Everything belongs to the loop's thread."""

    def __init__(
        self,
        loop: EventLoop,
        listen: tuple[str, int],
        hub: tuple[str, int],
        *,
        relays: frozenset[int],
        adex: frozenset[int],
        faults: FaultPlan,
    ) -> None:
        self.n_drives = 0
        self.n_malformed = 0
        self.n_unknown = 0
        self.n_send_errors = 0
        self.spikes: deque[tuple[int, int]] = deque(maxlen=_MAX_RECORDS)
        """(neuron, time in ns of CLOCK_MONOTONIC)."""
        self._loop = loop
        self._hub = hub
        self._relays = relays
        self._neurons = {neuron: AdexNeuron() for neuron in sorted(adex)}
        self._plans = dict.fromkeys(self._neurons, 0)
        self._faults = faults
        self._last_spike_ns: int | None = None
        self._deaf_until_ns = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(listen)
        self.port: int = self._socket.getsockname()[1]
        loop.on_readable(self._socket, self._read)

    def close(self) -> None:
        """Give the port back."""
        self._loop.forget(self._socket)
        self._socket.close()

    def status(self) -> dict[str, Any]:
        """Return what was counted."""
        return {
            "n_drives": self.n_drives,
            "n_spikes": len(self.spikes),
            "n_malformed": self.n_malformed,
            "n_unknown": self.n_unknown,
            "n_send_errors": self.n_send_errors,
        }

    def _read(self) -> None:
        try:
            datagram = self._socket.recv(2048)
        except OSError:  # the hub's refusal of an earlier packet comes back here
            self.n_send_errors += 1
            return
        due = self._faults.next_piece("request")
        datagram = spoil(datagram, due)
        self._strike(due)
        now_ns = self._loop.clock_ns()
        if not datagram or now_ns < self._deaf_until_ns:
            return
        self._later(longest_s(due, "delay"), datagram)

    def _later(self, delay_s: float, datagram: bytes) -> None:
        if delay_s:
            self._loop.call_after_s(delay_s, lambda: self._take(datagram))
        else:
            self._take(datagram)

    def _take(self, datagram: bytes) -> None:
        if len(datagram) != PACKET.size:
            self.n_malformed += 1
            return
        head, tail = PACKET.unpack(datagram)
        sender, neuron, weight = head >> 24, head & MAX_24_BITS, tail >> 24
        if sender != FROM_HUB:
            self.n_malformed += 1
            return
        self.n_drives += 1
        if neuron in self._relays:
            self._fire(neuron)
        elif neuron in self._neurons:
            self._inject(neuron, weight)
        else:
            self.n_unknown += 1

    def _inject(self, neuron: int, weight: int) -> None:
        """Drive a neuron, and plan its next spike; a later event plans it anew."""
        cell = self._neurons[neuron]
        cell.inject(weight, self._loop.clock_ns() * 1e-9)
        self._plan(neuron)

    def _plan(self, neuron: int) -> None:
        cell = self._neurons[neuron]
        self._plans[neuron] += 1
        plan = self._plans[neuron]
        spike_s = cell.next_spike_s(self._loop.clock_ns() * 1e-9 + LOOK_AHEAD_S)
        if spike_s is None:
            return

        def fire() -> None:
            if self._plans[neuron] == plan:
                cell.advance(max(spike_s, self._loop.clock_ns() * 1e-9))
                self._fire(neuron)
                self._plan(neuron)

        self._loop.call_at_ns(round(spike_s * 1e9), fire)

    def _fire(self, neuron: int) -> None:
        now_ns = self._loop.clock_ns()
        since_ns = 0 if self._last_spike_ns is None else now_ns - self._last_spike_ns
        self._last_spike_ns = now_ns
        self.spikes.append((neuron, now_ns))
        n_ticks = min(MAX_24_BITS, since_ns // TICK_NS)
        due = self._faults.next_piece("reply")
        packet = spoil(PACKET.pack(FROM_CHIP << 24 | neuron, n_ticks), due)
        self._strike(due)
        delay_s = longest_s(due, "delay")
        if delay_s:
            self._loop.call_after_s(delay_s, lambda: self._send(packet))
        else:
            self._send(packet)

    def _send(self, packet: bytes) -> None:
        if not packet or self._loop.clock_ns() < self._deaf_until_ns:
            return
        try:
            self._socket.sendto(packet, self._hub)
        except OSError:
            self.n_send_errors += 1

    def _strike(self, due: tuple[Fault, ...]) -> None:
        for fault in due:
            if fault.kind in ("stall", "disconnect"):
                until_ns = self._loop.clock_ns() + round(fault.duration_s * 1e9)
                self._deaf_until_ns = max(self._deaf_until_ns, until_ns)
            elif fault.kind == "reset":
                self._neurons = {neuron: AdexNeuron() for neuron in self._neurons}
                self._plans = {neuron: plan + 1 for neuron, plan in self._plans.items()}


def main(arguments: Sequence[str]) -> None:
    """Run the mock until it is told to end."""
    given = _parser().parse_args(arguments)
    loop = EventLoop()
    chip = AerChip(
        loop, given.listen, given.hub, relays=given.relay, adex=given.adex, faults=given.faults
    )
    process.stop_on_signals(loop.stop)
    if given.exit_on_stdin_eof:
        process.stop_on_stdin_end(loop, sys.stdin.fileno())
    facts: dict[str, Any] = {"port": chip.port}
    truth = None
    if given.truth is not None:
        truth = TruthPort(loop, given.truth, lambda line: _truth(chip, line))
        facts["truth_port"] = truth.port
    try:
        process.announce(**facts)
        loop.run()
    finally:
        chip.close()
        if truth is not None:
            truth.close()


def _truth(chip: AerChip, line: bytes) -> bytes:
    try:
        question = json.loads(line)
        ask, skip = str(question["ask"]), int(question.get("skip", 0))
    except (ValueError, KeyError, TypeError):
        return json.dumps({"error": 'ask like {"ask": "status"}'}).encode()
    if ask == "status":
        return json.dumps(chip.status()).encode()
    if ask == "spikes":
        spikes = [{"neuron": n, "time_ns": t} for n, t in list(chip.spikes)[skip:]]
        return json.dumps({"spikes": spikes}).encode()
    return json.dumps({"error": f"unknown question {ask!r}: status, spikes"}).encode()


def _parser() -> argparse.ArgumentParser:
    parser = process.parser("mocks.aer_chip", __doc__)
    add = parser.add_argument
    add("--listen", type=process.address, required=True, metavar="HOST:PORT")
    add("--hub", type=process.address, required=True, metavar="HOST:PORT")
    add("--relay", type=_neurons, default=frozenset(), metavar="ID[,ID]")
    add("--adex", type=_neurons, default=frozenset(), metavar="ID[,ID]")
    return parser


def _neurons(text: str) -> frozenset[int]:
    return frozenset(int(part) for part in text.split(","))


if __name__ == "__main__":
    main(sys.argv[1:])
