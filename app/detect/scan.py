"""The live detector run over a recording as fast as the machine goes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.core.detector import Detector
from app.core.detector_results import DetectedSpikes, DetectionFlag, DetectorStatus
from drivers.mea.playback.recording import Recording
from drivers.mea.protocol import SampleBlock

CHUNK_S = 0.25
MAX_CHUNK_BYTES = 8_000_000
"""Read at once: enough that reading costs little, little enough to stay in memory."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Samples that the recording lacks before a row; -1: it does not say how many."""

    row: int
    n_lost: int


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What was found; sample indices of `spikes` are rows of the recording."""

    spikes: npt.NDArray[np.void]
    """`DetectedSpikeRecords`, in order of row, then of channel."""
    gaps: tuple[Gap, ...]
    status: DetectorStatus
    n_suspensions: npt.NDArray[np.int64]
    n_blanked: npt.NDArray[np.int64]
    """Samples of each channel that were not searched: a gap, saturation, numbers that are none."""

    @property
    def is_artefact(self) -> npt.NDArray[np.bool_]:
        """Get which spikes crossed together with too many channels to be spikes."""
        is_artefact: npt.NDArray[np.bool_] = (self.spikes["flags"] & DetectionFlag.ARTEFACT) != 0
        return is_artefact

    @property
    def trough_rows(self) -> npt.NDArray[np.int64]:
        """Get the row of each spike's extremum."""
        rows: npt.NDArray[np.int64] = self.spikes["sample_index"] + self.spikes["trough_offset"]
        return rows


def scan(
    recording: Recording,
    detector: Detector,
    on_progress: Callable[[int], None],
    *,
    is_cold_start: bool = False,
) -> Found:
    """Find the spikes of a whole recording; `on_progress(n_rows)` after each chunk.

    A live detector finds nothing before it knows the noise, in the first second. So the beginning
    is heard twice unless `is_cold_start`: once to learn the noise, once for its spikes.

    Raises
    ------
    InstrumentError
        The recording cannot be read to its end.
    """
    if not is_cold_start:
        _learn_noise(recording, detector)
    before = detector.status()
    spikes, details, gaps = [], [], []
    for block in blocks(recording):
        found = detector.process(block)
        is_first = block.first_sample == 0  # what came before it was only heard for its noise
        spikes.append(found.spikes[found.n_before_gap if is_first else 0 :])
        details.append(found.details.records)
        if block.n_lost and block.first_sample:
            gaps.append(Gap(block.first_sample, block.n_lost))
        on_progress(block.end_sample)
    last = _last_spikes(recording, detector)
    spikes.append(last.spikes[: last.n_before_gap])
    details.append(last.details.records)
    refined = _refined(np.concatenate(spikes), np.concatenate(details))
    status = detector.status()
    return Found(
        refined,
        tuple(gaps),
        status,
        status.n_suspensions - before.n_suspensions,
        status.n_blanked - before.n_blanked,
    )


def _refined(spikes: npt.NDArray[np.void], details: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Return the spikes with the troughs that were found after they had left."""
    spikes, details = spikes.copy(), details[np.isin(details["spike_id"], spikes["spike_id"])]
    spikes["trough_offset"] = details["trough_index"] - details["sample_index"]
    spikes["amplitude_uv"] = details["amplitude_uv"]
    spikes["flags"] = details["flags"]
    return spikes


def blocks(recording: Recording) -> Iterator[SampleBlock]:
    """Yield the recording cut into gapless blocks that count its rows, jumps told in `n_lost`."""
    stream = recording.stream_format
    n_chunk = max(1, round(CHUNK_S * stream.sample_rate_hz))
    n_chunk = max(1, min(n_chunk, MAX_CHUNK_BYTES // (2 * stream.n_channels)))
    ends = [*recording.starts[1:], len(recording.samples)]
    for start, end in zip(recording.starts, ends, strict=True):
        for row in range(start, end, n_chunk):
            samples = recording.samples[row : min(row + n_chunk, end)]
            n_lost = recording.n_lost_before(row) if row == start else 0
            yield SampleBlock(samples, row, n_lost, 0)


def _learn_noise(recording: Recording, detector: Detector) -> None:
    n_rows = round(2 * detector.settings.min_noise_s * recording.stream_format.sample_rate_hz)
    for block in blocks(recording):
        if block.first_sample >= n_rows:
            return
        detector.process(block)


def _last_spikes(recording: Recording, detector: Detector) -> DetectedSpikes:
    """Return what the detector still held back: a gap behind the end makes it decide."""
    end = len(recording.samples)
    nothing = np.zeros((1, recording.stream_format.n_channels), np.int16)
    return detector.process(SampleBlock(nothing, end, -1, 0))
