"""A simulated bench unit at work: bytes in, one line after the other in real time, bytes out."""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from mocks.event_loop import EventLoop
from mocks.faults import Fault, FaultPlan, longest_s, spoil
from mocks.smu_instrument import Instrument

AnInstrument = TypeVar("AnInstrument", bound=Instrument)


class Port(Protocol):
    """Where a client sits."""

    def send(self, data: bytes) -> None:
        """Queue bytes for the client."""

    def discard(self) -> None:
        """Forget what is queued."""

    def disconnect(self, duration_s: float) -> None:
        """Be gone for a time."""


class Bench(Generic[AnInstrument]):
    """One instrument behind any number of ports; it answers where the last bytes came from.

    A piece of the fault plan is a line with its end, or one answer. Belongs to the loop's thread.
    """

    def __init__(
        self,
        loop: EventLoop,
        make_instrument: Callable[[], AnInstrument],
        faults: FaultPlan,
    ) -> None:
        self.n_lines = 0
        self.n_restarts = 0
        self._loop = loop
        self._make_instrument = make_instrument
        self.instrument = make_instrument()
        self._faults = faults
        self._port: Port | None = None
        self._arriving = b""
        self._lines: deque[str] = deque()
        self._ready_ns = 0
        self._life = 0

    def on_data(self, port: Port, data: bytes) -> None:
        """Take bytes from a client. A line that is not complete yet waits for its end."""
        self._port = port
        *lines, self._arriving = (self._arriving + data).split(b"\n")
        for line in lines:
            self.n_lines += 1
            due = self._faults.next_piece("request")
            left = spoil(line + b"\n", due)
            self._at(
                self._loop.clock_ns() + round(longest_s(due, "delay") * 1e9),
                partial(self._receive, left),
            )
            self._strike(due)

    def restart(self) -> None:
        """Switch off and on: everything set is forgotten."""
        self.n_restarts += 1
        self._life += 1
        self._lines.clear()
        self._arriving = b""
        self._ready_ns = 0
        self.instrument.power_off()
        self.instrument = self._make_instrument()
        if self._port is not None:
            self._port.discard()

    def status(self) -> dict[str, Any]:
        """Return what became of lines and faults, JSON-able."""
        return {
            "n_lines": self.n_lines,
            "n_restarts": self.n_restarts,
            "n_faults_struck": len(self._faults.struck),
        }

    def _receive(self, data: bytes) -> None:
        for line in data.decode("latin-1").split("\n"):
            if line.strip():
                self._lines.append(line.strip("\r"))
        self._advance()

    def _advance(self) -> None:
        while self._lines:
            if self._loop.clock_ns() < self._ready_ns:
                self._at(self._ready_ns, self._advance)
                return
            answer, busy_s = self.instrument.handle(self._lines.popleft())
            self._ready_ns = self._loop.clock_ns() + round(busy_s * 1e9)
            if answer is not None:
                self._at(self._ready_ns, partial(self._answer, (answer + "\n").encode("latin-1")))

    def _answer(self, answer: bytes) -> None:
        due = self._faults.next_piece("reply")
        data, port = spoil(answer, due), self._port
        if data and port is not None:
            when_ns = self._loop.clock_ns() + round(longest_s(due, "delay") * 1e9)
            self._at(when_ns, partial(port.send, data))
        self._strike(due)

    def _at(self, when_ns: int, act: Callable[[], None]) -> None:
        """Do something at a time, now if it has come; not at all if a restart comes first."""
        life = self._life
        if self._loop.clock_ns() >= when_ns:
            act()
        else:
            self._loop.call_at_ns(when_ns, lambda: act() if life == self._life else None)

    def _strike(self, due: tuple[Fault, ...]) -> None:
        for fault in due:
            if fault.kind == "stall":
                end_ns = self._loop.clock_ns() + round(fault.duration_s * 1e9)
                self._ready_ns = max(self._ready_ns, end_ns)
            elif fault.kind == "reset":
                self._loop.call_after_s(0.0, self.restart)
            elif fault.kind == "disconnect" and self._port is not None:
                self._port.disconnect(fault.duration_s)
