"""The last thousand durations of something, and their 99th percentile."""

import numpy as np


class RecentDurations:
    """A ring of durations in ns: one thread adds, any thread asks."""

    def __init__(self, capacity: int = 1024) -> None:
        self._durations_ns = np.zeros(capacity, np.int64)
        self._n_added = 0

    def add(self, duration_ns: int) -> None:
        """Add one, in place of the oldest."""
        self._durations_ns[self._n_added % len(self._durations_ns)] = duration_ns
        self._n_added += 1

    def p99_s(self) -> float:
        """Return the 99th percentile in seconds; nan if there are none."""
        known = self._durations_ns[: self._n_added]
        return float(np.percentile(known, 99)) / 1e9 if len(known) else float("nan")
