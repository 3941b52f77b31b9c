"""Spikes and PSPs as they travel: inside an engine, on the wire and in the record.

One layout serves all three, so a batch is never converted on its way: 32 bytes a spike, 40 a PSP,
little-endian.
"""

import enum
import struct
from collections.abc import Iterable

import msgspec
import numpy as np
import numpy.typing as npt

SPIKE_RECORD = np.dtype(
    [
        ("time_ns", "<i8"),  # firing time, clock of the neuron's own site
        ("sample_index", "<i8"),  # -1: the source has no samples
        ("neuron", "<u4"),
        ("amplitude_uv", "<f4"),  # nan: the source has no amplitude
        ("age_bound_us", "<u4"),  # upper bound of its age when the batch was made
        ("kind", "u1"),
        ("flags", "u1"),  # `detector_results.DetectionFlag`
        ("reserved", "<u2"),
    ]
)
PSP_RECORD = np.dtype(
    [
        ("pre_time_ns", "<i8"),  # clock of the pre neuron's site
        ("cause", "<u8"),  # frame seq (high 48 bits) and index (low 16) of the pre spike
        ("synapse", "<u4"),
        ("post", "<u4"),
        ("weight", "<f4"),  # 0 to 1
        ("age_bound_us", "<u4"),  # of the pre spike, when this batch was made
        ("pre_site", "<u2"),
        ("kind", "u1"),
        ("flags", "u1"),
        ("reserved", "<u4"),
    ]
)

# The same, field by field, for plain Python: for a few records it is much sooner done than NumPy.
SPIKE_STRUCT = struct.Struct("<qqIfIBBH")
PSP_STRUCT = struct.Struct("<qQIIfIHBBI")

SpikeRecords = npt.NDArray[np.void]
"""A one-dimensional array of `SPIKE_RECORD`."""
PspRecords = npt.NDArray[np.void]
"""A one-dimensional array of `PSP_RECORD`."""


FEW_RECORDS = 8
"""Up to so many records plain Python has judged before NumPy begins."""


class EventKind(enum.IntEnum):
    """What an event of a biological neuron was (the kinds of 2020); a chip's are SPONTANEOUS."""

    PSP_DELIVERED = 0
    """Our stimulus was seen in the amplifier's own stimulation column."""
    STIMULATED_SPIKE = 1
    """A spike within the window after a stimulus."""
    SPONTANEOUS_SPIKE = 2


class Provenance(enum.StrEnum):
    """Where a stream's events come from. A live stimulator refuses all but the live ones."""

    LIVE = "live"
    MOCK = "mock"
    PLAYBACK = "playback"


class SpikeBatch(msgspec.Struct, frozen=True, eq=False):
    """Events of one stream of one site, in order of time.

    `complete_until_ns` promises that no event before that time will follow: an empty batch says
    "nothing happened", which is not the same as silence. `made_ns` is the host time at which the
    batch was made; ages count from there.
    """

    stream: int
    records: SpikeRecords
    complete_until_ns: int
    made_ns: int


class NeuronSet:
    """A fixed set of neurons, held against many batches."""

    def __init__(self, neurons: Iterable[int]) -> None:
        self._neurons = frozenset(neurons)

    def __contains__(self, neuron: int) -> bool:
        return neuron in self._neurons

    def only(self, records: SpikeRecords) -> SpikeRecords:
        """Return the events of these neurons; the same array if that is all of them.

        Live batches hold an event, a few or some hundred: there a set is several times faster than
        `np.isin`, which would stand between a spike and its stimulus.
        """
        neurons = records["neuron"].tolist()
        if self._neurons.issuperset(neurons):
            return records
        return records[[neuron in self._neurons for neuron in neurons]]
