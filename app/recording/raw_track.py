"""One stream's raw recordings one after the other, at most one of them open."""

import errno
from collections.abc import Callable, Sequence
from pathlib import Path

from app.core.clock import ClockNs
from app.recording.errors import RecordingError
from app.recording.files import Files
from app.recording.open_ephys_layout import StreamLayout
from app.recording.raw_recording import RawRecording
from app.recording.raw_series import RawSeries, row_of
from app.recording.rows import RawRecordingRow
from drivers.mea.protocol import SampleBlock

PATCH_INTERVAL_NS = 1_000_000_000


class RawTrack:
    """Where the samples go. The writer's thread calls everything but `sync`; any may read.

    A gap ends one recordingN and begins the next; a sample counter that went backwards begins
    experimentN. `record` gets a row for each of these events; `report` is told what went wrong
    while a recording was closed.
    """

    def __init__(
        self,
        node_folder: Path,
        files: Files,
        record: Callable[[RawRecordingRow], None],
        report: Callable[[BaseException], None],
        clock_ns: ClockNs,
    ) -> None:
        self._series = RawSeries(node_folder, files)
        self._record = record
        self._report = report
        self._clock_ns = clock_ns
        self._recording: RawRecording | None = None
        self._sync_failure: tuple[RawRecording, OSError] | None = None
        self._next_patch_ns = 0
        self.folder: Path | None = None
        """Of the recording being written, or of the last one; so are the next two."""
        self.n_samples = 0
        self.n_bytes = 0
        self.n_recordings = 0
        self.n_samples_in_all = 0
        self.is_incomplete = False
        """A recording could not be closed in good order: only recovery can make it whole."""
        self.is_proven = False
        """The open recording has its name, and its first block was read back."""

    @property
    def end_sample(self) -> int:
        """Get the index of the sample after the last one written."""
        return self._series.end_sample

    @property
    def bytes_per_s(self) -> float | None:
        """Get how fast the open recording grows; None if none is open."""
        return None if self._recording is None else self._recording.layout.bytes_per_s

    def write(self, blocks: Sequence[SampleBlock], layout: StreamLayout) -> None:
        """Write blocks that follow each other, where they belong.

        Raises
        ------
        OSError
            As `RawRecording.write`, or what was written does not read back.
        """
        recording = self._recording_for(blocks[0], layout)
        n_before = recording.n_samples
        try:
            recording.write(blocks)
        finally:
            self.n_samples = recording.n_samples
            self.n_bytes = recording.n_bytes()
            self.n_samples_in_all += recording.n_samples - n_before
            self._series.end_sample = recording.end_sample
        if not recording.is_revealed and recording.n_samples:
            self._prove(recording, blocks)

    def message(self, sample_index: int, text: str) -> None:
        """Write a text event, if a recording is open. Raises OSError."""
        if self._recording is not None:
            self._recording.message(sample_index, text)

    def patch_if_due(self) -> bool:
        """Let the headers count what is safe; return whether it was time to. Raises OSError."""
        now_ns = self._clock_ns()
        if self._recording is None or now_ns < self._next_patch_ns:
            return False
        self._next_patch_ns = now_ns + PATCH_INTERVAL_NS
        self._recording.patch_headers()
        return True

    def close(self, event: str, detail: str, sample_index: int | None = None) -> None:
        """Close the open recording, if there is one, and tell why."""
        recording, self._recording = self._recording, None
        self.is_proven = False
        if recording is None:
            return
        try:
            recording.close()
        except OSError as exc:
            self.is_incomplete = True
            detail = f"{detail}; closing failed: {exc}"
            self._report(RecordingError(f"{recording.folder}: closing failed: {exc}"))
        self._tell(recording, event, detail, sample_index)

    def sync(self) -> None:
        """Wait for the disk; the sync thread. What it refuses, `take_damage` tells the writer."""
        recording = self._recording
        if recording is None:
            return
        try:
            recording.sync()
        except OSError as exc:
            self._sync_failure = (recording, exc)

    def take_damage(self) -> tuple[int | None, OSError] | None:
        """Return, once, what a sync of the open recording met, and the first doubtful sample.

        None instead of the sample: not one sync was good.
        """
        if self._sync_failure is None:
            return None
        (recording, exc), self._sync_failure = self._sync_failure, None
        if recording is not self._recording:
            return None
        n_good = recording.n_samples_synced
        return (recording.first_sample + n_good if n_good else None), exc

    def _recording_for(self, block: SampleBlock, layout: StreamLayout) -> RawRecording:
        recording = self._recording
        if recording is not None and (block.n_lost or block.first_sample != recording.end_sample):
            self.close("gap", f"next sample {block.first_sample}, {block.n_lost} declared lost")
            recording = None
        return self._begin(block.first_sample, layout) if recording is None else recording

    def _begin(self, first_sample: int, layout: StreamLayout) -> RawRecording:
        recording = self._series.open_next(first_sample, layout)
        self._recording = recording
        self.folder = recording.folder
        self.n_recordings += 1
        self._next_patch_ns = self._clock_ns() + PATCH_INTERVAL_NS
        return recording

    def _prove(self, recording: RawRecording, blocks: Sequence[SampleBlock]) -> None:
        recording.reveal()
        self._tell(recording, "started", "", recording.first_sample)
        if not recording.reads_back(next(block for block in blocks if len(block.samples))):
            raise OSError(errno.EIO, "first block read back differs", str(recording.folder))
        self.is_proven = True

    def _tell(
        self, recording: RawRecording, event: str, detail: str, sample_index: int | None = None
    ) -> None:
        self._record(row_of(recording, event, detail, sample_index, self._clock_ns()))
