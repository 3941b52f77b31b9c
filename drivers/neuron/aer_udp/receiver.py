"""Datagrams to spikes: what is believed, and what is counted and dropped."""

import select
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import replace

from drivers.errors import InstrumentProtocolError, TransportError
from drivers.neuron.aer_udp import wire
from drivers.neuron.aer_udp.settings import AerUdpCounters
from drivers.neuron.protocol import ChipSpike

MAX_DATAGRAM_BYTES = 64
"""Longer ones are cut off here and still have a wrong length."""
MAX_DATAGRAMS_PER_READ = 4096
"""A flood must not hold the reader for ever; the rest waits in the kernel."""
RECEIVE_BUFFER_BYTES = 1 << 20
_SO_RXQ_OVFL = 40  # Linux; has no name in Python 3.11
_U32 = struct.Struct("=I")


class SpikeReceiver:
    """Takes the datagrams of one chip from a bound socket. Owned by one thread."""

    def __init__(
        self,
        receiving: socket.socket,
        *,
        chip_host: str,
        neurons: frozenset[int],
        clock_ns: Callable[[], int],
    ) -> None:
        self.counters = AerUdpCounters()
        """Replaced, never changed: any thread may look."""
        self._socket = receiving
        self._chip_host = chip_host
        self._neurons = neurons
        self._clock_ns = clock_ns
        receiving.setblocking(False)
        receiving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        if sys.platform == "linux":
            receiving.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)

    def read(self, timeout_s: float) -> list[ChipSpike]:
        """Return the spikes of all datagrams that have arrived; empty after `timeout_s`.

        Each is stamped when it is taken from the kernel. Raises `TransportError` when the socket
        is gone.
        """
        spikes: list[ChipSpike] = []
        try:
            if not select.select([self._socket], [], [], timeout_s)[0]:
                return spikes
            for _ in range(MAX_DATAGRAMS_PER_READ):
                datagram, host = self._receive()
                received_ns = self._clock_ns()
                neuron = self._accept(datagram, host)
                if neuron is not None:
                    spikes.append(ChipSpike(neuron, received_ns))
        except BlockingIOError:
            return spikes
        except (OSError, ValueError) as exc:
            raise TransportError(f"receiving events failed: {exc}") from exc
        return spikes

    def _receive(self) -> tuple[bytes, str]:
        if sys.platform != "linux":
            datagram, address = self._socket.recvfrom(MAX_DATAGRAM_BYTES)
            return datagram, str(address[0])
        datagram, ancillary, _, address = self._socket.recvmsg(
            MAX_DATAGRAM_BYTES, socket.CMSG_SPACE(_U32.size)
        )
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, _SO_RXQ_OVFL):
                # The kernel's count since the socket was made, not since the last datagram.
                self.counters = replace(self.counters, n_lost_in_host=_U32.unpack(data)[0])
        return datagram, str(address[0])

    def _accept(self, datagram: bytes, host: str) -> int | None:
        """Return the neuron that fired, or None for a datagram that is counted and dropped."""
        try:
            packet = wire.decode(datagram)
        except InstrumentProtocolError:
            self._count("n_wrong_length")
            return None
        verdict = self._verdict(packet, host)
        self._count(verdict)
        return packet.neuron if verdict == "n_spikes" else None

    def _verdict(self, packet: wire.EventPacket, host: str) -> str:
        if host != self._chip_host:
            return "n_wrong_address"
        if packet.sender != wire.SenderCode.AXON:
            return "n_wrong_sender"
        return "n_spikes" if packet.neuron in self._neurons else "n_unknown_neuron"

    def _count(self, name: str) -> None:
        n_now = getattr(self.counters, name) + 1
        self.counters = replace(self.counters, **{name: n_now})
