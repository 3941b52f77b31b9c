"""The firmware of a simulated ArC ONE: jobs as the vendor's own clients send them.

It is a coroutine that asks for lines, is busy, or replies. It counts lines and knows nothing
else about where a job ends: a missing line makes it wait and take the next job for a parameter.
It never reports an error. Sources: libarc1 0.1.0, arc1_pyqt 2.0.0rc3 and the board's manual.
"""

import math
import struct
from collections.abc import Generator
from dataclasses import dataclass, field

from mocks.arc_crossbar import Crossbar

Steps = Generator["Step", bytes, None]
Lines = Generator["Step", bytes, list[bytes]]

FIRMWARE_VERSION = (1, 3)
N_UNSUPPORTED_PARAMETERS = {
    b"14": 12, b"141": 13, b"15": 13, b"152": 13, b"191": 11, b"21": 13, b"220": 4, b"33": 5,
    b"40": 1, b"50": 6, b"161": 0, b"162": 0, b"163": 0, b"164": 0, b"165": 0,
}  # fmt: skip
"""Jobs this mock does not play: it takes their header and is then busy until it is reset."""

_STEP_OVERHEAD_S = 2e-3
_MAX_WIDTH_S = 10.0
_MAX_V = 12.0
_MAX_LINES = 32
_MAX_STEPS = 10_000
_TRIPLE_END = struct.pack("<3f", 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class NextLine:
    """The firmware waits for a line."""


@dataclass(frozen=True, slots=True)
class Busy:
    """The firmware does something for a time; `math.inf` is until a reset."""

    duration_s: float


@dataclass(frozen=True, slots=True)
class Reply:
    """The firmware sends bytes."""

    data: bytes


Step = NextLine | Busy | Reply


@dataclass(frozen=True, slots=True)
class ReadTime:
    """How long a reading takes; the defaults are guesses, nobody has published the board's."""

    overhead_s: float = 0.3e-3
    cycle_s: float = 25e-6

    def total_s(self, n_cycles: int) -> float:
        """Return the time of a reading that averages so many cycles; at least one."""
        return self.overhead_s + max(1, n_cycles) * self.cycle_s


@dataclass(slots=True)
class Firmware:
    """What a board remembers between jobs, and how it does them. A reset makes a new one."""

    crossbar: Crossbar
    read_time: ReadTime = field(default_factory=ReadTime)
    n_read_cycles: int = 50
    read_mode: int = 2
    sneak_path: int = 1
    read_v: float = 0.5
    is_initialised: bool = False
    selected: tuple[int, int] | None = None
    n_jobs: dict[str, int] = field(default_factory=dict)

    def run(self) -> Steps:
        """Do jobs for ever. What is no job is silently ignored."""
        jobs = {
            b"0": self._init, b"01": self._set_read, b"011": self._update, b"02": self._select,
            b"04": self._pulse_selected, b"1": self._read_one, b"3": self._pulse_read,
            b"2": self._read_many, b"999": self._version, b"201": self._curve_tracer,
        }  # fmt: skip
        while True:
            job = yield NextLine()
            name = job.decode("latin-1")
            self.n_jobs[name] = self.n_jobs.get(name, 0) + 1
            if job in jobs:
                yield from jobs[job]()
            elif job in N_UNSUPPORTED_PARAMETERS:
                yield from self._lines(N_UNSUPPORTED_PARAMETERS[job])
                yield Busy(math.inf)

    def _lines(self, n: int) -> Lines:
        lines = []
        for _ in range(n):
            lines.append((yield NextLine()))  # noqa: PERF401 - a comprehension cannot yield
        return lines

    # -- settings

    def _init(self) -> Steps:
        cycles, _words, _bits, mode, _session, sneak, read_v = yield from self._lines(7)
        self.n_read_cycles, self.read_mode = _integer(cycles), _integer(mode)
        self.sneak_path, self.read_v = _integer(sneak), _volts(read_v)
        self.is_initialised = True
        yield Reply(b"1\n")

    def _set_read(self) -> Steps:
        mode, read_v = yield from self._lines(2)
        self.read_mode, self.read_v = _integer(mode), _volts(read_v)

    def _update(self) -> Steps:
        cycles, sneak = yield from self._lines(2)
        self.n_read_cycles, self.sneak_path = _integer(cycles), _integer(sneak)

    def _version(self) -> Steps:
        yield Reply(struct.pack("<2H", *FIRMWARE_VERSION))

    def _select(self) -> Steps:
        w, b = yield from self._lines(2)
        self.selected = (_integer(w), _integer(b))

    # -- pulses and readings

    def _pulse_selected(self) -> Steps:
        amplitude, width = yield from self._lines(2)
        if self.selected is not None:
            yield from self._pulse(*self.selected, _volts(amplitude), _width_s(width))

    def _pulse_read(self) -> Steps:
        w, b, amplitude, width = yield from self._lines(4)
        yield from self._pulse(_integer(w), _integer(b), _volts(amplitude), _width_s(width))
        yield from self._read(_integer(w), _integer(b))

    def _read_one(self) -> Steps:
        w, b = yield from self._lines(2)
        yield from self._read(_integer(w), _integer(b))

    def _read_many(self) -> Steps:
        kind, words, bits = yield from self._lines(3)
        if _integer(kind) == 1:
            for w in range(1, min(_integer(words), _MAX_LINES) + 1):
                for b in range(1, min(_integer(bits), _MAX_LINES) + 1):
                    yield from self._read(w, b)
        elif _integer(kind) == 2:
            [n] = yield from self._lines(1)
            for _ in range(_integer(n)):
                yield from self._read_one()

    def _pulse(self, w: int, b: int, pulse_v: float, width_s: float) -> Steps:
        if self.is_initialised:
            self.crossbar.pulse(w, b, pulse_v, width_s, self._disturbed_part())
        yield Busy(width_s)

    def _read(self, w: int, b: int) -> Steps:
        yield Busy(self.read_time.total_s(self.n_read_cycles))
        if self.is_initialised:
            read_v = 0.5 if self.read_mode == 0 else self.read_v
            ohm = self.crossbar.read_ohm(w, b, read_v, self.n_read_cycles)
            yield Reply(struct.pack("<f", ohm))

    def _disturbed_part(self) -> float:
        """Return the part of a pulse that the other devices on its lines see."""
        return {0: 1 / 3, 1: 1 / 2}.get(self.sneak_path, 0.0)

    # -- the current-voltage curve

    def _curve_tracer(self) -> Steps:
        lines = yield from self._lines(13)
        up_v, down_v, start_v, step_v, width_s, pause_s, up_a, down_a = map(_number, lines[:8])
        start_v, up_v, down_v = map(_within_range, (start_v, up_v, down_v))
        n_cycles, kind, span, halt, n_devices = map(_integer, lines[8:])
        legs = {
            0: ((up_v, up_a), (-down_v, down_a)),
            1: ((-down_v, down_a), (up_v, up_a)),
            2: ((up_v, up_a),),
        }.get(span, ((-down_v, down_a),))
        for _ in range(n_devices):
            w, b = map(_integer, (yield from self._lines(2)))
            for _ in range(n_cycles if self.is_initialised else 0):
                for end_v, limit_a in legs:
                    outward = _sweep(start_v, step_v, end_v)
                    yield from self._trace(
                        (w, b), outward, limit_a, width_s, pause_s if kind == 1 else 0.0, halt == 1
                    )
                yield Reply(_TRIPLE_END)

    def _trace(
        self,
        device: tuple[int, int],
        outward: list[float],
        limit_a: float,
        width_s: float,
        pause_s: float,
        halts: bool,
    ) -> Steps:
        """Trace one polarity, out and back; a limit that halts begins the way back."""
        n_outward = len(outward)
        for i, wanted_v in enumerate(outward):
            is_limited = yield from self._bias(device, wanted_v, limit_a, width_s, pause_s)
            if is_limited and halts:
                n_outward = i + 1
                break
        for wanted_v in reversed(outward[: n_outward - 1]):
            yield from self._bias(device, wanted_v, limit_a, width_s, pause_s)

    def _bias(
        self,
        device: tuple[int, int],
        wanted_v: float,
        limit_a: float,
        width_s: float,
        pause_s: float,
    ) -> Generator[Step, bytes, bool]:
        """Hold a voltage as far as the limit allows, report it; say whether it was lowered."""
        bias_v = self.crossbar.limited_v(*device, wanted_v, abs(limit_a))
        yield Busy(max(0.0, width_s) + _STEP_OVERHEAD_S)
        self.crossbar.pulse(*device, bias_v, width_s, self._disturbed_part())
        ohm = self.crossbar.read_ohm(*device, bias_v, self.n_read_cycles)
        yield Reply(struct.pack("<3f", ohm, bias_v, width_s))
        yield Busy(max(0.0, pause_s))
        return bias_v != wanted_v


def _sweep(start_v: float, step_v: float, end_v: float) -> list[float]:
    """Return the voltages from the start to the end, whose sign they have."""
    if not (step_v > 0 and 0 < start_v <= abs(end_v) * (1 + 1e-9)):
        return []
    n = min(_MAX_STEPS, math.floor((abs(end_v) - start_v) / step_v + 1e-6) + 1)
    return [math.copysign(start_v + i * step_v, end_v) for i in range(n)]


def _integer(line: bytes) -> int:
    return int(_number(line))


def _number(line: bytes) -> float:
    """Return the number on a line; like C, 0 for anything else. Beyond a million is no number."""
    try:
        value = float(line)
    except ValueError:
        return 0.0
    return value if abs(value) <= 1e6 else 0.0


def _volts(line: bytes) -> float:
    return _within_range(_number(line))


def _within_range(value_v: float) -> float:
    """Return what the board's output stage makes of a voltage."""
    return min(max(-_MAX_V, value_v), _MAX_V)


def _width_s(line: bytes) -> float:
    return min(max(0.0, _number(line)), _MAX_WIDTH_S)
