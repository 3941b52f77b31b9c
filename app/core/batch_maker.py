"""From what detection found to events of neurons: named, timed, and of a kind."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.core.clock import ClockNs
from app.core.detection_layout import DETECTED_SPIKE_STRUCT
from app.core.detector_results import DetectedSpikeRecords
from app.core.sample_clock import SampleClock
from app.core.spikes import SPIKE_RECORD, EventKind, SpikeBatch
from drivers.mea.protocol import StimMark

N_RECENT_STIMULI = 64
"""Remembered per neuron: more than can lie in the hold-back of detection."""

Event = tuple[int, int, float, int, int]
"""Sample index, neuron, amplitude in microvolts, kind, flags."""


@dataclass(frozen=True, slots=True)
class ElectrodeUse:
    """What the channels of an amplifier stand for."""

    neuron_of_channel: Mapping[int, int]
    """Channel index to the neuron whose spikes are taken from it."""
    post_of_channel: Mapping[int, int]
    """Stimulated channel index to the post neuron whose pattern uses it."""
    stimulated_window_s: float


class BatchMaker:
    """Makes the batches of one stream. One thread calls it."""

    def __init__(
        self, use: ElectrodeUse, stream: int, sample_clock: SampleClock, clock_ns: ClockNs
    ) -> None:
        self._use = use
        self._stream = stream
        self._sample_clock = sample_clock
        self._clock_ns = clock_ns
        self._window_samples = round(use.stimulated_window_s * sample_clock.rate_hz)
        self._stimuli: deque[tuple[int, int]] = deque()
        self._recent_stimuli: dict[int, deque[int]] = {}

    def note(self, stimuli: Sequence[StimMark]) -> None:
        """Take the stimuli that a block shows, before its batch is made."""
        for mark in stimuli:
            post = self._use.post_of_channel.get(mark.channel)
            if post is not None:
                self._note_stimulus(mark.sample_index, post)

    def _note_stimulus(self, sample_index: int, post: int) -> None:
        """One pattern starts on several channels at once: that is one delivered PSP."""
        recent = self._recent_stimuli.setdefault(post, deque(maxlen=N_RECENT_STIMULI))
        if recent and sample_index - recent[-1] <= 2:
            return
        recent.append(sample_index)
        self._stimuli.append((sample_index, post))

    def batch(self, spikes: DetectedSpikeRecords, end_sample: int) -> SpikeBatch:
        """Put spikes and delivered PSPs up to `end_sample` into one batch, in order."""
        events = self._delivered(end_sample)
        if len(spikes):
            events += self._spikes(spikes)
            events.sort(key=_order)
        time_ns, made_ns = self._sample_clock.time_ns, self._clock_ns()
        rows = []
        for index, neuron, amplitude_uv, kind, flags in events:
            at_ns = time_ns(index)
            age_bound_us = max(0, made_ns - at_ns) // 1000 + 1
            rows.append((at_ns, index, neuron, amplitude_uv, age_bound_us, kind, flags, 0))
        # From tuples at once: NumPy takes longer to fill single fields of single records.
        records = np.array(rows, SPIKE_RECORD)
        return SpikeBatch(self._stream, records, time_ns(end_sample), made_ns)

    def _delivered(self, end_sample: int) -> list[Event]:
        events: list[Event] = []
        while self._stimuli and self._stimuli[0][0] < end_sample:
            index, post = self._stimuli.popleft()
            events.append((index, post, np.nan, EventKind.PSP_DELIVERED, 0))
        return events

    def _spikes(self, spikes: DetectedSpikeRecords) -> list[Event]:
        neuron_of_channel = self._use.neuron_of_channel
        events: list[Event] = []
        for _, index, channel, flags, _, amplitude_uv, _, _ in DETECTED_SPIKE_STRUCT.iter_unpack(
            spikes.tobytes()
        ):
            neuron = neuron_of_channel.get(channel)
            if neuron is not None:
                events.append((index, neuron, amplitude_uv, self._kind(neuron, index), flags))
        return events

    def _kind(self, neuron: int, sample_index: int) -> EventKind:
        recent = self._recent_stimuli.get(neuron, ())
        if any(0 <= sample_index - start <= self._window_samples for start in recent):
            return EventKind.STIMULATED_SPIKE
        return EventKind.SPONTANEOUS_SPIKE


def _order(event: Event) -> tuple[int, int]:
    return event[0], event[3]
