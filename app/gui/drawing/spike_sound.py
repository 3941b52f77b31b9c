"""What one electrode sounds like: its snippets, one after the other, as they were in time."""

import numpy as np
import numpy.typing as npt

SOUND_RATE_HZ = 44_100
LEAD_S = 0.15
"""Sound lags this much behind the tissue: spikes come in batches."""
FULL_SCALE = 32_767


class SpikeSound:
    """Mixes snippets into sound. `add` and `take` from one thread.

    A snippet that would have had to sound already is left out and counted: late sound misleads.
    """

    def __init__(self, full_scale_uv: float = 200.0) -> None:
        """Set the microvolts that are as loud as possible; more is cut off."""
        self.full_scale_uv = full_scale_uv
        self.n_late = 0
        self._ahead = np.zeros(SOUND_RATE_HZ * 2, np.float32)
        self._start_ns: int | None = None
        """Time of the first sample of `_ahead`."""

    def add(
        self,
        time_ns: npt.NDArray[np.int64],
        samples_uv: npt.NDArray[np.float32],
        sample_rate_hz: float,
    ) -> None:
        """Take snippets `(n_snippets, n_samples)` that begin at `time_ns`, `(n_snippets,)`."""
        if not len(time_ns):
            return
        newest_ns = int(time_ns.max())
        if self._start_ns is None or not self._is_near(newest_ns - self._start_ns):
            self._start_ns = newest_ns - round(LEAD_S * 1e9)  # clocks of tissue and sound differ
        n_in = samples_uv.shape[1]
        n_out = round(n_in / sample_rate_hz * SOUND_RATE_HZ)
        at = np.linspace(0, n_in - 1, n_out)
        for begin_ns, snippet in zip(time_ns.tolist(), samples_uv, strict=True):
            first = round((begin_ns - self._start_ns) * 1e-9 * SOUND_RATE_HZ)
            if not 0 <= first <= len(self._ahead) - n_out:
                self.n_late += 1
                continue
            # Samples that do not exist are nan: silence.
            sound = np.interp(at, np.arange(n_in), np.nan_to_num(snippet, nan=0.0)).astype(
                np.float32
            )
            self._ahead[first : first + n_out] += sound

    def _is_near(self, ahead_ns: int) -> bool:
        return 0 <= ahead_ns * 1e-9 <= 3 * LEAD_S

    def take(self, n: int) -> bytes:
        """Return the next `n` samples, mono, int16 in the machine's order; silence if none."""
        n = min(n, len(self._ahead))
        sound = np.clip(self._ahead[:n] / self.full_scale_uv, -1, 1) * FULL_SCALE
        self._ahead = np.concatenate([self._ahead[n:], np.zeros(n, np.float32)])
        if self._start_ns is not None:
            self._start_ns += round(n / SOUND_RATE_HZ * 1e9)
        return bytes(sound.astype(np.int16).data)

    def clear(self) -> None:
        """Forget what was to sound, as after another electrode was chosen."""
        self._ahead[:] = 0
        self._start_ns = None
