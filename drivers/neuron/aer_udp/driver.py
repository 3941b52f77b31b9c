"""A neuron chip whose host speaks the 8-byte UDP packet of 2020."""

import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Integral

from drivers.errors import SafetyLimitError, TransportError
from drivers.neuron.aer_udp import wire
from drivers.neuron.aer_udp.receiver import SpikeReceiver
from drivers.neuron.aer_udp.settings import AerUdpCounters, AerUdpSettings
from drivers.neuron.protocol import ChipSpike
from drivers.permit import Action, DriveNeuron, Permit
from drivers.safe_state import SafeReport, SafeState

SENDING_LIMIT_S = 0.5
"""How long `make_safe` waits for an event that is just leaving."""


class AerUdp:
    """A `NeuronChip` over UDP. One thread reads, one other does the rest; any may `make_safe`.

    Source: see `wire`. **Loss cannot be detected**: the packet has no sequence number, so an event
    that UDP lost, doubled or reordered on its way looks like one that never was, was twice or came
    later, in both directions. Only the address of the sender's host is checked (its port was never
    specified), and that can be forged: use it inside a laboratory, not across the internet.

    A spike's time is the host's receive time. The packet's own time field counts from the event
    before, so a single loss would shift all later ones; it is not used.
    """

    def __init__(
        self,
        name: str,
        settings: AerUdpSettings,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = name
        self.settings = settings
        self._clock_ns = clock_ns
        self._neurons = frozenset(settings.neurons)
        self._socket: socket.socket | None = None
        self._receiver: SpikeReceiver | None = None
        self._chip_address: tuple[str, int] = ("", 0)
        self._opened_ns = 0
        self._n_driven = 0
        self._is_latched = threading.Event()
        self._reading = threading.Lock()
        self._sending = threading.Lock()

    @property
    def local_address(self) -> tuple[str, int]:
        """Get the (host, port) on which events are awaited; valid after `open`."""
        host, port = self._open_socket().getsockname()[:2]
        return str(host), int(port)

    @property
    def counters(self) -> AerUdpCounters:
        """Get a snapshot of the counters since `open`. Any thread."""
        receiver = self._receiver
        counters = AerUdpCounters() if receiver is None else receiver.counters
        return replace(counters, n_driven=self._n_driven)

    def open(self) -> None:
        """Bind our port and look up the chip's host. Sends nothing; takes back `make_safe`.

        On an open driver it does only the latter: another thread may be reading.

        Raises
        ------
        TransportError
            The address is not ours, not free or not known.
        """
        self._is_latched.clear()
        if self._socket is not None:
            return
        s = self.settings
        try:
            family, _, _, _, chip = socket.getaddrinfo(
                s.chip_host, s.chip_port, family=socket.AF_INET, type=socket.SOCK_DGRAM
            )[0]
            opened = socket.socket(family, socket.SOCK_DGRAM)
        except OSError as exc:
            raise TransportError(
                f"{self.name}: chip host {s.chip_host}:{s.chip_port} is not known: {exc}; "
                "check chip_host"
            ) from exc
        try:
            opened.bind((s.listen_host, s.listen_port))
            self._chip_address = (str(chip[0]), int(chip[1]))
            self._receiver = SpikeReceiver(
                opened,
                chip_host=self._chip_address[0],
                neurons=self._neurons,
                clock_ns=self._clock_ns,
            )
        except (OSError, OverflowError) as exc:
            opened.close()
            raise TransportError(
                f"{self.name}: cannot listen on {s.listen_host}:{s.listen_port}: {exc}; check "
                "listen_host, listen_port and who else has it"
            ) from exc
        self._n_driven = 0
        self._opened_ns = self._clock_ns()
        self._socket = opened

    def read_spikes(self, timeout_s: float) -> Sequence[ChipSpike]:
        """Return what arrived, in order of arrival; empty if nothing came in `timeout_s`.

        Takes everything that waits (at most 4096 datagrams a call). What is not a spike of one of
        our neurons is counted and dropped. Raises `TransportError` when closed.
        """
        with self._reading:  # `close` waits for it, so that no closed socket is waited for
            self._open_socket()
            if self._receiver is None:
                return ()
            return self._receiver.read(timeout_s)

    def drive(self, permit: Permit) -> int:
        """Send the permitted event once; return the host time in ns at which its bytes left.

        The packet carries ticks of 50 us since `open`, modulo 2**24 (839 s).

        Raises
        ------
        SafetyLimitError
            Not a neuron or weight of this chip, no valid permit, or made safe; no byte left.
        TransportError
            Closed, or the host's network refused the datagram; no byte left.
        """
        event = self._checked(permit.action)
        sending = self._open_socket()
        with self._sending:  # `make_safe` waits for it, so that "no further one" is true
            if self._is_latched.is_set():
                raise SafetyLimitError(
                    f"{self.name}: no event after make_safe; call open() before the next one"
                )
            n_ticks = (self._clock_ns() - self._opened_ns) // wire.TICK_NS & wire.FIELD_MASK
            datagram = wire.encode(
                wire.EventPacket(wire.SenderCode.SYNAPSE, event.neuron, event.weight_code, n_ticks)
            )
            permit.spend(self.name)
            try:
                sending.sendto(datagram, self._chip_address)
            except OSError as exc:
                raise TransportError(f"{self.name}: event not sent: {exc}") from exc
            self._n_driven += 1
            return self._clock_ns()

    def make_safe(self) -> SafeReport:
        """Send nothing more until `open` is called again; never raises. Any thread.

        An event of this protocol is a single datagram and has no duration; spikes are still read.
        """
        self._is_latched.set()
        if not self._sending.acquire(timeout=SENDING_LIMIT_S):
            return SafeReport(
                self.name,
                SafeState.FAILED,
                f"an event hangs in the host's network for {SENDING_LIMIT_S:g} s and may still "
                "leave; it will be the last",
            )
        self._sending.release()
        return SafeReport(
            self.name,
            SafeState.BY_CONSTRUCTION,
            "only single events exist, no further one will be sent",
        )

    def close(self) -> None:
        """Make safe and close the socket; idempotent, never raises.

        Waits for a `read_spikes` that is under way. The counters keep their values.
        """
        self.make_safe()
        with self._reading:
            closing, self._socket = self._socket, None
            if closing is not None:
                closing.close()

    def _open_socket(self) -> socket.socket:
        if self._socket is None:
            raise TransportError(f"{self.name}: closed; call open() first")
        return self._socket

    def _checked(self, action: Action) -> DriveNeuron:
        if not isinstance(action, DriveNeuron):
            raise SafetyLimitError(f"{self.name}: {action!r} is no event; ask another instrument")
        if not (isinstance(action.neuron, Integral) and action.neuron in self._neurons):
            raise SafetyLimitError(
                f"{self.name}: neuron {action.neuron!r}, allowed {sorted(self._neurons)}; add it "
                "to the site file"
            )
        if not (isinstance(action.weight_code, Integral) and 0 <= action.weight_code <= 255):
            raise SafetyLimitError(
                f"{self.name}: weight code {action.weight_code!r}, allowed 0 to 255; correct what "
                "made the weight"
            )
        return action
