"""The thread that reads an amplifier: blocks in, spikes and our own stimuli out.

Detection runs in here, since it takes a small part of a block's time. What this thread hands on is
prebuilt; nothing it calls may wait.
"""

import threading
from collections import deque
from collections.abc import Callable

import msgspec

from app.core.batch_maker import BatchMaker, ElectrodeUse
from app.core.clock import ClockNs
from app.core.detector import Detector
from app.core.detector_results import DetectedSpikeRecords, DetectorStatus
from app.core.sample_clock import ClockMapping, SampleClock
from app.core.signal_view import EnvelopeRing, SpikeDetails, ThresholdChange
from app.core.spikes import SpikeBatch
from app.core.worker import OnFailure, Worker
from drivers.mea.protocol import MeaAmplifier, SampleBlock

NO_DATA_S = 1.0
"""An amplifier that delivers nothing for so long is a fault, whatever its clock says."""
STATUS_EVERY_S = 0.1
"""How often the detector's state is copied for whoever shows it."""


class AmplifierSilentError(Exception):
    """The amplifier stopped delivering samples."""


class ChannelCounts(msgspec.Struct, frozen=True):
    """How many channels are not heard just now, and what was set aside."""

    n_dead: int = 0
    """Noise below the floor."""
    n_saturated: int = 0
    n_suspended: int = 0
    """Run away: more events than `max_rate_hz`."""
    n_vetoed: int = 0
    """Events since the start that came on too many channels at once."""


class AcquisitionStatus(msgspec.Struct, frozen=True):
    """What the amplifier has delivered so far."""

    n_samples: int = 0
    n_lost: int = 0
    n_gaps: int = 0
    n_spikes: int = 0
    n_stimuli: int = 0
    last_block_ns: int = 0
    channels: ChannelCounts = ChannelCounts()


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
        self._stays_stopped = False
        """It was made safe, so that whoever holds it does not start it again."""
        self._is_idle = threading.Event()
        """This thread has seen that it is suspended, and is not with the amplifier."""
        self._last_data_ns = 0
        self._sample_clock = SampleClock(amplifier.stream_format.sample_rate_hz)
        self._batches = BatchMaker(use, stream, self._sample_clock, clock_ns)
        self._status = AcquisitionStatus()
        self._new_thresholds: deque[ThresholdChange] = deque()
        self._detector_status = detector.status()
        self._detector_status_ns = 0

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
            self._stays_stopped = True
            self._is_suspended.set()

    def request_restart(self) -> None:
        """Start the amplifier again after it was made safe; the samples between are a gap."""
        with self._suspending:
            self._stays_stopped = False
            self._wants_restart.set()

    def hold(self, timeout_s: float) -> bool:
        """Leave the amplifier to the caller until `let_go`; return whether this thread has.

        The samples between are a gap. A restart that is asked for meanwhile waits.
        """
        with self._suspending:
            self._is_held = True
            self._is_suspended.set()
        return self._is_idle.wait(timeout_s)

    def let_go(self) -> None:
        """Take the amplifier back, and start it unless it was made safe meanwhile, or before."""
        with self._suspending:
            self._is_held = False
            if not self._stays_stopped:
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
        try:
            self._take(block)
        finally:
            self._on_block(block)  # what breaks detection is recorded as well

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
        """Detect; what others wait for goes first, then what is recorded and shown."""
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
        self._batches.note(block.stimuli)
        if self._sample_clock.mapping is not None:
            self._on_batch(self._batches.batch(found.spikes, found.end_sample))
        self._on_detected(found.spikes)
        if len(found.details.records):
            self._on_details(found.details)
        self._update_status(block, len(found.spikes))

    def _update_status(self, block: SampleBlock, n_spikes: int) -> None:
        old = self._status
        self._status = AcquisitionStatus(
            n_samples=old.n_samples + len(block.samples),
            n_lost=old.n_lost + max(0, block.n_lost),
            n_gaps=old.n_gaps + (block.n_lost != 0),
            n_spikes=old.n_spikes + n_spikes,
            n_stimuli=old.n_stimuli + len(block.stimuli),
            last_block_ns=block.received_ns,
            channels=old.channels,
        )
        if self._last_data_ns - self._detector_status_ns > STATUS_EVERY_S * 1e9:
            self._detector_status = self._detector.status()
            self._detector_status_ns = self._last_data_ns
            counts = _counted(self._detector_status)
            self._status = msgspec.structs.replace(self._status, channels=counts)


def _counted(status: DetectorStatus) -> ChannelCounts:
    return ChannelCounts(
        n_dead=int(status.is_dead.sum()),
        n_saturated=int(status.is_pegged.sum()),
        n_suspended=int(status.is_suspended.sum()),
        n_vetoed=status.n_vetoed,
    )
