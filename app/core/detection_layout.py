"""How the detector's state lies in memory: what Python prepares and the compiled kernel changes."""

import struct
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

MAX_ROWS: Final = 1200
"""New samples per call of the kernel; whole milliseconds at all usual rates."""
LANES: Final = 16
"""Rows of per-channel numbers are so much longer than the number of channels: a stride of whole
pages would put all of them into the same few sets of the processor's cache."""

SETTINGS: Final = np.dtype(
    [
        ("n_before", "<i8"),  # times in samples
        ("n_after", "<i8"),
        ("n_after_stimulated", "<i8"),
        ("n_after_saturation", "<i8"),
        ("n_after_gap", "<i8"),
        ("n_quiet", "<i8"),
        ("n_settle_max", "<i8"),
        ("n_dead_time", "<i8"),
        ("n_trough", "<i8"),
        ("n_coincidence", "<i8"),
        ("n_delay", "<i8"),  # from the crossing to the event
        ("n_detail", "<i8"),  # from the crossing to its details
        ("n_snippet_before", "<i8"),
        ("n_decimation", "<i8"),  # samples per tick: one noise value per tick
        ("n_turns", "<i8"),  # ticks per refresh of the noise
        ("n_noise_min", "<i8"),  # ticks before the first estimate
        ("n_column", "<i8"),
        ("n_details_every", "<i8"),
        ("n_suspend", "<i8"),
        ("n_events_max", "<i4"),  # per refresh period; above, a channel is suspended
        ("n_events_burst", "<i4"),  # per refresh period; above, its noise is frozen
        ("n_frozen_max", "<i4"),  # refresh periods in a row
        ("n_channels_for_veto", "<i4"),
        ("coincidence_fraction", "<f8"),
        ("scale_uv", "<f4"),
        ("rail_counts", "<f4"),
        ("clamp_counts", "<f4"),
        ("noise_floor_uv", "<f4"),
        ("noise_smoothing", "<f4"),
        ("is_negative_searched", "u1"),
        ("is_positive_searched", "u1"),
        ("is_fused", "u1"),
        ("is_float", "u1"),
        ("has_reference", "u1"),
    ],
    align=True,
)
CURSOR: Final = np.dtype(
    [
        ("begin", "<i8"),  # sample index at which this gapless stretch began
        ("end", "<i8"),  # everything before has been filtered and searched
        ("n_pending", "<i8"),
        ("n_decided", "<i8"),  # of the pending ones: sent, and waiting for their details
        ("n_window", "<i8"),  # pending events looked at by the last coincidence window
        ("n_sent", "<i8"),  # in this call
        ("n_details", "<i8"),  # since the last batch of them
        ("n_details_due", "<i8"),  # a batch that the next call forgets
        ("details_from", "<i8"),  # sample index at which the last batch was given
        ("n_marks_used", "<i8"),  # in this call
        ("n_spikes", "<i8"),  # since the beginning; the next spike's id
        ("n_vetoed", "<i8"),
        ("n_blanked", "<i8"),  # samples of single channels
        ("n_columns", "<i8"),
        ("column_begin", "<i8"),
        ("touched", "<i2"),  # kept so that the fetching of rows is not optimised away
        ("n_live", "<i4"),  # channels that could report a crossing at the last tick
        ("n_unknown", "<i4"),  # enabled channels without a noise estimate
        ("n_resting", "<i4"),
        ("must_prime", "u1"),
        ("is_after_gap", "u1"),
    ],
    align=True,
)
CHANNEL: Final = np.dtype(
    [
        ("blank_until", "<i8"),
        ("calm_since", "<i8"),  # where its last blanking ended
        ("settle_until", "<i8"),  # a channel that does not calm down is let go here
        ("pegged_until", "<i8"),
        ("stimulated_until", "<i8"),
        ("dead_until", "<i8"),
        ("suspended_until", "<i8"),
        ("n_blanked", "<i8"),
        ("n_events", "<i8"),
        ("n_suspensions", "<i8"),
        ("n_quiet", "<i4"),
        ("n_in_period", "<i4"),  # events since the last refresh
        ("n_frozen", "<i4"),  # refresh periods in a row without a new estimate
        ("stage", "<i4"),  # of the first estimate; afterwards estimates so far
        ("sigma_uv", "<f4"),  # 0: no estimate yet
        ("pinned_uv", "<f4"),  # 0: the threshold follows the noise
        ("threshold_sigma", "<f4"),
        ("is_enabled", "u1"),
        ("is_quiet", "u1"),
        ("is_resting", "u1"),  # listed as dead or suspended
    ],
    align=True,
)
PENDING: Final = np.dtype(
    [
        ("spike_id", "<i8"),
        ("sample_index", "<i8"),
        ("withdrawn_at", "<i8"),  # when a blanking that reaches back to it became known
        ("trough_end", "<i8"),
        ("truncated_at", "<i8"),  # when the present `trough_end` became known
        ("channel", "<i4"),
        ("n_live", "<i4"),
        ("threshold_uv", "<f4"),  # signed: the one that was crossed
        ("sigma_uv", "<f4"),
        ("flags", "u1"),
    ],
    align=True,
)
DETECTED_SPIKE: Final = np.dtype(
    [
        ("spike_id", "<i8"),  # counts the spikes of a stream from 0
        ("sample_index", "<i8"),  # of the crossing: the first sample beyond the threshold
        ("channel", "<u2"),
        ("flags", "u1"),
        ("trough_offset", "u1"),  # samples from the crossing to the extremum so far
        ("amplitude_uv", "<f4"),  # of that extremum, signed
        ("threshold_uv", "<f4"),  # signed
        ("sigma_uv", "<f4"),
    ]
)
DETECTED_SPIKE_STRUCT: Final = struct.Struct("<qqHBBfff")
"""The same, field by field: of a few records plain Python has them sooner than NumPy."""

NEVER: Final = np.iinfo(np.int64).max
FLAG_ARTEFACT: Final = 1
FLAG_TRUNCATED: Final = 2
MARK_BLANKED: Final = 1
MARK_SATURATED: Final = 2
MARK_SUSPENDED: Final = 4
MARK_AFTER_GAP: Final = 8

# Rows of `KernelState.floats`; the first four are those of an envelope column.
LOWEST, HIGHEST, RAW_LOWEST, RAW_HIGHEST = 0, 1, 2, 3
MEDIAN = 4  # of the magnitude, as known so far
NEGATIVE_LIMIT, POSITIVE_LIMIT = 5, 6  # signed thresholds; infinite where nothing is searched
SCRATCH = 7
N_FLOATS = 8

# Rows of `KernelState.ints`.
WEIGHT = 0  # 1: the channel's next noise value counts
N_VALUES = 1  # noise values since the last estimate
N_BELOW = 2  # of these, below MEDIAN
IS_SETTLING = 3  # blanked, or not yet calm after it
IS_SUSPENDED = 4
IS_KNOWN = 5  # has a noise estimate
MARKS = 6  # of the envelope column in the making
RESTING = 7  # the first `n_resting` hold the numbers of channels that are dead or suspended
IS_HIT = 8  # something may have happened on the channel; 2 and more: at a rail
N_INTS = 9

N_QUANTILES = 1024


class KernelState(NamedTuple):
    """The arrays that one detector carries from call to call; all written in place."""

    settings: npt.NDArray[np.void]
    cursor: npt.NDArray[np.void]
    sections: npt.NDArray[np.float32]
    """`(n_sections, 3)`: gain, a1, a2; the numerator of each is gain * (1 - z^-2)."""
    delays: npt.NDArray[np.float32]
    """`(2 * n_sections, n_channels + LANES)`: the filter's memory."""
    floats: npt.NDArray[np.float32]
    """`(N_FLOATS, n_channels + LANES)`."""
    ints: npt.NDArray[np.int32]
    """`(N_INTS, n_channels + LANES)`."""
    channels: npt.NDArray[np.void]
    ring: npt.NDArray[np.float32]
    """`(a power of two, n_channels + LANES)`: filtered microvolts, row sample_index modulo rows."""
    pending: npt.NDArray[np.void]
    """By sample index, then channel; first those that were sent already."""
    sent: npt.NDArray[np.void]
    details: npt.NDArray[np.void]
    snippets: npt.NDArray[np.float32]
    quantiles: npt.NDArray[np.float32]
    """`(N_QUANTILES + 1,)`: value below which a share of Gaussian magnitudes lies, in sigma."""
    column_values: npt.NDArray[np.int16]
    """`(n_columns, 4, n_channels)`, counts."""
    column_marks: npt.NDArray[np.uint8]
    column_extents: npt.NDArray[np.int64]
    """`(n_columns, 2)`: first sample and number of samples."""
