"""The last events of all rows of the raster, in bounded memory, in order of arrival."""

import numpy as np
import numpy.typing as npt

N_EVENTS_MAX = 2_000_000
"""26 MB; five minutes of 6,600 events a second."""
N_EARLY_MAX = 65_536

Times = npt.NDArray[np.int64]


class EventHistory:
    """Events with a time, a row and a colour number; the oldest make room for new ones.

    An event later than the newest moment shown waits until that moment has come, so that a wrong
    time far in the future cannot carry the picture away.
    """

    def __init__(self, n_max: int = N_EVENTS_MAX) -> None:
        self.time_ns = np.empty(n_max, np.int64)
        self.row = np.empty(n_max, np.int32)
        self.colour = np.empty(n_max, np.uint8)
        self.n_total = 0
        """Events ever taken: event i lies at place `i % n_max`, while it is held."""
        self.now_ns = -(1 << 62)
        self.n_early_dropped = 0
        """Events too far in the future, of which too many waited."""
        self._early = np.empty((0, 3), np.int64)

    @property
    def n_max(self) -> int:
        """Get how many events are kept."""
        return len(self.time_ns)

    @property
    def first(self) -> int:
        """Get the number of the oldest event that is held."""
        return max(0, self.n_total - self.n_max)

    @property
    def oldest_ns(self) -> int:
        """Get the time of the oldest event that is held, or now."""
        if self.n_total == 0:
            return self.now_ns
        return int(self.time_ns[self.first % self.n_max])

    def add(
        self, time_ns: Times, row: npt.NDArray[np.int32], colour: npt.NDArray[np.uint8]
    ) -> None:
        """Take events; all three arrays `(n_events,)`."""
        is_early = time_ns > self.now_ns
        if is_early.any():
            early = np.stack([time_ns, row.astype(np.int64), colour.astype(np.int64)], axis=1)
            waiting = np.concatenate([self._early, early[is_early]])
            self.n_early_dropped += max(0, len(waiting) - N_EARLY_MAX)
            self._early = waiting[-N_EARLY_MAX:]
            is_due = ~is_early
            time_ns, row, colour = time_ns[is_due], row[is_due], colour[is_due]
        self._append(time_ns, row, colour)

    def advance(self, now_ns: int) -> None:
        """Say that all up to `now_ns` may be shown; time never goes back."""
        self.now_ns = max(self.now_ns, now_ns)
        is_due = self._early[:, 0] <= self.now_ns
        if is_due.any():
            due = self._early[is_due]
            self._early = self._early[~is_due]
            self._append(due[:, 0], due[:, 1].astype(np.int32), due[:, 2].astype(np.uint8))

    def row_of_times(self, row: int, from_ns: int, to_ns: int) -> Times:
        """Return the times of one row's events from `from_ns` up to before `to_ns`, unsorted."""
        n = min(self.n_total, self.n_max)
        time_ns = self.time_ns[:n]
        found = (self.row[:n] == row) & (time_ns >= from_ns) & (time_ns < to_ns)
        times: Times = time_ns[found]
        return times

    def _append(
        self, time_ns: Times, row: npt.NDArray[np.int32], colour: npt.NDArray[np.uint8]
    ) -> None:
        n = len(time_ns)
        places = np.arange(self.n_total, self.n_total + n) % self.n_max
        self.time_ns[places], self.row[places], self.colour[places] = time_ns, row, colour
        self.n_total += n
