"""Which pulse comes next on the way to a target: pure, and for any instrument and device.

The device's law is not assumed to be known. What a pulse did says how fast this device moves at
this amplitude; the next width is chosen in proportion. Widths span decades where amplitudes act
exponentially, so the amplitude changes only where no width of the instrument would do.
"""

import math
from dataclasses import dataclass, field

from app.bench.direction import DOWN, UP

MAX_GROWTH = 30.0
"""A width grows by so much at most from one pulse to the next: the law is only known nearby."""
STEP_V = 0.1
GROWTH_PER_STEP = 1.5
"""What a step of amplitude is taken to do to the speed, where it is not known yet."""
NEAR = 0.10
"""Closer to the target than this a full step is aimed at; from farther away 90 % of it."""


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
