"""Raw samples to disk, started and stopped by the operator while the engine runs."""

import errno
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.core.clock import ClockNs, monotonic_ns
from app.core.inbox import Inbox, InboxOverflowError, Overflow
from app.core.worker import OnFailure, Worker
from app.recording.errors import RecordingError
from app.recording.files import DiskFiles, Files
from app.recording.open_ephys_layout import StreamLayout
from app.recording.periodic_sync import PeriodicSync
from app.recording.raw_recording import RawRecording
from app.recording.raw_status import RawState, RawStatus
from app.recording.rows import RawRecordingRow
from drivers.mea.protocol import SampleBlock, StreamFormat

PATCH_INTERVAL_NS = 1_000_000_000
SYNC_JOIN_S = 10.0
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class _Message:
    sample_index: int
    text: str


class RawWriter(Worker):
    """Writes one amplifier's stream in the Open Ephys binary layout under `node_folder`.

    The acquisition thread offers every block; any thread may start, stop, write a message and ask
    for the status. A gap, declared by the source or made by an overflow here, ends one recordingN
    and begins the next; a sample counter that went backwards begins experimentN. `record` gets a
    row for each of these events and must not wait (`EventLog.append`). A second thread syncs every
    second. A fault ends the recording in good order and is told to `on_failure`; the writer lives
    on.
    """

    def __init__(
        self,
        node_folder: Path,
        *,
        on_failure: OnFailure,
        record: Callable[[RawRecordingRow], None],
        release_reserve: Callable[[], bool] = lambda: False,
        name: str = "raw writer",
        capacity_blocks: int = 4096,
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
        self._inbox: Inbox[SampleBlock | _Message] = Inbox(name, capacity_blocks, Overflow.FAIL)
        self._door = threading.Lock()
        self._accepts = False
        self._is_overflowing = False
        self._state = RawState.IDLE
        self._failure = ""
        self._layout: StreamLayout | None = None
        self._recording: RawRecording | None = None
        self._folder: Path | None = None
        self._sync_failure: tuple[RawRecording, OSError] | None = None
        self._sync = PeriodicSync(f"{name} sync", self._sync_recording, sync_period_s, on_failure)
        self._experiment = 1
        self._number = 0
        self._last_end_sample = 0
        self._next_patch_ns = 0
        self._n_recordings = 0
        self._n_samples = 0
        self._n_bytes = 0
        self._n_samples_lost = 0
        self._seconds_left: float | None = None

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
            try:
                left_s = self._measure_seconds_left(layout)
            except OSError as exc:
                raise RecordingError(f"{self.name}: {self.node_folder.parent}: {exc}") from exc
            if not left_s > 1.1 * planned_s:
                raise RecordingError(
                    f"{self.name}: the disk of {self.node_folder.parent} has room for "
                    f"{left_s:.0f} s, {planned_s:.0f} s and 10 % more are planned; make room"
                )
            self._layout = layout
            self._failure = ""
            self._state = RawState.STARTING
            self._accepts = True

    def stop_recording(self) -> None:
        """Accept no more blocks; what waits is written, then the recording is closed."""
        with self._door:
            self._accepts = False

    def offer(self, block: SampleBlock) -> None:
        """Hand over a block, without waiting and without raising; ignored while not recording.

        A full inbox loses the block: counted, told once per overflow, and a gap in the record.
        """
        self._give(block, len(block.samples))

    def message(self, sample_index: int, text: str) -> None:
        """Write a text event into the recording, in order with the blocks; as `offer`."""
        self._give(_Message(sample_index, text), 0)

    def status(self) -> RawStatus:
        """Return a snapshot."""
        return RawStatus(
            state=self._state,
            failure=self._failure,
            folder=self._folder,
            n_samples=self._n_samples,
            n_bytes=self._n_bytes,
            n_recordings=self._n_recordings,
            n_waiting=len(self._inbox),
            capacity=self._inbox.capacity,
            n_samples_lost=self._n_samples_lost,
            seconds_left=self._seconds_left,
        )

    def _give(self, item: SampleBlock | _Message, n_samples: int) -> None:
        overflow: InboxOverflowError | None = None
        with self._door:
            if not self._accepts:
                return
            try:
                self._inbox.put(item)
                self._is_overflowing = False
            except InboxOverflowError as exc:
                self._n_samples_lost += n_samples
                if not self._is_overflowing:
                    overflow = exc
                self._is_overflowing = True
        if overflow is not None:
            self._report(overflow)

    def _measure_seconds_left(self, layout: StreamLayout) -> float:
        self._seconds_left = None
        free_bytes = self._files.free_bytes(self.node_folder.parent)
        self._seconds_left = free_bytes / layout.bytes_per_s
        return self._seconds_left

    # --- the writer's thread ------------------------------------------------------------------

    def prepare(self) -> None:
        """Start the sync thread."""
        self._sync.start()

    def step(self) -> None:
        """Write what has come; look after headers, sync and the request to stop."""
        accepted = self._accepts
        items = self._inbox.take_all(0.05)
        self._write_all(items)
        self._end_if_damaged()
        self._patch_if_due()
        if not accepted and not items:
            self._end_if_stopped()

    def finish(self) -> None:
        """Write what still waits and close the recording."""
        with self._door:
            self._accepts = False
        self._inbox.close()
        self._write_all(self._inbox.take_all(0.0))
        self._close("closed", "the engine stops")
        self._sync.request_stop()
        if not self._sync.join(SYNC_JOIN_S):
            raise RecordingError(f"{self._sync.name}: waits for the disk for {SYNC_JOIN_S:g} s")
        self._state = RawState.IDLE

    def _write_all(self, items: list[SampleBlock | _Message]) -> None:
        for item in items:
            try:
                if isinstance(item, SampleBlock):
                    self._write_block(item)
                elif self._recording is not None:
                    self._recording.message(item.sample_index, item.text)
            except OSError as exc:
                self._give_up(exc)
            except RecordingError as exc:
                self._end_by_fault("failed", str(exc))

    def _write_block(self, block: SampleBlock) -> None:
        n_written = 0
        try:
            if self._state is not RawState.FAILED and self._layout is not None:
                self._check_format(block, self._layout.stream_format)
                recording = self._recording_for(block, self._layout)
                try:
                    recording.write(block)
                finally:
                    n_written = recording.end_sample - block.first_sample
                    self._count(recording)
                if not recording.is_revealed and recording.n_samples:
                    self._reveal(recording, block)
        finally:
            with self._door:
                self._n_samples_lost += len(block.samples) - n_written

    def _recording_for(self, block: SampleBlock, layout: StreamLayout) -> RawRecording:
        recording = self._recording
        if recording is not None and (block.n_lost or block.first_sample != recording.end_sample):
            self._close("gap", f"next sample {block.first_sample}, {block.n_lost} declared lost")
            recording = None
        return self._open(block.first_sample, layout) if recording is None else recording

    def _count(self, recording: RawRecording) -> None:
        self._n_samples = recording.n_samples
        self._n_bytes = recording.n_bytes()
        self._last_end_sample = recording.end_sample

    def _check_format(self, block: SampleBlock, stream_format: StreamFormat) -> None:
        shape, dtype = block.samples.shape, block.samples.dtype
        if shape[1:] != (stream_format.n_channels,) or dtype.kind != "i" or dtype.itemsize != 2:
            raise RecordingError(
                f"{self.name}: block of {dtype} {shape} at sample {block.first_sample}, but the "
                f"recording is int16 of {stream_format.n_channels} channels; start a new one"
            )

    def _open(self, first_sample: int, layout: StreamLayout) -> RawRecording:
        if first_sample < self._last_end_sample:
            self._experiment += 1
            self._number = 0
        self._number += 1
        name = f"experiment{self._experiment}/recording{self._number}"
        recording = RawRecording(self.node_folder / name, layout, first_sample, self._files)
        self._recording = recording
        self._folder = recording.folder
        self._n_recordings += 1
        self._next_patch_ns = self._clock_ns() + PATCH_INTERVAL_NS
        return recording

    def _reveal(self, recording: RawRecording, block: SampleBlock) -> None:
        recording.reveal()
        self._tell(recording, "started", "", recording.first_sample)
        if not recording.reads_back(block):
            raise OSError(errno.EIO, "first block read back differs", str(recording.folder))
        self._state = RawState.RECORDING

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
            self._measure_seconds_left(self._recording.layout)

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
                f"{self._last_end_sample}, events are still recorded"
            )
        )

    def _close(self, event: str, detail: str, sample_index: int | None = None) -> None:
        recording, self._recording = self._recording, None
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
        self._record(
            RawRecordingRow(
                time_ns=self._clock_ns(),
                folder=str(recording.folder.relative_to(self.node_folder.parent)),
                event=event,
                sample_index=recording.end_sample if sample_index is None else sample_index,
                n_samples=recording.n_samples,
                detail=detail,
            )
        )

    # --- the sync thread ----------------------------------------------------------------------

    def _sync_recording(self) -> None:
        recording = self._recording
        if recording is None:
            return
        try:
            recording.sync()
        except OSError as exc:
            self._sync_failure = (recording, exc)
