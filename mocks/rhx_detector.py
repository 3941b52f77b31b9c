"""RHX's spike detector: a fixed threshold per channel on the high-pass band.

A spike's time is the sample of its crossing. It is reported once its 50-sample snippet is
complete, hence up to 50 samples later than its block; the next search on that channel begins 50
samples after the crossing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

N_SNIPPET = 50
ID_UNCLASSIFIED = 0x40
ID_LIKELY_ARTEFACT = 0x80


@dataclass(frozen=True, slots=True)
class DetectedSpike:
    """One crossing: `sample_index` counts from the start of the run."""

    sample_index: int
    channel: int
    spike_id: int


class SpikeDetector:
    """Finds crossings in consecutive blocks of the high-pass band."""

    def __init__(self, n_channels: int, n_block: int) -> None:
        self._n_block = n_block
        self._tail = np.zeros((N_SNIPPET + 1, n_channels))
        self._free_from = np.zeros(n_channels, dtype=np.int64)

    def reset(self) -> None:
        """Forget the past, as at the start of a run."""
        self._tail[:] = 0.0
        self._free_from[:] = 0

    def block(
        self,
        high_uv: NDArray[np.float64],
        first_sample: int,
        threshold_uv: NDArray[np.float64],
        is_searched: NDArray[np.bool_],
        artefact_uv: float,
    ) -> list[DetectedSpike]:
        """Take the next block, shape (n_block, n_channels); return spikes in order of time.

        A snippet that reaches `artefact_uv` in either direction is marked as a likely artefact.
        """
        window = np.concatenate([self._tail, high_uv])
        self._tail = window[-(N_SNIPPET + 1) :]
        downward = threshold_uv < 0
        beyond = np.where(downward, window <= threshold_uv, window >= threshold_uv)
        crossed = beyond[1 : self._n_block + 1] & ~beyond[: self._n_block] & is_searched
        found: list[DetectedSpike] = []
        for row, channel in np.argwhere(crossed):
            at = int(row) + 1
            sample = first_sample + at - (N_SNIPPET + 1)
            if sample < self._free_from[channel] or sample < 0:
                continue
            self._free_from[channel] = sample + N_SNIPPET
            peak_uv = float(np.abs(window[at : at + N_SNIPPET, channel]).max())
            spike_id = ID_LIKELY_ARTEFACT if peak_uv >= artefact_uv else ID_UNCLASSIFIED
            found.append(DetectedSpike(sample, int(channel), spike_id))
        return found
