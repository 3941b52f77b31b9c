"""The analog side of a simulated bench unit: level, limit, output and the device behind it."""

from collections.abc import Callable, Sequence

from mocks.arc_crossbar import Crossbar

HARMLESS_V = 0.6
"""Below it no preset of a memristor moves: reading is not counted as stress."""
_LEAST_V = 1e-6
_AIR_OHM = 1e12
Place = tuple[int, int]


class Output:
    """One channel that sources voltage into the device, or the devices, between its terminals.

    What is held counts for as long as it is held: a level that is set and forgotten stresses the
    device until somebody changes it. Above the limit the voltage is lowered until the current fits.
    """

    def __init__(self, crossbar: Crossbar, now_s: Callable[[], float], limit_a: float) -> None:
        self.crossbar = crossbar
        self.is_on = False
        self.level_v = 0.0
        self.limit_a = limit_a
        self.range_limit_a = float("inf")
        """A measure range below the limit limits first ("range compliance")."""
        self.places: Callable[[], Sequence[Place]] = lambda: ((1, 1),)
        """Which devices hang between the terminals: one, none, or several in parallel."""
        self._now_s = now_s
        self._since_s = now_s()

    @property
    def effective_limit_a(self) -> float:
        """Get the current at which the voltage is lowered."""
        return min(self.limit_a, self.range_limit_a)

    def set_level(self, level_v: float) -> None:
        """Go to another level at once."""
        self.settle()
        self.level_v = level_v

    def switch(self, *, is_on: bool) -> None:
        """Switch the output; off is 0 V."""
        self.settle()
        self.is_on = is_on

    def measure(self, n_cycles: int) -> tuple[float, float, bool]:
        """Return volts, amperes and whether the limit is reached, at the present level."""
        if not self.is_on or abs(self.level_v) < _LEAST_V:
            return 0.0, 0.0, False
        applied_v = self._applied_v()
        current_a = applied_v / _AIR_OHM
        for w, b in self.places():
            current_a += applied_v / self.crossbar.read_ohm(w, b, applied_v, n_cycles)
        is_limited = abs(applied_v) < abs(self.level_v) - _LEAST_V
        return applied_v, current_a, is_limited

    def settle(self) -> None:
        """Let what was held since the last change act on the devices."""
        now_s = self._now_s()
        held_s, self._since_s = now_s - self._since_s, now_s
        if self.is_on and abs(self.level_v) > HARMLESS_V and held_s > 0:
            applied_v = self._applied_v()
            for w, b in self.places():
                self.crossbar.pulse(w, b, applied_v, held_s, 0.0)

    def _applied_v(self) -> float:
        """Return the level, lowered to the limit; devices in parallel share it equally."""
        places = self.places()
        limit_a = self.effective_limit_a / max(1, len(places))
        found_v = [self.crossbar.limited_v(w, b, self.level_v, limit_a) for w, b in places]
        return min([self.level_v, *found_v], key=abs)
