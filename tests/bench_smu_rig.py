"""Bench units for tests: in memory with a virtual clock, or as processes behind a real wire."""

import contextlib
import json
from collections.abc import Callable, Iterator

from mock_process import MockProcess

from drivers.errors import InstrumentProtocolError, InstrumentTimeoutError, TransportError
from drivers.permit import Permit, PulseDevice
from drivers.smu.bench.driver import BenchSmu
from drivers.smu.bench.settings import BenchSettings
from drivers.smu.keithley_2400.wire import Keithley2400
from drivers.smu.keithley_2450.wire import Keithley2450
from drivers.smu.keithley_2600.wire import Keithley2600
from drivers.smu.keysight_b2900.wire import KeysightB2900
from drivers.smu.protocol import DeviceAddress
from drivers.transport.visa import VisaPort
from mocks.arc_crossbar import Crossbar
from mocks.bench_smu import make_instrument
from mocks.memristor import PRESETS
from mocks.memristor_noise import NOISE_OFF

CELL = DeviceAddress(1, 1)
DIALECTS = {
    "keithley_2400": Keithley2400,
    "keithley_2450": Keithley2450,
    "keithley_2600": Keithley2600,
    "keysight_b2900": KeysightB2900,
}
WIDTH_S = {
    "keithley_2400": 5e-3,
    "keithley_2450": 2e-3,
    "keithley_2600": 1e-4,
    "keysight_b2900": 1e-4,
}
"""A pulse that each of them makes."""
SETTINGS = BenchSettings(read_voltage_v=0.5, compliance_a=1e-3)
LIMIT_S = 10.0


def permit_for(name, amplitude_v, width_s, **changes):
    options = {
        "instrument": name,
        "action": PulseDevice(1, 1, amplitude_v, width_s),
        "number": 1,
        "expires_ns": 10**18,
        "is_tripped": lambda: False,
        "clock_ns": lambda: 0,
    }
    return Permit(**(options | changes))


class Wire:
    """An instrument and the line to it, with a clock that only this line moves.

    `on_request(n, line)` returns the pieces that arrive, `on_reply(n, text)` those that come back;
    a piece is (delay in s, text); n counts from 1 over all connections. What ends without LF waits
    for what comes next.
    """

    def __init__(self, unit: str, ohm: float = 5000.0, noise=NOISE_OFF, **options) -> None:
        self.now_s = 0.0
        self.crossbar = Crossbar(
            PRESETS["B"], noise, 1, (1, 1), ohm, {(1, 1): ohm}, lambda: round(self.now_s * 1e9)
        )
        self._make = lambda: make_instrument(unit, self.crossbar, lambda: self.now_s, **options)
        self.instrument = self._make()
        self.sent: list[str] = []
        self.n_requests = 0
        self.n_replies = 0
        self.n_opened = 0
        self.on_request: Callable[[int, str], list] = lambda n, line: [(0.0, line)]
        self.on_reply: Callable[[int, str], list] = lambda n, text: [(0.0, text)]
        self.is_down = False
        self._half_in = ""
        self._half_out = ""
        self._coming: list[tuple[float, str]] = []

    def restart(self) -> None:
        self.instrument.output.switch(is_on=False)
        self.instrument = self._make()
        self._coming.clear()
        self._half_in = ""

    def open(self) -> "Wire":
        self.n_opened += 1
        if self.is_down:
            raise TransportError("nobody there")
        self._coming.clear()
        self._half_out = ""
        return self

    def write_line(self, line: str) -> None:
        self.n_requests += 1
        self.sent.append(line)
        for delay_s, piece in self.on_request(self.n_requests, line + "\n"):
            self._arrive(piece, delay_s)

    def _arrive(self, piece: str, delay_s: float) -> None:
        *lines, self._half_in = (self._half_in + piece).split("\n")
        for line in lines:
            answer, busy_s = self.instrument.handle(line)
            # Its clock is ours plus what the line took; the host waits so long for the answer.
            if answer is None:
                self.now_s += busy_s
                continue
            self.n_replies += 1
            for late_s, text in self.on_reply(self.n_replies, answer + "\n"):
                self._coming.append((self.now_s + busy_s + delay_s + late_s, text))

    def read_line(self, timeout_s: float) -> str:
        if self.is_down:
            raise TransportError("the other end is gone")
        until_s = self.now_s + timeout_s
        while self._coming and self._coming[0][0] <= until_s:
            due_s, text = self._coming.pop(0)
            self.now_s = max(self.now_s, due_s)
            self._half_out += text
            if "\n" in self._half_out:
                line, self._half_out = self._half_out.split("\n", 1)
                if not line.isascii():
                    raise InstrumentProtocolError("no text")
                return line
        self.now_s = until_s
        self._half_out = ""
        raise InstrumentTimeoutError(f"no line within {timeout_s:g} s")

    def close(self) -> None:
        pass


class Rig:
    """A driver on a wire in memory."""

    def __init__(self, unit: str, settings: BenchSettings = SETTINGS, **options) -> None:
        self.unit = unit
        self.wire = Wire(unit, **options)
        self.driver = BenchSmu(
            unit,
            DIALECTS[unit](),
            self.wire.open,
            settings,
            clock_ns=lambda: round(self.wire.now_s * 1e9),
        )

    def permit(self, amplitude_v: float = 1.5, width_s: float | None = None, **changes) -> Permit:
        return permit_for(
            self.unit, amplitude_v, WIDTH_S[self.unit] if width_s is None else width_s, **changes
        )

    @property
    def true_ohm(self) -> float:
        return self.wire.crossbar.true_ohm(1, 1)


class Process(MockProcess):
    """A unit as a process of its own, reached by TCP or a pseudo-terminal."""

    def __init__(self, unit: str, wire: str, *options: str) -> None:
        ports = ["--tcp", "127.0.0.1:0"] if wire == "tcp" else ["--pty"]
        usual = ["--unit", unit, "--truth", "127.0.0.1:0", "--noise", "off"]
        super().__init__("mocks.bench_smu", *usual, *options, *ports)

    @property
    def resource(self) -> str:
        if "pty" in self.ready:
            return f"ASRL{self.ready['pty']}::INSTR"
        return f"TCPIP::127.0.0.1::{self.ready['tcp_port']}::SOCKET"


@contextlib.contextmanager
def running(unit: str, wire: str = "tcp", *options: str, faults=()) -> Iterator[Process]:
    process = Process(unit, wire, "--faults", json.dumps(faults), *options)
    try:
        yield process
    finally:
        process.close()


def driver_of(unit: str, process: Process, settings: BenchSettings = SETTINGS) -> BenchSmu:
    return BenchSmu(unit, DIALECTS[unit](), lambda: VisaPort(process.resource), settings)
