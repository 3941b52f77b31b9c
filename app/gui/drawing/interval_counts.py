"""Counts behind the two histograms: intervals between spikes, and spikes around stimuli."""

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]

INTERVAL_EDGES_S = np.geomspace(1e-3, 10.0, 41)
"""Ten bins a decade."""
REFRACTORY_S = 2e-3
"""Intervals shorter than this are not of one neuron."""


class IntervalCounts:
    """Intervals between neighbouring spikes of one source, in logarithmic bins.

    Spikes may come slightly out of order within a batch, not between batches. Spikes on the two
    sides of a declared gap are not neighbours.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(len(INTERVAL_EDGES_S) - 1, np.int64)
        self.n_outside = 0
        """Intervals shorter or longer than the bins reach."""
        self.n_refractory = 0
        self.n_intervals = 0
        self._last_ns: int | None = None

    def add(self, time_ns: Times) -> None:
        """Take spikes."""
        time_ns = np.sort(time_ns)
        if self._last_ns is not None:
            time_ns = time_ns[time_ns > self._last_ns]
            time_ns = np.concatenate([[self._last_ns], time_ns])
        if not len(time_ns):
            return
        self._last_ns = int(time_ns[-1])
        intervals_s = np.diff(time_ns) * 1e-9
        counts, _ = np.histogram(intervals_s, INTERVAL_EDGES_S)
        self.counts += counts
        self.n_intervals += len(intervals_s)
        self.n_outside += len(intervals_s) - int(counts.sum())
        self.n_refractory += int((intervals_s < REFRACTORY_S).sum())

    def mark_gap(self) -> None:
        """Say that spikes are missing between the last and the next."""
        self._last_ns = None


class StimulusCounts:
    """Spikes of one source around stimuli, as a rate by the time since the stimulus.

    A stimulus counts once its window has passed, so that every bin is complete.
    """

    def __init__(
        self,
        before_s: float = 0.05,
        after_s: float = 0.2,
        bin_s: float = 0.005,
        late_s: float = 0.5,
    ) -> None:
        """Set the window and its bins; spikes may come up to `late_s` late."""
        n_bins = round((before_s + after_s) / bin_s)
        self.edges_s = np.linspace(-before_s, after_s, n_bins + 1)
        self.counts = np.zeros(n_bins, np.int64)
        self.n_stimuli = 0
        self._after_ns, self._late_ns = round(after_s * 1e9), round(late_s * 1e9)
        self._before_ns = round(before_s * 1e9)
        self._waiting: Times = np.empty(0, np.int64)
        self._recent: Times = np.empty(0, np.int64)

    @property
    def rate_hz(self) -> npt.NDArray[np.float64]:
        """Get spikes a second in each bin; nan before the first stimulus."""
        width_s = self.edges_s[1] - self.edges_s[0]
        with np.errstate(invalid="ignore"):
            rate: npt.NDArray[np.float64] = self.counts / np.float64(self.n_stimuli) / width_s
        return rate

    def add_stimuli(self, time_ns: Times) -> None:
        """Take times of stimuli."""
        self._waiting = np.sort(np.concatenate([self._waiting, time_ns]))

    def add(self, time_ns: Times) -> None:
        """Take spikes."""
        self._recent = np.concatenate([self._recent, time_ns])

    def advance(self, now_ns: int) -> None:
        """Count the stimuli whose window has passed, and forget what no window can reach."""
        is_over = self._waiting + self._after_ns + self._late_ns <= now_ns
        for stimulus_ns in self._waiting[is_over]:
            after_s = (self._recent - stimulus_ns) * 1e-9
            self.counts += np.histogram(after_s, self.edges_s)[0]
            self.n_stimuli += 1
        self._waiting = self._waiting[~is_over]
        oldest_ns = now_ns - self._after_ns - self._late_ns - self._before_ns
        if len(self._waiting):
            oldest_ns = min(oldest_ns, int(self._waiting[0]) - self._before_ns)
        self._recent = self._recent[self._recent >= oldest_ns]
