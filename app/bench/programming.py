"""Program a device to a target resistance by write and verify, on any instrument."""

import enum
import math
from dataclasses import dataclass

from app.bench.array_view import DeviceState
from app.bench.bench import Bench
from app.bench.direction import UP
from app.bench.errors import BenchError, NoReadingError, RefusedError
from app.bench.pulse_chooser import Chooser, PulseRange
from app.bench.reading import mark_stuck
from app.synapse.verify import PulseVerdict

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
