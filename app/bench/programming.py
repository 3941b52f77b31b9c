"""Program a device to a target resistance by write and verify, on any instrument.

The device's law is not assumed to be known. What a pulse did says how fast this device moves at
this amplitude; the next width is chosen in proportion. Widths span decades where amplitudes act
exponentially, so the amplitude changes only where no width of the instrument would do.
"""

import enum
import math
from dataclasses import dataclass, field

from app.bench.array_view import DeviceState
from app.bench.bench import DOWN, UP, Bench, BenchError, NoReadingError, RefusedError
from app.bench.reading import mark_stuck
from app.synapse.verify import PulseVerdict

MAX_GROWTH = 30.0
"""A width grows by so much at most from one pulse to the next: the law is only known nearby."""
STEP_V = 0.1
GROWTH_PER_STEP = 1.5
"""What a step of amplitude is taken to do to the speed, where it is not known yet."""
NEAR = 0.10
"""Closer to the target than this a full step is aimed at; from farther away 90 % of it."""
N_WEAK_MAX = 3
"""So many pulses at full strength that hardly move the device, and it is given up."""


class Reason(enum.StrEnum):
    """Why programming ended."""

    REACHED = "reached"
    STUCK = "stuck"
    SATURATED = "saturated"
    """It moves, but no longer far enough."""
    TOO_MANY = "too many writes"
    REFUSED = "refused"
    UNREADABLE = "unreadable"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSettings:
    """What is wanted. Widths and amplitudes stay within the device's and instrument's limits."""

    target_ohm: float
    tolerance: float = 0.02
    max_writes: int = 20
    max_v: float | None = None
    """Largest amplitude; None: the device's limit."""
    first_width_s: float = 100e-6
    freezes_stuck: bool = True


@dataclass(frozen=True, slots=True)
class Programmed:
    """How it ended."""

    device: str
    reason: Reason
    sentence: str
    n_writes: int
    first_ohm: float | None
    final_ohm: float | None
    error: float
    """Relative to the target; NaN without a reading."""


@dataclass(frozen=True, slots=True)
class PulseRange:
    """The pulses that device and instrument both allow."""

    min_width_s: float
    max_width_s: float
    resolution_s: float
    max_v: float

    def on_grid(self, width_s: float) -> float:
        """Return the nearest width that can be made."""
        width_s = min(max(width_s, self.min_width_s), self.max_width_s)
        n = max(self.min_width_s / self.resolution_s - 1e-6, width_s / self.resolution_s)
        # Twelve decimals: a multiple of a microsecond is then the number that a person writes.
        return round(math.ceil(n - 0.5) * self.resolution_s, 12)


@dataclass(slots=True)
class _Side:
    """What is known of one direction: the pulse last used, and how fast it moves the device."""

    amplitude_v: float
    width_s: float
    speed_per_s: float | None = None
    """Change of ln R per second of pulse."""


@dataclass(slots=True)
class Chooser:
    """Chooses the next pulse from what the last ones did. Pure."""

    allowed: PulseRange
    target_ohm: float
    first_width_s: float
    _sides: dict[int, _Side] = field(default_factory=dict)
    n_weak: int = 0
    """Pulses in a row at full strength that hardly moved the device."""

    def next_pulse(self, now_ohm: float) -> tuple[int, float, float]:
        """Return (direction, amplitude as a magnitude, width) for a device at `now_ohm`."""
        wanted = math.log(self.target_ohm / now_ohm)
        direction = UP if wanted > 0 else DOWN
        side = self._side(direction, abs(wanted))
        if side.speed_per_s is not None:
            self._scale(side, abs(wanted))
        return direction, side.amplitude_v, side.width_s

    def learn(self, direction: int, before_ohm: float, after_ohm: float, min_change: float) -> None:
        """Take in what the last pulse in a direction did."""
        side = self._sides[direction]
        moved = direction * math.log(after_ohm / before_ohm)
        is_strongest = self._is_strongest(side)
        is_weak = moved < min(3 * min_change, 0.1 * abs(math.log(self.target_ohm / before_ohm)))
        self.n_weak = self.n_weak + 1 if is_weak and is_strongest else 0
        if moved < min_change:
            self._strengthen(side)
        else:
            side.speed_per_s = moved / side.width_s

    def _side(self, direction: int, wanted: float) -> _Side:
        if direction not in self._sides:
            width_s = self.first_width_s / (10 if wanted < NEAR else 1)
            other = self._sides.get(-direction)
            # The other way's strength is a better guess than none.
            amplitude_v = 0.75 * self.allowed.max_v if other is None else other.amplitude_v
            if other is not None and other.speed_per_s is not None:
                width_s = 0.5 * wanted / other.speed_per_s
            self._sides[direction] = _Side(amplitude_v, self.allowed.on_grid(width_s))
        return self._sides[direction]

    def _scale(self, side: _Side, wanted: float) -> None:
        """Choose the width that would bring the device there, and the amplitude that allows it."""
        aim = wanted if wanted < NEAR else 0.9 * wanted
        speed = side.speed_per_s or math.inf
        width_s = min(aim / speed, MAX_GROWTH * side.width_s)
        while width_s > self.allowed.max_width_s and side.amplitude_v < self.allowed.max_v:
            side.amplitude_v = min(side.amplitude_v + STEP_V, self.allowed.max_v)
            speed, width_s = speed * GROWTH_PER_STEP, width_s / GROWTH_PER_STEP
        while width_s < self.allowed.min_width_s and side.amplitude_v > 2 * STEP_V:
            side.amplitude_v -= STEP_V
            speed, width_s = speed / GROWTH_PER_STEP, width_s * GROWTH_PER_STEP
        side.speed_per_s = speed
        side.width_s = self.allowed.on_grid(width_s)

    def _strengthen(self, side: _Side) -> None:
        """Nothing moved: a longer pulse, then a higher one."""
        side.speed_per_s = None
        if side.width_s < 0.99 * self.allowed.max_width_s:
            side.width_s = self.allowed.on_grid(10 * side.width_s)
        else:
            side.amplitude_v = min(side.amplitude_v + 3 * STEP_V, self.allowed.max_v)

    def _is_strongest(self, side: _Side) -> bool:
        return (
            side.width_s >= 0.99 * self.allowed.max_width_s
            and side.amplitude_v >= 0.999 * self.allowed.max_v
        )


def program(bench: Bench, name: str, settings: ProgramSettings) -> Programmed:
    """Bring a device within the tolerance of the target; say how that ended and why.

    Raises
    ------
    BenchError
        The target lies outside the device's window, or the driver refuses a pulse.
    AbortedError
        Somebody asked for the end.
    TransportError
        The instrument is gone.
    """
    limits = bench.device(name).limits
    target_ohm = settings.target_ohm
    if not (limits.window_min_ohm <= target_ohm <= limits.window_max_ohm):
        raise BenchError(
            f"{name}: target {target_ohm:g} ohm, allowed {limits.window_min_ohm:g} to "
            f"{limits.window_max_ohm:g} ohm (its window)"
        )
    chooser = Chooser(pulse_range(bench, name, settings), target_ohm, settings.first_width_s)
    run = _Run(bench, name, settings, chooser)
    try:
        reason, sentence = run.to_the_end()
    except RefusedError as exc:
        reason, sentence = Reason.REFUSED, str(exc)
    except NoReadingError as exc:
        reason, sentence = Reason.UNREADABLE, str(exc)
        bench.record(name).state = DeviceState.UNREADABLE
    return run.result(reason, sentence)


def pulse_range(bench: Bench, name: str, settings: ProgramSettings) -> PulseRange:
    """Return the pulses that device, instrument and settings allow."""
    limits, can = bench.device(name).limits, bench.can
    max_v = min(limits.max_amplitude_v, can.max_pulse_v)
    if settings.max_v is not None:
        max_v = min(max_v, settings.max_v)
    allowed = PulseRange(
        max(limits.min_width_s, can.min_width_s),
        min(limits.max_width_s, can.max_width_s),
        can.width_resolution_s,
        max_v,
    )
    if not (0 < allowed.min_width_s <= allowed.max_width_s and allowed.max_v > 0):
        raise BenchError(
            f"{name}: no pulse fits both its limits and a {can.model} "
            f"({allowed.min_width_s:g} to {allowed.max_width_s:g} s, up to {allowed.max_v:g} V)"
        )
    return allowed


class _Run:
    """One device on its way to its target."""

    def __init__(
        self, bench: Bench, name: str, settings: ProgramSettings, chooser: Chooser
    ) -> None:
        self._bench = bench
        self._name = name
        self._settings = settings
        self._chooser = chooser
        self._first_ohm: float | None = None
        self._now_ohm: float | None = None
        self._n_writes = 0
        self._was_moved = False

    def to_the_end(self) -> tuple[Reason, str]:
        """Write and verify until there is a reason to stop."""
        self._now_ohm = self._first_ohm = self._bench.read(self._name, "CTS", agreed=True)
        if self._is_absurd():
            return self._stuck(f"reads {self._now_ohm:g} ohm, outside its window")
        while True:
            if self._is_there():
                self._now_ohm = self._bench.read(self._name, "CTS", agreed=True)
                if self._is_there():
                    return Reason.REACHED, f"{self._now_ohm:.0f} ohm"
            if self._n_writes >= self._settings.max_writes:
                return Reason.TOO_MANY, f"{self._now_ohm:.0f} ohm after {self._n_writes} writes"
            if self._chooser.n_weak >= N_WEAK_MAX:
                return self._weak()
            self._write_once()

    def result(self, reason: Reason, sentence: str) -> Programmed:
        """Return how it ended."""
        target_ohm = self._settings.target_ohm
        error = math.nan if self._now_ohm is None else self._now_ohm / target_ohm - 1.0
        return Programmed(
            self._name, reason, sentence, self._n_writes, self._first_ohm, self._now_ohm, error
        )

    def _write_once(self) -> None:
        now_ohm = self._now_ohm or math.nan
        direction, magnitude_v, width_s = self._chooser.next_pulse(now_ohm)
        is_positive = (direction == UP) == self._bench.device(self._name).limits.is_positive_raising
        self._bench.progress(
            self._n_writes,
            self._settings.max_writes,
            f"{self._name}: {now_ohm:.0f} ohm, target {self._settings.target_ohm:.0f} ohm",
        )
        write = self._bench.apply(
            self._name, magnitude_v if is_positive else -magnitude_v, width_s, tag="CTS"
        )
        self._n_writes += 1
        if write.after_ohm is None:
            raise NoReadingError(f"{self._name}: no reading after a pulse: {write.detail}")
        self._was_moved |= write.verdict is PulseVerdict.MOVED
        self._chooser.learn(direction, now_ohm, write.after_ohm, self._bench.min_change)
        self._now_ohm = write.after_ohm

    def _is_there(self) -> bool:
        now_ohm, settings = self._now_ohm or math.nan, self._settings
        return abs(now_ohm / settings.target_ohm - 1.0) <= settings.tolerance

    def _is_absurd(self) -> bool:
        """Say whether a pulse would be of no use: open or short, far outside the window."""
        limits, now_ohm = self._bench.device(self._name).limits, self._now_ohm or math.nan
        return not (limits.window_min_ohm / 2 <= now_ohm <= 2 * limits.window_max_ohm)

    def _weak(self) -> tuple[Reason, str]:
        if not self._was_moved:
            return self._stuck(f"did not move in {self._n_writes} writes")
        return Reason.SATURATED, f"moves no farther than {self._now_ohm:.0f} ohm"

    def _stuck(self, sentence: str) -> tuple[Reason, str]:
        if self._settings.freezes_stuck:
            mark_stuck(self._bench, self._name, sentence)
        return Reason.STUCK, sentence
