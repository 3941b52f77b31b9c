"""Raw recordings in order: recordingN after a gap, experimentN after a restart of the counter."""

from pathlib import Path

from app.recording.errors import RecordingError
from app.recording.files import Files
from app.recording.open_ephys_layout import StreamLayout
from app.recording.raw_recording import RawRecording
from app.recording.rows import RawRecordingRow
from drivers.mea.protocol import SampleBlock, StreamFormat


class RawSeries:
    """The raw recordings of one record node, in order."""

    def __init__(self, node_folder: Path, files: Files) -> None:
        self._node_folder = node_folder
        self._files = files
        self._experiment = 1
        self._number = 0
        self.end_sample = 0
        """Sample after the last one written."""

    def open_next(self, first_sample: int, layout: StreamLayout) -> RawRecording:
        """Begin the next recording. Raises OSError as the operating system does."""
        if first_sample < self.end_sample:
            self._experiment += 1
            self._number = 0
        self._number += 1
        name = f"experiment{self._experiment}/recording{self._number}"
        return RawRecording(self._node_folder / name, layout, first_sample, self._files)


def must_fit(block: SampleBlock, stream_format: StreamFormat, who: str) -> None:
    """Refuse a block that is of another kind than its recording. Raises `RecordingError`."""
    shape, dtype = block.samples.shape, block.samples.dtype
    if shape[1:] != (stream_format.n_channels,) or dtype.kind != "i" or dtype.itemsize != 2:
        raise RecordingError(
            f"{who}: block of {dtype} {shape} at sample {block.first_sample}, but the "
            f"recording is int16 of {stream_format.n_channels} channels; start a new one"
        )


def row_of(
    recording: RawRecording, event: str, detail: str, sample_index: int | None, time_ns: int
) -> RawRecordingRow:
    """Return what the event log is told of a recording."""
    return RawRecordingRow(
        time_ns=time_ns,
        folder=recording.folder.relative_to(recording.folder.parents[2]).as_posix(),
        event=event,
        sample_index=recording.end_sample if sample_index is None else sample_index,
        n_samples=recording.n_samples,
        detail=detail,
    )
