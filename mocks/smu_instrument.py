"""What every simulated bench unit is: lines in, lines out, time spent, an error queue."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from mocks.smu_output import Output

LINE_FREQUENCY_HZ = 50.0
MEASURE_OVERHEAD_S = 0.5e-3
_N_ERRORS = 10
NOT_A_NUMBER = 9.91e37


class Instrument(Protocol):
    """An instrument that was just switched on."""

    def handle(self, line: str) -> tuple[str | None, float]:
        """Do what a line says; return the answer, if there is one, and how long it took."""

    def power_off(self) -> None:
        """Let go of everything, as without the mains."""


class SourcingInstrument(Instrument, Protocol):
    """A source-measure unit."""

    @property
    def output(self) -> Output:
        """Get the analog side."""


class Clock:
    """The time inside an instrument: that outside when a line began, plus what it took so far.

    While a line is done the time outside does not count: a pulse is as long as it should be,
    however busy the machine is on which it is simulated.
    """

    def __init__(self, outside_s: Callable[[], float]) -> None:
        self._outside_s = outside_s
        self._began_s: float | None = None
        self.spent_s = 0.0

    def now_s(self) -> float:
        """Return the time in seconds."""
        return self._outside_s() if self._began_s is None else self._began_s + self.spent_s

    def spend(self, duration_s: float) -> None:
        """Let time pass."""
        self.spent_s += duration_s

    @contextmanager
    def line(self) -> Iterator[None]:
        """Count for a new line."""
        self._began_s, self.spent_s = self._outside_s(), 0.0
        try:
            yield
        finally:
            self._began_s = None


class ErrorQueue:
    """The last errors, oldest first; the queue's end says that more were lost."""

    def __init__(self) -> None:
        self._errors: deque[tuple[int, str]] = deque()

    def __len__(self) -> int:
        return len(self._errors)

    def add(self, code: int, text: str) -> None:
        """Queue an error."""
        if len(self._errors) < _N_ERRORS:
            self._errors.append((code, text))
        else:
            self._errors[-1] = (-350, "Queue overflow")

    def take(self) -> tuple[int, str]:
        """Return the oldest error, or code 0."""
        return self._errors.popleft() if self._errors else (0, "No error")

    def clear(self) -> None:
        """Forget all."""
        self._errors.clear()


class CommandError(Exception):
    """A line or a part of it that the instrument does not do."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def measure(output: Output, clock: Clock, integration_s: float) -> tuple[float, float, bool]:
    """Let a measurement take its time; return volts, amperes, limited."""
    clock.spend(integration_s + MEASURE_OVERHEAD_S)
    # The noise model counts cycles of an ArC ONE, of 25 us each.
    return output.measure(max(1, round(integration_s / 25e-6)))


def hold(output: Output, clock: Clock, level_v: float, duration_s: float) -> None:
    """Go to a level for a time."""
    output.set_level(level_v)
    clock.spend(duration_s)
