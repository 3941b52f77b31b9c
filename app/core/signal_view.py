"""What a console may see of a stream: envelopes, snippets, and the thresholds it may move.

The acquisition thread writes, other threads read copies, and neither waits for the other. A reader
that comes too late is told how many columns it missed.
"""

import enum
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

SPIKE_DETAIL: Final = np.dtype(
    [
        ("spike_id", "<i8"),  # counts the spikes of a stream from 0, in the order they were sent
        ("sample_index", "<i8"),  # of the crossing
        ("trough_index", "<i8"),  # of the extremum
        ("amplitude_uv", "<f4"),  # of the extremum, signed
        ("threshold_uv", "<f4"),  # that was crossed, signed
        ("sigma_uv", "<f4"),  # of the channel's noise at that time
        ("channel", "<u2"),
        ("flags", "u1"),  # detector.DetectionFlag
        ("reserved", "u1"),
    ]
)
"""40 bytes, little-endian."""


class ColumnMark(enum.IntFlag):
    """Why an envelope column of one channel is not plain signal."""

    BLANKED = 1
    """Withheld from the search for spikes, at least in part."""
    SATURATED = 2
    """A sample was at the amplifier's rail."""
    SUSPENDED = 4
    """The channel fired faster than the cap and is not listened to."""
    AFTER_GAP = 8
    """Samples are missing before this column."""


@dataclass(frozen=True, slots=True, eq=False)
class EnvelopeColumns:
    """Lowest and highest value per channel of short stretches of the stream, oldest first.

    Values are int16 counts of `microvolts_per_count`, held at the ends of that range. The arrays
    are the caller's own. Columns end where `sample_index` is a multiple of `n_samples_per_column`,
    so they do not depend on the cutting into blocks; one that is broken off by a gap is shorter.
    """

    n_samples_per_column: int
    microvolts_per_count: float
    first_column: int
    """Counts the columns of a stream from 0; ask for `next_column` next time."""
    n_missed: int
    """Columns that were asked for and had been overwritten."""
    first_sample: npt.NDArray[np.int64]
    """`(n_columns,)`: index of each column's first sample."""
    n_samples: npt.NDArray[np.int64]
    """`(n_columns,)`: how many samples each column holds."""
    lowest: npt.NDArray[np.int16]
    """`(n_columns, n_channels)`, filtered."""
    highest: npt.NDArray[np.int16]
    raw_lowest: npt.NDArray[np.int16]
    """`(n_columns, n_channels)`, as it came from the amplifier."""
    raw_highest: npt.NDArray[np.int16]
    marks: npt.NDArray[np.uint8]
    """`(n_columns, n_channels)` of `ColumnMark`."""

    @property
    def next_column(self) -> int:
        """Get the number of the column after the last one."""
        return self.first_column + len(self.first_sample)


@dataclass(frozen=True, slots=True, eq=False)
class SpikeDetails:
    """What is known of spikes once their troughs have passed; the events themselves went before.

    `snippets_uv` is `(n_spikes, n_samples)`, filtered, with the trough at column `n_before`.
    Samples that do not exist (before the stream began, beyond a gap) are nan.
    """

    records: npt.NDArray[np.void]
    """`(n_spikes,)` of `SPIKE_DETAIL`, by time of crossing."""
    snippets_uv: npt.NDArray[np.float32]
    n_before: int


@dataclass(frozen=True, slots=True)
class ThresholdChange:
    """An operator's new threshold: a multiple of the noise, or a fixed magnitude in microvolts.

    Raises
    ------
    ValueError
        Neither or both are given, or the value is not above 0 and finite.
    """

    channels: tuple[str, ...] | None
    """Names of amplifier channels; None: all."""
    threshold_sigma: float | None = None
    threshold_uv: float | None = None

    def __post_init__(self) -> None:
        if (self.threshold_sigma is None) == (self.threshold_uv is None):
            raise ValueError("threshold: give either threshold_sigma or threshold_uv")
        is_fixed = self.threshold_uv is not None
        value = self.threshold_uv if is_fixed else self.threshold_sigma
        if value is None or not (0 < value < math.inf):
            raise ValueError(
                f"threshold: {value} {'uV' if is_fixed else 'sigma'}, must be a magnitude above 0 "
                "and finite; polarity says which side"
            )


class EnvelopeRing:
    """The newest envelope columns of one stream. One thread writes; any thread may `take`.

    The arrays are written in place by the detection kernel, row `column % n_columns`, and counted
    afterwards by `publish`. A reader copies first and looks then whether it was overtaken.
    """

    def __init__(
        self,
        n_channels: int,
        n_samples_per_column: int,
        n_columns: int,
        microvolts_per_count: float,
    ) -> None:
        """Reserve room for `n_columns`; half of them may be in the making at any time."""
        self.values = np.zeros((n_columns, 4, n_channels), np.int16)
        """Lowest, highest, raw lowest and raw highest; for the writer."""
        self.marks = np.zeros((n_columns, n_channels), np.uint8)
        self.extents = np.zeros((n_columns, 2), np.int64)
        """First sample and number of samples."""
        self.n_samples_per_column = n_samples_per_column
        self.microvolts_per_count = microvolts_per_count
        self._n_columns = n_columns
        self._n_readable = n_columns // 2
        self._n_published = 0

    @property
    def n_published(self) -> int:
        """Get how many columns there have been."""
        return self._n_published

    def publish(self, n_columns: int) -> None:
        """Say that the first `n_columns` of the stream are written; at most half a ring at once."""
        self._n_published = n_columns

    def take(self, from_column: int) -> EnvelopeColumns:
        """Return copies of the columns from `from_column` on, or of what is left of them.

        A reader begins with `n_published`, and goes on with each answer's `next_column`.
        """
        end = self._n_published
        first = min(max(from_column, self.oldest), end)
        rows = np.arange(first, end) % self._n_columns
        values, marks, extents = self.values[rows], self.marks[rows], self.extents[rows]
        n_overtaken = min(max(0, self.oldest - first), end - first)
        first += n_overtaken
        return EnvelopeColumns(
            n_samples_per_column=self.n_samples_per_column,
            microvolts_per_count=self.microvolts_per_count,
            first_column=first,
            n_missed=max(0, first - from_column),
            first_sample=extents[n_overtaken:, 0],
            n_samples=extents[n_overtaken:, 1],
            lowest=values[n_overtaken:, 0],
            highest=values[n_overtaken:, 1],
            raw_lowest=values[n_overtaken:, 2],
            raw_highest=values[n_overtaken:, 3],
            marks=marks[n_overtaken:],
        )

    @property
    def oldest(self) -> int:
        """Get the oldest column that the writer cannot be overwriting just now."""
        return max(0, self._n_published - self._n_readable)

    @property
    def n_readable(self) -> int:
        """Get how many columns can be read at most."""
        return self._n_readable
