"""A neuron chip whose host speaks the 8-byte UDP packet of 2020.

UDP has no sequence number here: **a lost packet cannot be noticed by anybody**, and whoever shows
this chip's figures has to say so. Event times are the host's receive stamps, because the packet's
own times are differences that one lost packet shifts for good.
"""

import logging
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from drivers.errors import SafetyLimitError, TransportError
from drivers.neuron.aer_udp.wire import (
    MASK_24,
    TICK_S,
    AerPacket,
    PacketError,
    Sender,
    decode,
    encode,
)
from drivers.neuron.protocol import ChipSpike
from drivers.permit import DriveNeuron, Permit
from drivers.safe_state import SafeReport, SafeState

log = logging.getLogger(__name__)

MAX_DATAGRAM_BYTES = 2048
MAX_PER_READ = 4096
"""Datagrams taken in one call: a flood must not keep the reader from reporting."""


@dataclass(frozen=True, slots=True)
class AerUdpSettings:
    """Where the chip's host and we are, and which of its neurons belong to us."""

    listen_host: str
    listen_port: int
    chip_host: str
    chip_port: int
    neurons: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AerCounters:
    """What arrived and what was dropped, since `open`."""

    n_spikes: int = 0
    n_driven: int = 0
    n_wrong_length: int = 0
    n_wrong_code: int = 0
    n_wrong_sender: int = 0
    """Datagrams from another address than the chip's host."""
    n_unknown_neuron: int = 0


class AerUdp:
    """Implements `drivers.neuron.protocol.NeuronChip`. See the module for what UDP cannot tell."""

    def __init__(self, name: str, settings: AerUdpSettings, clock_ns: Callable[[], int]) -> None:
        self.name = name
        self._settings = settings
        self._neurons = frozenset(settings.neurons)
        self._clock_ns = clock_ns
        self._socket: socket.socket | None = None
        self._opened_ns = 0
        self._counters = AerCounters()
        self._lock = threading.Lock()
        self._is_made_safe = False

    @property
    def counters(self) -> AerCounters:
        """Get what was received and dropped so far."""
        return self._counters

    def open(self) -> None:
        """Bind the socket; after `make_safe`, allow driving again. Sends nothing.

        Raises
        ------
        TransportError
            The address cannot be bound.
        """
        self._is_made_safe = False
        if self._socket is not None:
            return
        address = (self._settings.listen_host, self._settings.listen_port)
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            made.bind(address)
            made.setblocking(False)
        except OSError as exc:
            made.close()
            raise TransportError(
                f"chip {self.name}: cannot listen at {address[0]}:{address[1]}: {exc}"
            ) from exc
        self._socket = made
        self._opened_ns = self._clock_ns()

    def read_spikes(self, timeout_s: float) -> list[ChipSpike]:
        """Return the spikes that have arrived, in order; empty after `timeout_s` without any.

        Datagrams that are not a spike of one of our neurons are counted and dropped.
        """
        sock = self._open_socket()
        if not select.select([sock], [], [], timeout_s)[0]:
            return []
        spikes = []
        for _ in range(MAX_PER_READ):
            try:
                data, address = sock.recvfrom(MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                break
            except ConnectionError as exc:
                # An earlier datagram of ours found nobody: the chip's host is not there.
                log.warning("chip %s: %s", self.name, exc)
                continue
            except OSError as exc:
                raise TransportError(f"chip {self.name}: {exc}") from exc
            received_ns = self._clock_ns()
            neuron = self._neuron_in(data, address)
            if neuron is not None:
                spikes.append(ChipSpike(neuron, received_ns))
        self._count(n_spikes=len(spikes))
        return spikes

    def drive(self, permit: Permit) -> int:
        """Send the permitted event; return the host time in ns at which it had left.

        Raises
        ------
        SafetyLimitError
            Not permitted, not one of our neurons, or made safe. Nothing was sent.
        TransportError
            The network did not take the datagram.
        """
        sock = self._open_socket()
        if self._is_made_safe:
            raise SafetyLimitError(f"chip {self.name}: made safe; open it again before driving")
        action = permit.action
        if not isinstance(action, DriveNeuron):
            raise SafetyLimitError(f"chip {self.name}: cannot do {type(action).__name__}")
        if action.neuron not in self._neurons:
            raise SafetyLimitError(
                f"chip {self.name}: neuron {action.neuron} is not one of {sorted(self._neurons)}"
            )
        ticks = int((self._clock_ns() - self._opened_ns) / 1e9 / TICK_S) & MASK_24
        try:
            data = encode(AerPacket(Sender.SYNAPSE, action.neuron, action.weight_code, ticks))
        except ValueError as exc:
            raise SafetyLimitError(f"chip {self.name}: {exc}") from exc
        permit.spend(self.name)
        try:
            sock.sendto(data, (self._settings.chip_host, self._settings.chip_port))
        except OSError as exc:
            raise TransportError(f"chip {self.name}: cannot send: {exc}") from exc
        self._count(n_driven=1)
        return self._clock_ns()

    def make_safe(self) -> SafeReport:
        """Send nothing more until `open`; each event is finite, so nothing goes on by itself."""
        self._is_made_safe = True
        return SafeReport(self.name, SafeState.BY_CONSTRUCTION, "no further event will be sent")

    def close(self) -> None:
        """Make safe and close the socket; idempotent."""
        self.make_safe()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open_socket(self) -> socket.socket:
        if self._socket is None:
            raise TransportError(f"chip {self.name}: not open")
        return self._socket

    def _neuron_in(self, data: bytes, address: tuple[str, int]) -> int | None:
        if address != (self._settings.chip_host, self._settings.chip_port):
            self._count(n_wrong_sender=1)
            return None
        try:
            packet = decode(data)
        except PacketError:
            is_short = len(data) != 8
            self._count(n_wrong_length=int(is_short), n_wrong_code=int(not is_short))
            return None
        if packet.sender is not Sender.AXON:
            self._count(n_wrong_code=1)
            return None
        if packet.neuron not in self._neurons:
            self._count(n_unknown_neuron=1)
            return None
        return packet.neuron

    def _count(self, **more: int) -> None:
        with self._lock:
            old = self._counters
            changed = {name: getattr(old, name) + n for name, n in more.items()}
            self._counters = replace(old, **changed)
