"""Short pieces of signal around spikes, filtered as the detector filtered them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.core.filter_design import Sections
from drivers.mea.playback.recording import Recording

BEFORE_S = 0.001
AFTER_S = 0.002
SETTLE_S = 0.01
"""Signal that the filter hears before a snippet, to be at rest in it."""


@dataclass(frozen=True, slots=True, eq=False)
class Snippets:
    """Snippets of one channel: `(n_samples, n_snippets)` microvolts, their troughs at 0 ms."""

    channel: int
    time_ms: npt.NDArray[np.float64]
    signal_uv: npt.NDArray[np.float64]


def cut_snippets(
    recording: Recording, channel: int, rows: npt.NDArray[np.int64], sections: Sections
) -> Snippets:
    """Cut and filter the snippets around `rows`; those beyond an end or a gap are left out."""
    rate_hz = recording.stream_format.sample_rate_hz
    n_before, n_after = round(BEFORE_S * rate_hz), round(AFTER_S * rate_hz)
    n_settle = round(SETTLE_S * rate_hz)
    ends = np.array([*recording.starts[1:], len(recording.samples)])
    starts = np.array(recording.starts)
    cut = []
    for row in rows.tolist():
        first, stop = row - n_before - n_settle, row + n_after + 1
        stretch = int(np.searchsorted(starts, row, side="right")) - 1
        if starts[stretch] <= first and stop <= ends[stretch]:
            cut.append(recording.samples[first:stop][:, channel].astype(np.float64))
    time_ms = np.arange(-n_before, n_after + 1) / rate_hz * 1e3
    if not cut:
        return Snippets(channel, time_ms, np.empty((len(time_ms), 0)))
    signal_uv = np.stack(cut, axis=1) * recording.stream_format.microvolts_per_count
    return Snippets(channel, time_ms, filtered(signal_uv, sections)[n_settle:])


def filtered(signal: npt.NDArray[np.float64], sections: Sections) -> npt.NDArray[np.float64]:
    """Filter along axis 0, many columns at a time; transposed direct form II, at rest before."""
    signal = signal - signal[0]
    for b0, b1, b2, a1, a2 in sections:
        first = np.zeros(signal.shape[1])
        second = np.zeros(signal.shape[1])
        out = np.empty_like(signal)
        for at, x in enumerate(signal):
            y = b0 * x + first
            first = b1 * x - a1 * y + second
            second = b2 * x - a2 * y
            out[at] = y
        signal = out
    return signal
