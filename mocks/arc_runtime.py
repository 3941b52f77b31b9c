"""A simulated ArC ONE at work: bytes in, the firmware's steps in real time, bytes out."""

import math
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from mocks.arc_crossbar import Crossbar
from mocks.arc_jobs import Busy, Firmware, NextLine, ReadTime, Reply, Steps
from mocks.event_loop import EventLoop
from mocks.faults import Fault, FaultPlan, longest_s, spoil

RESET_LINE = b"00"


class Port(Protocol):
    """Where a client sits."""

    def send(self, data: bytes) -> None:
        """Queue bytes for the client."""

    def discard(self) -> None:
        """Forget what is queued."""

    def disconnect(self, duration_s: float) -> None:
        """Be gone for a time."""


class ArcBoard:
    """One board behind any number of ports; it answers where the last bytes came from.

    `boot_s`: what comes so soon after a reset is lost. `line_gap_s`: a line that comes sooner
    after the one before is lost, as in the real board's small input buffer; 0 loses none. A piece
    of the fault plan is a line with its end, or one reply. Belongs to the loop's thread.
    """

    def __init__(
        self,
        loop: EventLoop,
        crossbar: Crossbar,
        faults: FaultPlan,
        *,
        read_time: ReadTime,
        boot_s: float,
        line_gap_s: float,
    ) -> None:
        self.crossbar = crossbar
        self.n_lines = 0
        """Received, before any fault."""
        self.n_lines_lost = 0
        """To the fault plan, too soon after another, unused at a reset, or while booting."""
        self.n_resets = 0
        self._loop = loop
        self._faults = faults
        self._read_time = read_time
        self._boot_ns = round(boot_s * 1e9)
        self._line_gap_ns = round(line_gap_s * 1e9)
        self._last_line_ns = loop.clock_ns() - self._line_gap_ns
        self._stalled_until_ns = 0
        self._boots_until_ns = 0
        self._port: Port | None = None
        self._arriving = b""
        self._received = b""
        self._lines: deque[bytes] = deque()
        self._life = 0
        self._start(Firmware(crossbar, read_time))
        self._plan_timed_faults(loop.clock_ns())

    def on_data(self, port: Port, data: bytes) -> None:
        """Take bytes from a client. A line that is not complete yet waits for its end."""
        self._port = port
        *lines, self._arriving = (self._arriving + data).split(b"\n")
        for line in lines:
            self._arrive(line + b"\n")

    def reset(self) -> None:
        """Forget the job under way and everything set; be deaf while booting."""
        self.n_resets += 1
        self._life += 1
        self.n_lines_lost += len(self._lines)
        self._lines.clear()
        self._received = b""
        if self._port is not None:
            self._port.discard()
        self._boots_until_ns = self._loop.clock_ns() + self._boot_ns
        self._start(Firmware(self.crossbar, self._read_time, n_jobs=self.firmware.n_jobs))

    def status(self) -> dict[str, Any]:
        """Return the counters, JSON-able."""
        return {
            "n_lines": self.n_lines,
            "n_lines_lost": self.n_lines_lost,
            "n_resets": self.n_resets,
            "n_jobs": self.firmware.n_jobs,
            "n_pulses": self.crossbar.n_pulses,
            "n_faults_struck": len(self._faults.struck),
            "damaged": self.crossbar.damaged,
        }

    def _start(self, firmware: Firmware) -> None:
        self.firmware = firmware
        self._steps: Steps = firmware.run()
        self._step = next(self._steps)
        self._ready_ns = 0
        self._is_hung = False
        self._wake_ns = 0

    # -- bytes in

    def _arrive(self, line: bytes) -> None:
        self.n_lines += 1
        now_ns = self._loop.clock_ns()
        is_too_soon = now_ns - self._last_line_ns < self._line_gap_ns
        self._last_line_ns = now_ns
        due = self._faults.next_piece("request")
        left = spoil(line, due)
        if is_too_soon or not left:
            self.n_lines_lost += 1
        else:
            self._at(now_ns + round(longest_s(due, "delay") * 1e9), partial(self._receive, left))
        self._strike(due)

    def _receive(self, data: bytes) -> None:
        self._received += data
        self._advance()

    def _parse(self) -> None:
        *lines, self._received = self._received.split(b"\n")
        for line in lines:
            if self._loop.clock_ns() < self._boots_until_ns:
                self.n_lines_lost += 1
            # Looked for among parameters and during jobs too: it is the only cure there is.
            elif line.rstrip(b"\r") == RESET_LINE:
                self.reset()
            else:
                self._lines.append(line.rstrip(b"\r"))

    # -- the firmware

    def _advance(self) -> None:
        """Run the firmware until it waits for a line or for time."""
        while not self._must_wait(self._stalled_until_ns):
            self._parse()
            if self._is_hung or self._must_wait(self._ready_ns):
                return
            match self._step:
                case NextLine() if not self._lines:
                    return
                case NextLine():
                    self._step = self._steps.send(self._lines.popleft())
                case Busy(duration_s):
                    self._be_busy(duration_s)
                    self._step = next(self._steps)
                case Reply(data):
                    self._reply(data)
                    self._step = next(self._steps)

    def _be_busy(self, duration_s: float) -> None:
        self._is_hung = not math.isfinite(duration_s)
        if not self._is_hung:
            self._ready_ns = self._loop.clock_ns() + round(duration_s * 1e9)

    def _must_wait(self, until_ns: int) -> bool:
        """Say whether it is too early, and come back in time if it is."""
        if self._loop.clock_ns() >= until_ns:
            return False
        if until_ns != self._wake_ns:
            self._wake_ns = until_ns
            self._at(until_ns, self._advance)
        return True

    def _at(self, when_ns: int, act: Callable[[], None]) -> None:
        """Do something at a time, now if it has come; not at all if a reset comes first."""
        life = self._life
        if self._loop.clock_ns() >= when_ns:
            act()
        else:
            self._loop.call_at_ns(when_ns, lambda: act() if life == self._life else None)

    # -- bytes out, and what goes wrong

    def _reply(self, reply: bytes) -> None:
        due = self._faults.next_piece("reply")
        data, port = spoil(reply, due), self._port
        if data and port is not None:
            when_ns = self._loop.clock_ns() + round(longest_s(due, "delay") * 1e9)
            self._at(when_ns, partial(port.send, data))
        self._strike(due)

    def _strike(self, due: tuple[Fault, ...]) -> None:
        for fault in due:
            if fault.kind == "stall":
                end_ns = self._loop.clock_ns() + round(fault.duration_s * 1e9)
                self._stalled_until_ns = max(self._stalled_until_ns, end_ns)
            elif fault.kind == "reset":
                # Not at once: a step of the firmware may be on the stack.
                self._loop.call_after_s(0.0, self.reset)
            elif fault.kind == "disconnect" and self._port is not None:
                self._port.disconnect(fault.duration_s)

    def _plan_timed_faults(self, started_ns: int) -> None:
        at_s = self._faults.next_time_s()
        if at_s is None:
            return

        def strike() -> None:
            due = self._faults.take_due((self._loop.clock_ns() - started_ns) / 1e9)
            self._strike(due)
            garbage = b"".join(bytes.fromhex(f.data_hex) for f in due if f.kind == "garbage")
            if garbage and self._port is not None:
                self._port.send(garbage)
            self._plan_timed_faults(started_ns)

        self._loop.call_at_ns(started_ns + round(at_s * 1e9), strike)
