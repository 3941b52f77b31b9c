"""One recordingN of the Open Ephys binary layout, written so that a crash leaves it readable."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.recording.files import Files, make_folders, short_write, write_file
from app.recording.npy_file import NpyFile
from app.recording.open_ephys_layout import StreamLayout, structure_oebin
from drivers.mea.protocol import SampleBlock, StimMark

TEXT_BYTES = 512
TTL_LINE = 1
_OEBIN_DRAFT = "structure.oebin.tmp"


class RawRecording:
    """Gapless samples of one stream in one folder. One thread writes; another may sync.

    It grows in a hidden folder until its first samples are in it and `reveal` gives it its name:
    readers stumble over a folder without `structure.oebin` and over an empty `continuous.dat`.
    Samples are written before their numbers and times, rows before the header that counts them.
    """

    def __init__(self, folder: Path, layout: StreamLayout, first_sample: int, files: Files) -> None:
        self.folder = folder
        self.layout = layout
        self.first_sample = first_sample
        self.n_samples = 0
        self.n_samples_synced = 0
        self._rate_hz = layout.stream_format.sample_rate_hz
        self._sync_lock = threading.Lock()
        self._damage: OSError | None = None
        self._is_closed = False
        self._groups: list[list[NpyFile]] = []
        self._files = files
        self.is_revealed = False
        self._draft = folder.with_name(f".creating-{folder.name}")
        stream = self._draft / "continuous" / layout.folder_name
        ttl = self._draft / "events" / layout.folder_name / "TTL"
        messages = self._draft / "events" / "MessageCenter"
        for place in (stream, ttl, messages):
            make_folders(files, place)
        try:
            self._create_npy(files, stream, ttl, messages)
            self._dat = files.create(stream / "continuous.dat")
        except OSError:
            for npy in self._npy:
                npy.file.close()
            raise
        try:
            for place in (stream, ttl, messages):
                files.sync_folder(place)
            write_file(files, self._draft / _OEBIN_DRAFT, structure_oebin(layout))
            files.sync_folder(self._draft)
        except OSError:
            self._close_files()
            raise

    @property
    def end_sample(self) -> int:
        """Get the index of the sample after the last one written."""
        return self.first_sample + self.n_samples

    def n_bytes(self) -> int:
        """Return the length of `continuous.dat` that the operating system knows."""
        return self._dat.size()

    def write(self, blocks: Sequence[SampleBlock]) -> None:
        """Append blocks that follow each other from `end_sample` on, and their stimuli as events.

        Raises
        ------
        OSError
            After cutting `continuous.dat` to the whole frames that were taken (`n_samples`).
        """
        self._append_frames(blocks)
        self._append_sample_numbers()
        for block in blocks:
            if block.stimuli:
                self._append_stimuli(block.stimuli)

    def reveal(self) -> None:
        """Give the folder its name, once."""
        if self.is_revealed:
            return
        # A disk may keep the new name and lose what had not been waited for.
        self._sync_unless_damaged()
        self.patch_headers()
        self._sync_unless_damaged()
        # Back to back: between the two a reader would see a recording without a description.
        self._files.rename(self._draft, self.folder)
        self._files.rename(self.folder / _OEBIN_DRAFT, self.folder / "structure.oebin")
        self.is_revealed = True
        for file in (self._dat, *(npy.file for npy in self._npy)):
            file.path = self.folder / file.path.relative_to(self._draft)
        self._files.sync_folder(self.folder)
        self._files.sync_folder(self.folder.parent)

    def reads_back(self, block: SampleBlock) -> bool:
        """Say whether the recording's first block is really in the file, after `reveal`."""
        data = _frames(block).tobytes()
        return self._dat.read_at(len(data), 0) == data

    def message(self, sample_index: int, text: str) -> None:
        """Append a text event; a long text becomes several rows.

        Neo reads these as ASCII, so anything else is escaped.
        """
        data = text.encode("ascii", "backslashreplace")
        for start in range(0, max(1, len(data)), TEXT_BYTES):
            self._message_samples.append([sample_index])
            self._message_times.append([sample_index / self._rate_hz])
            self._texts.append([data[start : start + TEXT_BYTES]])

    def patch_headers(self) -> None:
        """Let the npy headers count the rows that are safe. Readers see events only after this."""
        self._patch_headers(lambda npy: npy.n_rows_synced)

    def sync(self) -> None:
        """Wait until everything written before the call is on the disk; any thread.

        Raises
        ------
        OSError
            What was written after the last good sync (`n_samples_synced`) may be lost. From then
            on always: the kernel may have dropped the pages, and a second try would succeed.
        """
        with self._sync_lock:
            if self._is_closed:
                return
            if self._damage is not None:
                raise self._damage
            n_samples = self.n_samples
            try:
                self._dat.sync_data()
                # Nobody reads it back soon, and hours of it would push all else out of memory.
                self._dat.forget_cached(n_samples * self.layout.bytes_per_frame)
                for npy in self._npy:
                    npy.sync()
            except OSError as exc:
                self._damage = exc
                raise
            self.n_samples_synced = n_samples

    def close(self) -> None:
        """Complete the npy files, sync (unless that failed before) and close; idempotent.

        A recording without any sample stays hidden.

        Raises
        ------
        OSError
            The first thing that went wrong; everything is closed all the same.
        """
        if self._is_closed:
            return
        failures = []
        steps = [self._append_sample_numbers, self._sync_unless_damaged, self._complete_headers]
        steps.append(self._sync_unless_damaged)
        if self.n_samples:
            steps.append(self.reveal)
        for finish in steps:
            try:
                finish()
            except OSError as exc:
                failures.append(exc)
        with self._sync_lock:
            self._is_closed = True
            self._close_files()
        if failures:
            raise failures[0]

    def _sync_unless_damaged(self) -> None:
        if self._damage is None:
            self.sync()

    def _complete_headers(self) -> None:
        self._patch_headers(lambda npy: npy.n_rows)

    def _patch_headers(self, n_rows_of: Callable[[NpyFile], int]) -> None:
        # Arrays that belong together get one length: readers join them row by row.
        for group in self._groups:
            n_rows = min(n_rows_of(npy) for npy in group)
            for npy in group:
                npy.patch_header(n_rows)

    @property
    def _npy(self) -> list[NpyFile]:
        return [npy for group in self._groups for npy in group]

    def _create_npy(self, files: Files, stream: Path, ttl: Path, messages: Path) -> None:
        def create(folder: Path, descriptions: dict[str, str]) -> list[NpyFile]:
            group: list[NpyFile] = []
            self._groups.append(group)  # first: whatever was created gets closed
            for name, descr in descriptions.items():
                group.append(NpyFile(files, folder / f"{name}.npy", descr))
            return group

        # In order of patching: Neo indexes times by states and texts, so these count up last.
        self._sample_numbers, self._timestamps = create(
            stream, {"sample_numbers": "<i8", "timestamps": "<f8"}
        )
        self._ttl_samples, self._ttl_times, self._ttl_words, self._ttl_states = create(
            ttl,
            {"sample_numbers": "<i8", "timestamps": "<f8", "full_words": "<u8", "states": "<i2"},
        )
        self._message_samples, self._message_times, self._texts = create(
            messages,
            {"sample_numbers": "<i8", "timestamps": "<f8", "text": f"|S{TEXT_BYTES}"},
        )
        self._sample_numbers.append([self.first_sample])
        self._timestamps.append([self.first_sample / self._rate_hz])
        self.message(self.first_sample, "recording started")

    def _append_frames(self, blocks: Sequence[SampleBlock]) -> None:
        pieces = [_frames(block).data.cast("B") for block in blocks if len(block.samples)]
        n_given = sum(map(len, pieces))
        try:
            n_taken = self._dat.append_all(pieces)
        except OSError:
            with suppress(OSError):
                self._dat.truncate(self.n_samples * self.layout.bytes_per_frame)
            raise
        self.n_samples += n_taken // self.layout.bytes_per_frame
        if n_taken < n_given:
            self._dat.truncate(self.n_samples * self.layout.bytes_per_frame)
            raise short_write(self._dat.path, n_taken, n_given)

    def _append_sample_numbers(self) -> None:
        numbers, times = self._missing(self._sample_numbers), self._missing(self._timestamps)
        if len(numbers):
            self._sample_numbers.append(numbers)
        if len(times):
            self._timestamps.append(times / self._rate_hz)

    def _missing(self, npy: NpyFile) -> npt.NDArray[np.int64]:
        return np.arange(self.first_sample + npy.n_rows, self.end_sample, dtype=np.int64)

    def _append_stimuli(self, stimuli: tuple[StimMark, ...]) -> None:
        # One pulse of one sample on one line, both edges: readers show nothing for a rise alone.
        for sample in sorted({mark.sample_index for mark in stimuli}):
            edges = np.array([sample, sample + 1])
            self._ttl_samples.append(edges)
            self._ttl_times.append(edges / self._rate_hz)
            self._ttl_words.append([1 << (TTL_LINE - 1), 0])
            self._ttl_states.append([TTL_LINE, -TTL_LINE])
        for mark in stimuli:
            name = self._channel_name(mark.channel)
            self.message(mark.sample_index, f"stimulus on {name}, {mark.amplitude_a:g} A")

    def _channel_name(self, channel: int) -> str:
        names = self.layout.stream_format.channel_names
        return names[channel] if 0 <= channel < len(names) else f"channel {channel}"

    def _close_files(self) -> None:
        for file in (self._dat, *(npy.file for npy in self._npy)):
            with suppress(OSError):
                file.close()


def _frames(block: SampleBlock) -> npt.NDArray[np.int16]:
    return np.ascontiguousarray(block.samples, dtype="<i2")
