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
from app.recording.raw_ring import LIT_BELOW_S, PRESSED_AT, RING_S, Message, RawRing, runs
from app.recording.raw_series import must_fit
from app.recording.raw_status import RawState, RawStatus
from app.recording.raw_track import RawTrack
from app.recording.rows import RawRecordingRow
from drivers.mea.protocol import SampleBlock, StreamFormat

log = logging.getLogger(__name__)

GATHER_S = 0.04
"""Blocks are gathered so long and written at once; a process that dies loses no more than that."""
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
        self._release_reserve = release_reserve
        self._on_warning = on_warning
        self._ring = RawRing(name, ring_s, n_pretrigger)
        files = files or DiskFiles()
        self._room = DiskRoom(node_folder.parent, files)
        self._track = RawTrack(node_folder, files, record, self._report, clock_ns)
        self._door = threading.Lock()
        self._accepts = False
        self._is_overflowing = False
        self._state = RawState.IDLE
        self._failure = ""
        self._layout: StreamLayout | None = None
        self._is_to_be_lit = False
        self._must_give_room = ""
        self._sync = PeriodicSync(f"{name} sync", self._track.sync, sync_period_s, on_failure)
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
            if self.is_busy:
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

    def give_room(self, why: str) -> None:
        """End the recording as on a full disk: what room is left is needed for something else."""
        self._must_give_room = why

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

    @property
    def is_busy(self) -> bool:
        """Say whether a recording runs, or is asked for."""
        return self._state in (RawState.STARTING, RawState.RECORDING)

    @property
    def is_incomplete(self) -> bool:
        """Say whether a recording could not be closed in good order, and needs recovery."""
        return self._track.is_incomplete

    def status(self) -> RawStatus:
        """Return a snapshot."""
        return RawStatus(
            state=self._state,
            failure=self._failure,
            folder=self._track.folder,
            n_samples=self._track.n_samples,
            n_bytes=self._track.n_bytes,
            n_recordings=self._track.n_recordings,
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
        if self._is_to_be_lit and self._ring.waits_s < LIT_BELOW_S:
            # Naming and reading back took the disk's time; what came meanwhile is written too.
            self._is_to_be_lit = False
            self._state = RawState.RECORDING
        self._end_if_damaged()
        self._end_if_room_is_needed()
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
                else:
                    self._track.message(piece.sample_index, piece.text)
            except OSError as exc:
                self._give_up(exc)
            except RecordingError as exc:
                self._end_by_fault("failed", str(exc))

    def _write_run(self, blocks: list[SampleBlock]) -> None:
        n_given = sum(len(block.samples) for block in blocks)
        track = self._track
        n_before, was = track.n_samples_in_all, (track.n_recordings, track.is_proven)
        try:
            if self._state is not RawState.FAILED and self._layout is not None:
                must_fit(blocks[0], self._layout.stream_format, self.name)
                track.write(blocks, self._layout)
        finally:
            if (track.n_recordings, track.is_proven) != was:
                self._darken()
                self._is_to_be_lit = track.is_proven
            self._ring.written(n_given)
            with self._door:
                self._n_samples_lost += n_given - (track.n_samples_in_all - n_before)

    def _patch_if_due(self) -> None:
        try:
            is_patched = self._track.patch_if_due()
        except OSError as exc:
            self._give_up(exc)
            return
        bytes_per_s = self._track.bytes_per_s
        if not is_patched or bytes_per_s is None:
            return
        # Not to know the room left is no reason to end a recording; the status says None.
        with suppress(OSError):
            self._room.measure(bytes_per_s)
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
        damage = self._track.take_damage()
        if damage is None:
            return
        good, exc = damage
        if good is None:
            # The next folder on this disk would fare no better.
            self._give_up(exc)
            return
        self._close("damaged", f"{exc}; samples from {good} on may be wrong", good)
        self._report(
            RecordingError(
                f"{self.name}: {self._track.folder}: {exc}; samples from {good} on may be wrong, "
                "going on in a new folder; check the disk"
            )
        )

    def _end_if_room_is_needed(self) -> None:
        why, self._must_give_room = self._must_give_room, ""
        if why and self.is_busy:
            self._end_by_fault("disk full", why)

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
                f"{self._track.end_sample}, events are still recorded"
            )
        )

    def _close(self, event: str, detail: str, sample_index: int | None = None) -> None:
        self._track.close(event, detail, sample_index)
        self._darken()

    def _darken(self) -> None:
        """Take the light away until the next recording is proven."""
        self._is_to_be_lit = False
        if self._state is RawState.RECORDING:
            self._state = RawState.STARTING
