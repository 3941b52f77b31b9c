"""How long the loop takes: a histogram over a run, in bins whose width grows with the time."""

import numpy as np

EDGES_S = tuple(float(f"{edge:.3g}") for edge in np.geomspace(1e-4, 10.0, 41))
"""Eight bins per decade, 0.1 ms to 10 s; below and above lie two more."""


class LoopLatency:
    """Counts durations. One thread adds at a time, any thread reads."""

    def __init__(self) -> None:
        self._counts = np.zeros(len(EDGES_S) + 1, np.int64)

    def add(self, duration_s: float) -> None:
        """Count one; what is not a duration is not counted."""
        if duration_s >= 0:
            self._counts[np.searchsorted(EDGES_S, duration_s, side="right")] += 1

    def counts(self) -> list[int]:
        """Return how many fell before, between and after `EDGES_S`."""
        return [int(n) for n in self._counts]
