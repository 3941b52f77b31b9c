"""A simulated ArC ONE at work: lines in, the firmware's steps in real time, bytes out."""

import math
from collections import deque
from collections.abc import Callable
from typing import Protocol

from mocks.arc_crossbar import Crossbar
from mocks.arc_jobs import Busy, Firmware, NextLine, Reply, Steps
from mocks.event_loop import EventLoop
from mocks.faults import Fault, FaultPlan, longest_s, spoil

RESET_LINE = b"00"
BOOT_S = 0.3
"""What comes within this time after a reset is lost."""


class Port(Protocol):
    """Where a client sits."""

    def send(self, data: bytes) -> None:
        """Queue bytes for the client."""

    def discard(self) -> None:
        """Forget what is queued."""

    def disconnect(self) -> None:
        """Drop the client."""


class ArcBoard:
    """One board behind any number of ports; it answers where the last line came from.

    Everything belongs to the loop's thread. `line_gap_s`: a line that comes sooner after the one
    before is lost, as in the real board's small input buffer; 0 loses none.
    """

    def __init__(
        self, loop: EventLoop, crossbar: Crossbar, faults: FaultPlan, line_gap_s: float = 0.0
    ) -> None:
        self.crossbar = crossbar
        self.n_lines = 0
        self.n_lines_lost = 0
        self.n_resets = 0
        self._loop = loop
        self._faults = faults
        self._line_gap_ns = round(line_gap_s * 1e9)
        self._last_line_ns = -self._line_gap_ns
        self._stalled_until_ns = 0
        self._port: Port | None = None
        self._partial = b""
        self._lines: deque[bytes] = deque()
        self._life = 0
        self.firmware = Firmware(crossbar)
        self._steps: Steps = self.firmware.run()
        self._is_waiting_for_line = False
        self._boots_until_ns = 0
        self._advance(None)
        self._plan_timed_faults(loop.clock_ns())

    def on_data(self, port: Port, data: bytes) -> None:
        """Take bytes from a client."""
        self._port = port
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._take_line(line.rstrip(b"\r"))

    def _take_line(self, line: bytes) -> None:
        now_ns = self._loop.clock_ns()
        self.n_lines += 1
        is_too_soon = now_ns - self._last_line_ns < self._line_gap_ns
        self._last_line_ns = now_ns
        due = self._faults.next_piece("request")
        line = spoil(line, due)
        if any(f.kind == "drop" for f in due) or is_too_soon or now_ns < self._boots_until_ns:
            self.n_lines_lost += 1
            return
        self._strike(due)
        if line == RESET_LINE:
            self.reset()
            return
        self._lines.append(line)
        if self._is_waiting_for_line:
            self._feed()

    def reset(self) -> None:
        """Forget the job under way and everything set; takes `BOOT_S`."""
        self.n_resets += 1
        self._life += 1
        self._lines.clear()
        self._partial = b""
        if self._port is not None:
            self._port.discard()
        self._boots_until_ns = self._loop.clock_ns() + round(BOOT_S * 1e9)
        n_jobs = self.firmware.n_jobs
        self.firmware = Firmware(self.crossbar, n_jobs=n_jobs)
        self._steps = self.firmware.run()
        self._advance(None)

    def _feed(self) -> None:
        if self._lines:
            self._is_waiting_for_line = False
            self._advance(self._lines.popleft())

    def _advance(self, line: bytes | None) -> None:
        """Run the firmware until it waits for a line or for time."""
        step = next(self._steps) if line is None else self._steps.send(line)
        while True:
            if isinstance(step, NextLine):
                if not self._lines:
                    self._is_waiting_for_line = True
                    return
                step = self._steps.send(self._lines.popleft())
            elif isinstance(step, Busy):
                self._is_waiting_for_line = False
                self._be_busy(step.duration_s)
                return
            else:
                self._reply(step)
                step = next(self._steps)

    def _be_busy(self, duration_s: float) -> None:
        if not math.isfinite(duration_s):
            return  # until a reset
        life = self._life
        until_ns = self._loop.clock_ns() + round(duration_s * 1e9)
        self._at(max(until_ns, self._stalled_until_ns), life, lambda: self._advance(None))

    def _at(self, when_ns: int, life: int, act: Callable[[], None]) -> None:
        """Do something later, unless a reset comes first."""
        self._loop.call_at_ns(when_ns, lambda: act() if life == self._life else None)

    def _reply(self, reply: Reply) -> None:
        due = self._faults.next_piece("reply")
        data = spoil(reply.data, due)
        delay_s = longest_s(due, "delay")
        port = self._port
        self._strike(due)
        if port is None or not data:
            return
        if delay_s:
            self._at(
                self._loop.clock_ns() + round(delay_s * 1e9), self._life, lambda: port.send(data)
            )
        else:
            port.send(data)

    def _strike(self, due: tuple[Fault, ...]) -> None:
        for fault in due:
            if fault.kind == "stall":
                stall_ns = round(fault.duration_s * 1e9)
                self._stalled_until_ns = self._loop.clock_ns() + stall_ns
            elif fault.kind == "reset":
                self._loop.call_after_s(0.0, self.reset)
            elif fault.kind == "disconnect" and self._port is not None:
                self._port.disconnect()

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
