"""The simulated chip's UDP socket, with everything that can go wrong on it or behind it."""

import socket
from collections.abc import Callable
from functools import partial

from mocks.event_loop import Action, EventLoop
from mocks.faults import Fault, FaultPlan, longest_s

_MAX_DATAGRAM_BYTES = 65_536


class FaultyLink:
    """A UDP socket between the chip and its hub that follows a fault plan; opens the socket.

    A piece of the plan is a datagram: requests come from the hub, replies go to it. Garbage and
    duplicates are datagrams of their own. After a stall what waited goes on; a disconnection loses
    both directions; a reset loses all that waits, the datagram it came with, and what the chip
    knew. Everything belongs to the loop's thread. Raises OSError if the address is taken.
    """

    def __init__(
        self,
        loop: EventLoop,
        listen: tuple[str, int],
        hub: tuple[str, int],
        faults: FaultPlan,
        *,
        on_datagram: Callable[[bytes], None],
        on_reset: Action,
    ) -> None:
        self.n_datagrams = 0
        """Received, before any fault."""
        self.n_lost = 0
        """Datagrams that the fault plan took away, in either direction."""
        self.n_send_errors = 0
        self.n_resets = 0
        self._loop = loop
        self._hub = hub
        self._faults = faults
        self._on_datagram = on_datagram
        self._on_reset = on_reset
        self._life = 0
        self._stalled_until_ns = 0
        self._gone_until_ns = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind(listen)
        except OSError:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        loop.on_readable(self._socket, self._read)
        self._plan_timed_faults(loop.clock_ns())

    def send(self, datagram: bytes) -> None:
        """Send a datagram to the hub, as the fault plan leaves it. Never fails; errors count."""
        self._pass("reply", datagram, self._send)

    def at_ns(self, when_ns: int, action: Action) -> None:
        """Act at a time, now if it has come, but not before a stall ends."""

        def act() -> None:
            due_ns = max(when_ns, self._stalled_until_ns)
            if self._loop.clock_ns() < due_ns:
                self._loop.call_at_ns(due_ns, act)
            else:
                action()

        act()

    def close(self) -> None:
        """Give the port back."""
        self._loop.forget(self._socket)
        self._socket.close()

    def _read(self) -> None:
        try:
            datagram = self._socket.recv(_MAX_DATAGRAM_BYTES)
        except BlockingIOError:
            return
        except OSError:  # the refusal of a packet sent earlier may come back here
            self.n_send_errors += 1
            return
        self.n_datagrams += 1
        self._pass("request", datagram, self._on_datagram)

    def _send(self, datagram: bytes) -> None:
        if self._loop.clock_ns() < self._gone_until_ns:
            self.n_lost += 1
            return
        try:
            self._socket.sendto(datagram, self._hub)
        except OSError:
            self.n_send_errors += 1

    def _pass(self, on: str, datagram: bytes, action: Callable[[bytes], None]) -> None:
        due = self._faults.next_piece(on)
        self._strike(due)
        now_ns = self._loop.clock_ns()
        left = _spoilt(datagram, due)
        if not left or now_ns < self._gone_until_ns or any(f.kind == "reset" for f in due):
            self.n_lost += 1
            return
        life = self._life

        def hand_on(one: bytes) -> None:
            if life == self._life:
                action(one)
            else:
                self.n_lost += 1

        when_ns = now_ns + round(longest_s(due, "delay") * 1e9)
        for one in left:
            self.at_ns(when_ns, partial(hand_on, one))

    def _strike(self, due: tuple[Fault, ...]) -> None:
        now_ns = self._loop.clock_ns()
        for fault in due:
            end_ns = now_ns + round(fault.duration_s * 1e9)
            if fault.kind == "stall":
                self._stalled_until_ns = max(self._stalled_until_ns, end_ns)
            elif fault.kind == "disconnect":
                self._gone_until_ns = max(self._gone_until_ns, end_ns)
            elif fault.kind == "reset":
                self.n_resets += 1
                self._life += 1
                self._on_reset()

    def _plan_timed_faults(self, started_ns: int) -> None:
        at_s = self._faults.next_time_s()
        if at_s is None:
            return

        def strike() -> None:
            due = self._faults.take_due((self._loop.clock_ns() - started_ns) / 1e9)
            self._strike(due)
            for fault in due:
                if fault.kind == "garbage":
                    self._send(bytes.fromhex(fault.data_hex))
            self._plan_timed_faults(started_ns)

        self._loop.call_at_ns(started_ns + round(at_s * 1e9), strike)


def _spoilt(datagram: bytes, due: tuple[Fault, ...]) -> list[bytes]:
    """Return the datagrams that faults make of one."""
    left = [datagram]
    for fault in due:
        match fault.kind:
            case "drop":
                left = []
            case "garbage":
                left = [bytes.fromhex(fault.data_hex), *left]
            case "duplicate":
                left = left + left
            case _:
                left = [fault.spoil(one) for one in left]
    return left
