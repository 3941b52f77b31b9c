"""The newest snippets of one channel, in bounded memory."""

import numpy as np
import numpy.typing as npt

N_SNIPPETS_MAX = 200


class SnippetStore:
    """Snippets of equal length; another length or lead begins anew."""

    def __init__(self, n_max: int = N_SNIPPETS_MAX) -> None:
        self._n_max = n_max
        self.n_before = 0
        """Samples before the spike's own, its trough."""
        self.n_total = 0
        """Snippets taken since the channel was chosen."""
        self._samples_uv = np.empty((0, 0), np.float32)

    def clear(self) -> None:
        """Forget all."""
        self.n_total = 0
        self._samples_uv = np.empty((0, 0), np.float32)

    def add(self, samples_uv: npt.NDArray[np.float32], n_before: int) -> None:
        """Take `(n_snippets, n_samples)`, oldest first."""
        if samples_uv.shape[1:] != self._samples_uv.shape[1:] or n_before != self.n_before:
            self._samples_uv = np.empty((0, samples_uv.shape[1]), np.float32)
            self.n_before = n_before
        self.n_total += len(samples_uv)
        self._samples_uv = np.concatenate([self._samples_uv, samples_uv])[-self._n_max :]

    def newest(self, n: int) -> npt.NDArray[np.float32]:
        """Return the newest `n` or fewer, oldest first, `(n_snippets, n_samples)` in microvolts."""
        return self._samples_uv[-n:]

    def largest_uv(self, n: int) -> float:
        """Return the largest of the newest `n` spikes themselves, a magnitude; 0 without any.

        What surrounds them may be a stimulus, which is ten times larger.
        """
        at_spike = self.newest(n)[:, self.n_before : self.n_before + 1]
        return float(np.abs(np.nan_to_num(at_spike, nan=0.0)).max(initial=0.0))

    def as_curve(
        self, n: int, sample_rate_hz: float
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Return the newest `n` as one curve: milliseconds, microvolts, joined to the next point.

        The spike's own sample is at 0 ms. The last point of a snippet is not joined to the next,
        and samples that do not exist (nan) to nothing.
        """
        shown = self.newest(n)
        n_snippets, n_samples = shown.shape
        one_ms = (np.arange(n_samples) - self.n_before) / sample_rate_hz * 1e3
        exists = np.isfinite(shown)
        is_joined = exists.copy()
        is_joined[:, :-1] &= exists[:, 1:]
        is_joined[:, -1:] = False
        y_uv = np.nan_to_num(shown, nan=0.0).ravel()
        return np.tile(one_ms, n_snippets), y_uv, is_joined.ravel()
