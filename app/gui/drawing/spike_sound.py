"""What one electrode sounds like: its snippets, one after the other, as they were in time."""

import numpy as np
import numpy.typing as npt

SOUND_RATE_HZ = 44_100
LEAD_S = 0.15
"""Sound lags this much behind the tissue: spikes come in batches."""
MAX_AHEAD_S = 3 * LEAD_S
"""More sound than this never waits: a device that stood still goes on with what is new."""
EDGE_S = 0.3e-3
"""A snippet fades in and out over this time; a step at its ends would be heard as a click."""
FULL_SCALE = 32_767


class SpikeSound:
    """Cuts sound out of snippets. `add` and `take` from one thread.

    Snippets that overlap are stretches of one signal: where two tell of the same moment, it sounds
    once. A snippet that would have had to sound already is left out and counted, and so is sound
    that waited for a device that stood still: late sound misleads.
    """

    def __init__(self, full_scale_uv: float = 200.0) -> None:
        """Set the microvolts that are as loud as possible; more is cut off."""
        self.full_scale_uv = full_scale_uv
        self.n_late = 0
        """Snippets left out."""
        self.n_starts = 0
        """How often the clocks of tissue and sound were put side by side anew."""
        self._signal_uv = np.zeros(SOUND_RATE_HZ, np.float32)
        self._loudness = np.zeros(SOUND_RATE_HZ, np.float32)
        """0 to 1: how much of the signal is let through."""
        self._start_ns: int | None = None
        """Time of the first sample of `_signal_uv`."""

    def add(
        self,
        begin_ns: npt.NDArray[np.int64],
        samples_uv: npt.NDArray[np.float32],
        sample_rate_hz: float,
    ) -> None:
        """Take snippets `(n_snippets, n_samples)` that begin at `begin_ns`, `(n_snippets,)`."""
        if not len(begin_ns):
            return
        newest_ns = int(begin_ns.max())
        if self._start_ns is None or not 0 <= newest_ns - self._start_ns <= MAX_AHEAD_S * 1e9:
            self.clear()
            self.n_starts += 1
            self._start_ns = newest_ns - round(LEAD_S * 1e9)
        n_in = samples_uv.shape[1]
        n_out = round(n_in / sample_rate_hz * SOUND_RATE_HZ)
        at = np.arange(n_out) * (sample_rate_hz / SOUND_RATE_HZ)
        for one_ns, snippet_uv in zip(begin_ns.tolist(), samples_uv, strict=True):
            first = round((one_ns - self._start_ns) * 1e-9 * SOUND_RATE_HZ)
            if not 0 <= first <= len(self._signal_uv) - n_out:
                self.n_late += 1
                continue
            exists = np.isfinite(snippet_uv)
            if exists.any():
                known = np.flatnonzero(exists)
                signal_uv = np.interp(at, known, snippet_uv[known])
                self._mix(first, signal_uv, _fade(at, known, sample_rate_hz))

    def _mix(
        self,
        first: int,
        signal_uv: npt.NDArray[np.float64],
        loudness: npt.NDArray[np.float64],
    ) -> None:
        stretch = slice(first, first + len(signal_uv))
        is_louder = loudness > self._loudness[stretch]
        self._signal_uv[stretch][is_louder] = signal_uv[is_louder]
        self._loudness[stretch][is_louder] = loudness[is_louder]

    def take(self, n: int) -> bytes:
        """Return the next `n` samples, mono, int16 in the machine's order; silence if none."""
        n = min(n, len(self._signal_uv))
        share = self._signal_uv[:n] * self._loudness[:n] / self.full_scale_uv
        sound = np.rint(np.clip(share, -1, 1) * FULL_SCALE)
        for kept in (self._signal_uv, self._loudness):
            kept[: -n or None] = kept[n:]
            kept[len(kept) - n :] = 0
        if self._start_ns is not None:
            self._start_ns += round(n / SOUND_RATE_HZ * 1e9)
        return bytes(sound.astype(np.int16).data)

    def clear(self) -> None:
        """Forget what was to sound, as after another electrode was chosen."""
        self._signal_uv[:] = 0
        self._loudness[:] = 0
        self._start_ns = None


def _fade(
    at: npt.NDArray[np.float64], known: npt.NDArray[np.intp], sample_rate_hz: float
) -> npt.NDArray[np.float64]:
    """Return how loud each place is: 1, but for edges to silence at both ends of what is known."""
    edge = EDGE_S * sample_rate_hz
    from_end = np.minimum(at - known[0], known[-1] - at)
    return np.asarray(np.clip(from_end / edge, 0.0, 1.0))
