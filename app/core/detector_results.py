"""What the detector says: per block, and about itself."""

import enum
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from app.core.signal_view import SpikeDetails

DetectedSpikeRecords = npt.NDArray[np.void]
"""A one-dimensional array of `detection_layout.DETECTED_SPIKE`: spike_id, sample_index (i8, the
crossing), channel (u2), flags (u1), trough_offset (u1, samples), amplitude_uv, threshold_uv,
sigma_uv (f4). Amplitude and trough are as known when the event left; `SpikeDetails` has the final
ones under the same id."""


class DetectionFlag(enum.IntFlag):
    """What is to be known about a detected spike."""

    ARTEFACT = 1
    """It crossed together with too many other channels: for the record, not for the network."""
    TRUNCATED = 2
    """A blanking or a gap ended the trough search early."""


class DetectedSpikes(msgspec.Struct, frozen=True, eq=False):
    """What one block added. Spikes are in order of sample index, then of channel."""

    spikes: DetectedSpikeRecords
    end_sample: int
    """No event with a crossing before this index will follow."""
    n_vetoed: int
    """How many of `spikes` carry the ARTEFACT flag."""
    n_blanked: int
    """Samples of single channels withheld from the search by blanking."""
    details: SpikeDetails
    """Of spikes that were sent some milliseconds ago, and have passed by now; given in batches."""
    has_gap: bool = False
    """Samples are missing before this block, or its counter restarted."""
    n_before_gap: int = 0
    """How many of `spikes` are from before that gap. After a restart of the counter the order of
    sample indices holds on either side only."""


@dataclass(frozen=True, slots=True, eq=False)
class DetectorStatus:
    """A copy of the detector's state; arrays are `(n_channels,)`."""

    is_settled: bool
    n_samples: int
    n_gaps: int
    n_lost: int
    """Missing samples, where their number is known."""
    n_stray_marks: int
    """Stimulus marks that did not lie in their block."""
    n_vetoed: int
    sigma_uv: npt.NDArray[np.float32]
    """nan before the first estimate and on bad channels."""
    threshold_uv: npt.NDArray[np.float32]
    """Magnitude; infinite before the first estimate and on bad channels."""
    threshold_sigma: npt.NDArray[np.float32]
    """Multiple of the noise; nan where the threshold is fixed."""
    is_bad: npt.NDArray[np.bool_]
    """Excluded by the operator."""
    is_dead: npt.NDArray[np.bool_]
    """Noise below the floor: probably not connected."""
    is_pegged: npt.NDArray[np.bool_]
    is_blanked: npt.NDArray[np.bool_]
    is_suspended: npt.NDArray[np.bool_]
    n_events: npt.NDArray[np.int64]
    n_blanked: npt.NDArray[np.int64]
    n_suspensions: npt.NDArray[np.int64]
