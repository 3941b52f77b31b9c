"""The thread that reads an amplifier: blocks in, spikes and our own stimuli out.

Detection runs in here, since it takes a small part of a block's time. What this thread hands on is
prebuilt; nothing it calls may wait.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from app.core.clock import ClockNs
from app.core.detector import Detector
from app.core.detector_results import DetectedSpikeRecords, DetectorStatus
from app.core.sample_clock import ClockMapping, SampleClock
from app.core.signal_view import EnvelopeRing, SpikeDetails, ThresholdChange
from app.core.spikes import SPIKE_RECORD, EventKind, SpikeBatch, SpikeRecords
from app.core.worker import OnFailure, Worker
from drivers.mea.protocol import MeaAmplifier, SampleBlock

NO_DATA_S = 1.0
"""An amplifier that delivers nothing for so long is a fault, whatever its clock says."""
STATUS_EVERY_S = 0.1
"""How often the detector's state is copied for whoever shows it."""
N_RECENT_STIMULI = 64
"""Remembered per neuron: more than can lie in the hold-back of detection."""


class AmplifierSilentError(Exception):
    """The amplifier stopped delivering samples."""


@dataclass(frozen=True, slots=True)
class ElectrodeUse:
    """What the channels of an amplifier stand for."""

    neuron_of_channel: Mapping[int, int]
    """Channel index to the neuron whose spikes are taken from it."""
    post_of_channel: Mapping[int, int]
    """Stimulated channel index to the post neuron whose pattern uses it."""
    stimulated_window_s: float


@dataclass(frozen=True, slots=True)
class AcquisitionStatus:
    """What the amplifier has delivered so far."""

    n_samples: int = 0
    n_lost: int = 0
    n_gaps: int = 0
    n_spikes: int = 0
    n_stimuli: int = 0
    last_block_ns: int = 0


def _nobody(_spikes: DetectedSpikeRecords) -> None:
    """Show spikes to nobody."""


class Acquisition(Worker):
    """Reads blocks, detects, names the neurons, and hands on.

    `on_block(block)`, `on_batch(batch)`, `on_gap(first_sample, n_lost)`, `on_mapping(mapping)`,
    `on_detected(spikes)` and `on_details(details)`, which see every channel's, are called from this
    thread and must not wait.
    """

    def __init__(
        self,
        amplifier: MeaAmplifier,
        detector: Detector,
        use: ElectrodeUse,
        *,
        stream: int,
        on_block: Callable[[SampleBlock], None],
        on_batch: Callable[[SpikeBatch], None],
        on_gap: Callable[[int, int], None],
        on_mapping: Callable[[ClockMapping], None],
        on_detected: Callable[[DetectedSpikeRecords], None] = _nobody,
        clock_ns: ClockNs,
        on_failure: OnFailure,
        on_details: Callable[[SpikeDetails], None] = lambda _: None,
    ) -> None:
        super().__init__(f"acquisition {amplifier.name}", on_failure)
        self._amplifier = amplifier
        self._detector = detector
        self._use = use
        self._stream = stream
        self._on_block = on_block
        self._on_batch = on_batch
        self._on_gap = on_gap
        self._on_mapping = on_mapping
        self._on_detected = on_detected
        self._on_details = on_details
        self._clock_ns = clock_ns
        self._suspending = threading.Lock()
        self._is_suspended = threading.Event()
        self._wants_restart = threading.Event()
        self._is_held = False
        self._is_idle = threading.Event()
        """This thread has seen that it is suspended, and is not with the amplifier."""
        self._last_data_ns = 0
        self._sample_clock = SampleClock(amplifier.stream_format.sample_rate_hz)
        self._stimuli: deque[tuple[int, int]] = deque()
        self._recent_stimuli: dict[int, deque[int]] = {}
        self._status = AcquisitionStatus()
        self._new_thresholds: deque[ThresholdChange] = deque()
        self._detector_status = detector.status()
        self._detector_status_ns = 0
        window_s = use.stimulated_window_s
        self._window_samples = round(window_s * amplifier.stream_format.sample_rate_hz)

    @property
    def status(self) -> AcquisitionStatus:
        """Get a snapshot; any thread may."""
        return self._status

    @property
    def is_suspended(self) -> bool:
        """Say whether no samples are expected. Any thread."""
        return self._is_suspended.is_set()

    @property
    def envelopes(self) -> EnvelopeRing:
        """Get the display columns; any thread may take from them."""
        return self._detector.envelopes

    @property
    def detector_status(self) -> DetectorStatus:
        """Get thresholds, noise and states per channel, at most 0.1 s old; any thread may."""
        return self._detector_status

    def request_threshold(self, change: ThresholdChange) -> None:
        """Use another threshold from the next block on; any thread may.

        Raises
        ------
        ValueError
            A channel is not in the stream.
        """
        self._detector.check_threshold(change)
        self._new_thresholds.append(change)

    def suspend(self) -> None:
        """Expect no samples until `request_restart`: the amplifier has been made safe."""
        with self._suspending:
            self._wants_restart.clear()
            self._is_suspended.set()

    def request_restart(self) -> None:
        """Start the amplifier again after it was made safe; the samples between are a gap."""
        self._wants_restart.set()

    def hold(self, timeout_s: float) -> bool:
        """Leave the amplifier to the caller until `let_go`; return whether this thread has.

        The samples between are a gap. A restart that is asked for meanwhile waits.
        """
        with self._suspending:
            self._is_held = True
            self._is_suspended.set()
        return self._is_idle.wait(timeout_s)

    def let_go(self, *, restarts: bool) -> None:
        """Take the amplifier back; start it if `restarts`, or if somebody asked meanwhile."""
        with self._suspending:
            self._is_held = False
            if restarts:
                self._wants_restart.set()

    def prepare(self) -> None:
        """Start the amplifier."""
        self._amplifier.start()
        self._last_data_ns = self._clock_ns()

    def step(self) -> None:
        """Take one block through detection."""
        if self._takes_restart():
            self._restart()
        if self._is_suspended.is_set():
            self._is_idle.set()
            self.stop_requested.wait(0.05)
            return
        block = self._amplifier.read_block(timeout_s=0.1)
        if block is None:
            silent_s = (self._clock_ns() - self._last_data_ns) / 1e9
            if silent_s > NO_DATA_S:
                raise AmplifierSilentError(
                    f"amplifier {self._amplifier.name}: no samples for {silent_s:.1f} s; "
                    "check the instrument and its program, then start again"
                )
            return
        self._last_data_ns = self._clock_ns()
        self._on_block(block)
        self._take(block)

    def _takes_restart(self) -> bool:
        """Say whether to start again, and count as not suspended from before the start on."""
        with self._suspending:
            is_wanted = self._wants_restart.is_set() and not self._is_held
            if is_wanted:
                self._wants_restart.clear()
                self._is_suspended.clear()
                self._is_idle.clear()
        return is_wanted

    def _restart(self) -> None:
        """Start the amplifier; a stop that comes meanwhile stands."""
        self._amplifier.start()
        if self._is_suspended.is_set():
            self._amplifier.stop()
        self._last_data_ns = self._clock_ns()

    def finish(self) -> None:
        """Leave the amplifier stopped."""
        self._amplifier.stop()

    def _take(self, block: SampleBlock) -> None:
        if block.n_lost:
            self._on_gap(block.first_sample, block.n_lost)
            if block.n_lost < 0:
                self._sample_clock.restart()
        mapping = self._sample_clock.observe(block.end_sample, block.received_ns)
        if mapping is not None:
            self._on_mapping(mapping)
        while self._new_thresholds:
            self._detector.set_threshold(self._new_thresholds.popleft())
            self._detector_status_ns = 0
        found = self._detector.process(block)
        self._on_detected(found.spikes)
        if len(found.details.records):
            self._on_details(found.details)
        for mark in block.stimuli:
            post = self._use.post_of_channel.get(mark.channel)
            if post is not None:
                self._note_stimulus(mark.sample_index, post)
        self._update_status(block, len(found.spikes))
        if self._last_data_ns - self._detector_status_ns > STATUS_EVERY_S * 1e9:
            self._detector_status = self._detector.status()
            self._detector_status_ns = self._last_data_ns
        if self._sample_clock.mapping is not None:
            self._on_batch(self._batch(found.spikes, found.end_sample))

    def _note_stimulus(self, sample_index: int, post: int) -> None:
        """One pattern starts on several channels at once: that is one delivered PSP."""
        recent = self._recent_stimuli.setdefault(post, deque(maxlen=N_RECENT_STIMULI))
        if recent and sample_index - recent[-1] <= 2:
            return
        recent.append(sample_index)
        self._stimuli.append((sample_index, post))

    def _batch(self, spikes: SpikeRecords, end_sample: int) -> SpikeBatch:
        """Put spikes and delivered PSPs up to `end_sample` into one batch, in order."""
        rows = []
        while self._stimuli and self._stimuli[0][0] < end_sample:
            sample_index, post = self._stimuli.popleft()
            rows.append((sample_index, post, np.nan, EventKind.PSP_DELIVERED, 0))
        for spike in spikes:
            neuron = self._use.neuron_of_channel.get(int(spike["channel"]))
            if neuron is None:
                continue
            index = int(spike["sample_index"])
            kind = self._kind(neuron, index)
            rows.append((index, neuron, float(spike["amplitude_uv"]), kind, int(spike["flags"])))
        rows.sort(key=lambda row: (row[0], row[3]))
        records = np.zeros(len(rows), SPIKE_RECORD)
        made_ns = self._clock_ns()
        for record, (index, neuron, amplitude_uv, kind, flags) in zip(records, rows, strict=True):
            time_ns = self._sample_clock.time_ns(index)
            record["time_ns"] = time_ns
            record["sample_index"] = index
            record["neuron"] = neuron
            record["amplitude_uv"] = amplitude_uv
            record["age_bound_us"] = max(0, made_ns - time_ns) // 1000 + 1
            record["kind"] = kind
            record["flags"] = flags
        complete_ns = self._sample_clock.time_ns(end_sample)
        return SpikeBatch(self._stream, records, complete_ns, made_ns)

    def _kind(self, neuron: int, sample_index: int) -> EventKind:
        recent = self._recent_stimuli.get(neuron, ())
        if any(0 <= sample_index - start <= self._window_samples for start in recent):
            return EventKind.STIMULATED_SPIKE
        return EventKind.SPONTANEOUS_SPIKE

    def _update_status(self, block: SampleBlock, n_spikes: int) -> None:
        old = self._status
        self._status = AcquisitionStatus(
            n_samples=old.n_samples + len(block.samples),
            n_lost=old.n_lost + max(0, block.n_lost),
            n_gaps=old.n_gaps + (block.n_lost != 0),
            n_spikes=old.n_spikes + n_spikes,
            n_stimuli=old.n_stimuli + len(block.stimuli),
            last_block_ns=block.received_ns,
        )
