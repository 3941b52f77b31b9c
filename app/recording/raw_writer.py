"""Raw samples to disk, started and stopped by the operator while the engine runs."""

import errno
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from app.core.clock import ClockNs, monotonic_ns
from app.core.inbox import InboxOverflowError
from app.core.worker import OnFailure, Worker
from app.recording.disk_room import DiskRoom
from app.recording.errors import RecordingError
from app.recording.files import DiskFiles, Files
from app.recording.open_ephys_layout import StreamLayout
from app.recording.periodic_sync import PeriodicSync
from app.recording.raw_recording import RawRecording
from app.recording.raw_ring import LIT_BELOW_S, PRESSED_AT, RING_S, Message, RawRing, runs
from app.recording.raw_series import RawSeries, must_fit, row_of
from app.recording.raw_status import RawState, RawStatus
from app.recording.rows import RawRecordingRow
from drivers.mea.protocol import SampleBlock, StreamFormat

log = logging.getLogger(__name__)

GATHER_S = 0.04
"""Blocks are gathered so long and written at once; a process that dies loses no more than that."""
PATCH_INTERVAL_NS = 1_000_000_000
SYNC_JOIN_S = 10.0
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class RawWriter(Worker):
    """Writes one amplifier's stream in the Open Ephys binary layout under `node_folder`.

    The acquisition thread offers every block; any thread may start, stop, write a message and ask
    for the status. A gap, declared by the source or made by an overflow here, ends one recordingN
    and begins the next; a sample counter that went backwards begins experimentN. `record` gets a
    row for each of these events and must not wait (`EventLog.append`). A second thread syncs every
    second. A fault ends the recording in good order and is told to `on_failure`; the writer lives
    on. What may become one is told to `on_warning`.

    `ring_s` of samples may wait for the disk. While nobody records, the last `n_pretrigger` samples
    are remembered; a recording begins with them.
    """

    def __init__(
        self,
        node_folder: Path,
        *,
        on_failure: OnFailure,
        record: Callable[[RawRecordingRow], None],
        release_reserve: Callable[[], bool] = lambda: False,
        name: str = "raw writer",
        on_warning: Callable[[str], None] = log.warning,
        ring_s: float = RING_S,
        n_pretrigger: int = 0,
        files: Files | None = None,
        sync_period_s: float = 1.0,
        clock_ns: ClockNs = monotonic_ns,
    ) -> None:
        super().__init__(name, on_failure)
        self.node_folder = node_folder
        self._record = record
        self._release_reserve = release_reserve
        self._files = files or DiskFiles()
        self._clock_ns = clock_ns
        self._on_warning = on_warning
        self._ring = RawRing(name, ring_s, n_pretrigger)
        self._room = DiskRoom(node_folder.parent, self._files)
        self._door = threading.Lock()
        self._accepts = False
        self._is_overflowing = False
        self._state = RawState.IDLE
        self._is_proven = False
        self._failure = ""
        self._layout: StreamLayout | None = None
        self._recording: RawRecording | None = None
        self._folder: Path | None = None
        self._sync_failure: tuple[RawRecording, OSError] | None = None
        self._sync = PeriodicSync(f"{name} sync", self._sync_recording, sync_period_s, on_failure)
        self._series = RawSeries(node_folder, self._files)
        self._next_patch_ns = 0
        self._n_recordings = 0
        self._n_samples = 0
        self._n_bytes = 0
        self._n_samples_lost = 0

    # --- any thread ---------------------------------------------------------------------------

    def start_recording(self, stream_format: StreamFormat, planned_s: float = 0.0) -> None:
        """Record from the next offered block on.

        Raises
        ------
        RecordingError
            Already recording, or the disk has not room for `planned_s` and 10 % more.
        """
        layout = StreamLayout(stream_format)
        with self._door:
            if self._state in (RawState.STARTING, RawState.RECORDING):
                raise RecordingError(f"{self.name}: already recording, or not yet closed")
            self._room.must_hold(planned_s, layout.bytes_per_s, self.name)
            self._layout = layout
            self._failure = ""
            self._room.begin()
            self._ring.begin(stream_format.sample_rate_hz)
            self._state = RawState.STARTING
            self._accepts = True

    def stop_recording(self) -> None:
        """Accept no more blocks; what waits is written, then the recording is closed."""
        with self._door:
            self._accepts = False

    def offer(self, block: SampleBlock) -> None:
        """Hand over a block, without waiting and without raising.

        While not recording it is only remembered. A full ring loses the block: counted, told once
        per overflow, and a gap in the record.
        """
        self._give(block)

    def message(self, sample_index: int, text: str) -> None:
        """Write a text event into the recording, in order with the blocks; as `offer`."""
        self._give(Message(sample_index, text))

    @property
    def is_pressed(self) -> bool:
        """Say whether the ring is nearly full: whatever else costs time should be given up."""
        return self._ring.fill >= PRESSED_AT

    def status(self) -> RawStatus:
        """Return a snapshot."""
        return RawStatus(
            state=self._state,
            failure=self._failure,
            folder=self._folder,
            n_samples=self._n_samples,
            n_bytes=self._n_bytes,
            n_recordings=self._n_recordings,
            n_waiting=self._ring.n_waiting,
            fill=self._ring.fill,
            n_samples_lost=self._n_samples_lost,
            seconds_left=self._room.seconds_left,
        )

    def _give(self, item: SampleBlock | Message) -> None:
        overflow: InboxOverflowError | None = None
        warning: str | None = None
        with self._door:
            if not self._accepts:
                if isinstance(item, SampleBlock):
                    self._ring.keep(item)
                return
            try:
                self._ring.put(item)
                self._is_overflowing = False
                warning = self._ring.warning()
            except InboxOverflowError as exc:
                if isinstance(item, SampleBlock):
                    self._n_samples_lost += len(item.samples)
                if not self._is_overflowing:
                    overflow = exc
                self._is_overflowing = True
        self._warn(warning)
        if overflow is not None:
            self._report(overflow)

    # --- the writer's thread ------------------------------------------------------------------

    def prepare(self) -> None:
        """Start the sync thread."""
        self._sync.start()

    def step(self) -> None:
        """Write what has come; look after headers, sync and the request to stop."""
        accepted = self._accepts
        items = self._ring.take(GATHER_S)
        self._write_all(items)
        if self._is_proven and self._ring.waits_s < LIT_BELOW_S:
            # Naming and reading back took the disk's time; what came meanwhile is written too.
            self._is_proven = False
            self._state = RawState.RECORDING
        self._end_if_damaged()
        self._patch_if_due()
        if not accepted and not items:
            self._end_if_stopped()

    def finish(self) -> None:
        """Write what still waits and close the recording."""
        with self._door:
            self._accepts = False
        self._ring.close()
        self._write_all(self._ring.take(0.0))
        self._close("closed", "the engine stops")
        self._sync.request_stop()
        if not self._sync.join(SYNC_JOIN_S):
            raise RecordingError(f"{self._sync.name}: waits for the disk for {SYNC_JOIN_S:g} s")
        self._state = RawState.IDLE

    def _write_all(self, items: list[SampleBlock | Message]) -> None:
        for piece in runs(items):
            try:
                if isinstance(piece, list):
                    self._write_run(piece)
                elif self._recording is not None:
                    self._recording.message(piece.sample_index, piece.text)
            except OSError as exc:
                self._give_up(exc)
            except RecordingError as exc:
                self._end_by_fault("failed", str(exc))

    def _write_run(self, blocks: list[SampleBlock]) -> None:
        n_given = sum(len(block.samples) for block in blocks)
        n_written = 0
        try:
            if self._state is not RawState.FAILED and self._layout is not None:
                must_fit(blocks[0], self._layout.stream_format, self.name)
                recording = self._recording_for(blocks[0], self._layout)
                try:
                    recording.write(blocks)
                finally:
                    n_written = recording.end_sample - blocks[0].first_sample
                    self._count(recording)
                if not recording.is_revealed and recording.n_samples:
                    self._reveal(recording, blocks)
        finally:
            self._ring.written(n_given)
            with self._door:
                self._n_samples_lost += n_given - n_written

    def _recording_for(self, block: SampleBlock, layout: StreamLayout) -> RawRecording:
        recording = self._recording
        if recording is not None and (block.n_lost or block.first_sample != recording.end_sample):
            self._close("gap", f"next sample {block.first_sample}, {block.n_lost} declared lost")
            recording = None
        return self._open(block.first_sample, layout) if recording is None else recording

    def _count(self, recording: RawRecording) -> None:
        self._n_samples = recording.n_samples
        self._n_bytes = recording.n_bytes()
        self._series.end_sample = recording.end_sample

    def _open(self, first_sample: int, layout: StreamLayout) -> RawRecording:
        recording = self._series.open_next(first_sample, layout)
        self._recording = recording
        self._folder = recording.folder
        self._n_recordings += 1
        self._next_patch_ns = self._clock_ns() + PATCH_INTERVAL_NS
        return recording

    def _reveal(self, recording: RawRecording, blocks: list[SampleBlock]) -> None:
        recording.reveal()
        self._tell(recording, "started", "", recording.first_sample)
        if not recording.reads_back(next(block for block in blocks if len(block.samples))):
            raise OSError(errno.EIO, "first block read back differs", str(recording.folder))
        self._is_proven = True

    def _patch_if_due(self) -> None:
        now_ns = self._clock_ns()
        if self._recording is None or now_ns < self._next_patch_ns:
            return
        self._next_patch_ns = now_ns + PATCH_INTERVAL_NS
        try:
            self._recording.patch_headers()
        except OSError as exc:
            self._give_up(exc)
            return
        # Not to know the room left is no reason to end a recording; the status says None.
        with suppress(OSError):
            self._room.measure(self._recording.layout.bytes_per_s)
        self._warn(self._room.warning())

    def _warn(self, warning: str | None) -> None:
        if warning is not None:
            self._on_warning(warning)

    def _end_if_stopped(self) -> None:
        self._close("closed", "")
        with self._door:
            if not self._accepts and self._state is not RawState.FAILED:
                self._state = RawState.IDLE

    def _end_if_damaged(self) -> None:
        if self._sync_failure is None:
            return
        (recording, exc), self._sync_failure = self._sync_failure, None
        if recording is not self._recording:
            return
        if recording.n_samples_synced == 0:
            # Not one good sync: the next folder on this disk would fare no better.
            self._give_up(exc)
            return
        good = recording.first_sample + recording.n_samples_synced
        self._close("damaged", f"{exc}; samples from {good} on may be wrong", good)
        self._report(
            RecordingError(
                f"{self.name}: {recording.folder}: {exc}; samples from {good} on may be wrong, "
                "going on in a new folder; check the disk"
            )
        )

    def _give_up(self, exc: OSError) -> None:
        if exc.errno in _DISK_FULL:
            self._release_reserve()
            self._end_by_fault("disk full", str(exc))
        else:
            self._end_by_fault("failed", str(exc))

    def _end_by_fault(self, event: str, detail: str) -> None:
        with self._door:
            self._accepts = False
        self._failure = f"{event}: {detail}"
        self._state = RawState.FAILED
        self._close(event, detail)
        self._report(
            RecordingError(
                f"{self.name}: {self._failure}; recording ended in good order at sample "
                f"{self._series.end_sample}, events are still recorded"
            )
        )

    def _close(self, event: str, detail: str, sample_index: int | None = None) -> None:
        recording, self._recording = self._recording, None
        self._is_proven = False
        if recording is None:
            return
        try:
            recording.close()
        except OSError as exc:
            detail = f"{detail}; closing failed: {exc}"
            self._report(RecordingError(f"{self.name}: {recording.folder}: closing failed: {exc}"))
        if self._state is RawState.RECORDING:
            self._state = RawState.STARTING
        self._tell(recording, event, detail, sample_index)

    def _tell(
        self, recording: RawRecording, event: str, detail: str, sample_index: int | None = None
    ) -> None:
        self._record(row_of(recording, event, detail, sample_index, self._clock_ns()))

    # --- the sync thread ----------------------------------------------------------------------

    def _sync_recording(self) -> None:
        recording = self._recording
        if recording is None:
            return
        try:
            recording.sync()
        except OSError as exc:
            self._sync_failure = (recording, exc)
