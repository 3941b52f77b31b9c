"""What an engine shows its consoles while it runs, as plain arrays: the types of the live feed.

An engine sends these about 30 times a second; a console may lose any of them without harm to the
engine and is told what it lost. Everything is of one site. All `time_ns` are that site's
CLOCK_MONOTONIC, so that samples, events of remote neurons and gaps share one axis.
"""

import enum
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FEED_SPIKE = np.dtype(
    [
        ("time_ns", "<i8"),
        ("sample_index", "<i8"),
        ("amplitude_uv", "<f4"),
        ("channel", "<u2"),
        ("flags", "u1"),  # `app.core.detector.DetectionFlag`
        ("reserved", "u1"),
    ]
)
"""One detected spike of the amplifier, on any channel, named or not."""

NEURON_EVENT = np.dtype(
    [
        ("time_ns", "<i8"),
        ("neuron", "<u4"),
        ("site", "u1"),  # index into `FeedFormat.sites`
        ("kind", "u1"),  # `app.core.spikes.EventKind`
        ("flags", "<u2"),  # 1: sent again or late, so it moved nothing
    ]
)
"""One event of a named neuron of the experiment, here or at another site."""

FEED_SNIPPET = np.dtype([("time_ns", "<i8"), ("sample_index", "<i8"), ("channel", "<u2")])
"""What a snippet belongs to; `sample_index` is the spike's."""


class SpanKind(enum.IntEnum):
    """Why a stretch of time is shaded."""

    GAP = 0
    """Samples or events are declared missing: nothing is known there."""
    STIMULUS = 1
    """Our own stimulation, as the amplifier's stream shows it, with its blanking."""
    ARTEFACT = 2
    """Blanked for another reason: saturation, or a crossing on most channels at once."""


class ChannelCondition(enum.IntEnum):
    """What detection makes of a channel."""

    UNKNOWN = 0
    SETTLING = 1
    """No noise estimate yet, so no spikes."""
    GOOD = 2
    DEAD = 3
    SUSPENDED = 4
    """It fired more than a neuron can, and waits."""
    EXCLUDED = 5


@dataclass(frozen=True, slots=True, eq=False)
class FeedFormat:
    """What the numbers of a feed mean. Sent first, and again after every change."""

    site: str
    channel_names: tuple[str, ...]
    """Empty: this site has no amplifier."""
    sample_rate_hz: float
    microvolts_per_count: float
    samples_per_column: int
    position_um: npt.NDArray[np.float32]
    """`(n_channels, 2)`, x to the right and y up; nan where the map does not say."""
    sites: tuple[str, ...]
    """All sites of the experiment; `site` is among them."""
    neurons: tuple[tuple[int, str, str], ...]
    """(neuron, site, name) of every neuron of the experiment, in order of the id."""

    @property
    def n_channels(self) -> int:
        """Get the number of channels."""
        return len(self.channel_names)

    @property
    def column_s(self) -> float:
        """Get the length of one column in seconds."""
        return self.samples_per_column / self.sample_rate_hz


@dataclass(frozen=True, slots=True, eq=False)
class EnvelopeBatch:
    """Smallest and largest sample of each channel in consecutive, gapless columns of time.

    `low` and `high` are int16 counts, `(n_columns, n_channels)`, perhaps strided views. A batch
    whose `first_sample` is not where the last one ended follows a gap, or columns that this
    console lost.
    """

    first_sample: int
    time_ns: int
    """Of `first_sample`."""
    samples_per_column: int
    is_filtered: bool
    low: npt.NDArray[np.int16]
    high: npt.NDArray[np.int16]

    @property
    def end_sample(self) -> int:
        """Get the index of the sample after the last column."""
        return self.first_sample + len(self.low) * self.samples_per_column


@dataclass(frozen=True, slots=True, eq=False)
class SpikeMarks:
    """Detected spikes: a one-dimensional array of `FEED_SPIKE`, in order of time."""

    records: npt.NDArray[np.void]


@dataclass(frozen=True, slots=True, eq=False)
class NeuronEvents:
    """Events of named neurons: a one-dimensional array of `NEURON_EVENT`, nearly in order."""

    records: npt.NDArray[np.void]


@dataclass(frozen=True, slots=True, eq=False)
class Snippets:
    """Filtered samples around spikes.

    `records` are `FEED_SNIPPET`; `samples_uv` is float32, `(n_snippets, n_samples)`, with the
    spike's own sample at column `n_before`.
    """

    records: npt.NDArray[np.void]
    samples_uv: npt.NDArray[np.float32]
    n_before: int


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time to be shaded."""

    kind: SpanKind
    from_ns: int
    to_ns: int
    channel: int = -1
    """-1: every channel."""
    site: str = ""
    """Whose events are missing; empty: of this site's amplifier."""
    text: str = ""
    """What happened, in a few words."""


@dataclass(frozen=True, slots=True, eq=False)
class ChannelStates:
    """Detection per channel, about once a second; float32 arrays of `(n_channels,)`."""

    threshold_uv: npt.NDArray[np.float32]
    """Magnitude; nan: not known yet."""
    sigma_uv: npt.NDArray[np.float32]
    rate_hz: npt.NDArray[np.float32]
    condition: npt.NDArray[np.uint8]
    """`ChannelCondition`."""


@dataclass(frozen=True, slots=True)
class Missed:
    """What this console was not sent because it did not keep up; the engine lost none of it."""

    n_columns: int = 0
    n_spikes: int = 0
    n_events: int = 0
    n_snippets: int = 0
    n_log_lines: int = 0


FeedItem = (
    FeedFormat
    | EnvelopeBatch
    | SpikeMarks
    | NeuronEvents
    | Snippets
    | Span
    | ChannelStates
    | Missed
)
"""Everything that a feed carries besides status and log lines."""
