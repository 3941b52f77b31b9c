"""Find spikes in sample blocks as they come: causal, and blind to how the stream was cut."""

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from app.core import detection_layout as layout
from app.core.detector_results import DetectedSpikeRecords, DetectedSpikes, DetectorStatus
from app.core.detector_settings import DetectorSettings
from app.core.detector_state import kernel_state, use_float_samples
from app.core.signal_view import EnvelopeRing, SpikeDetails, ThresholdChange
from drivers.mea.protocol import SampleBlock, StimMark, StreamFormat

Samples = npt.NDArray[np.int16] | npt.NDArray[np.uint16] | npt.NDArray[np.float32]
Found = list[tuple[DetectedSpikeRecords, SpikeDetails]]


class Detector:
    """The detector of one stream. One thread calls everything; `envelopes` any thread may read.

    Samples are int16 counts, uint16 counts around 32768 or float32 counts; the first block decides.
    Constructing imports numba (0.6 s) and the first block compiles (seconds) unless `warm_up` ran.
    """

    def __init__(
        self,
        stream_format: StreamFormat,
        settings: DetectorSettings,
        bad_channels: Collection[str] = (),
    ) -> None:
        """Prepare for a stream.

        Raises
        ------
        ValueError
            A channel name is not in the stream, or a setting does not fit its sample rate.
        """
        # Settings and results must not cost a reader of the configuration numba's import.
        from app.core import detection_kernel  # noqa: PLC0415

        _refuse_unknown(stream_format, "bad channel", bad_channels)
        own_thresholds = {**settings.threshold_uv, **settings.channel_threshold_sigma}
        _refuse_unknown(stream_format, "channel with a threshold of its own", own_thresholds)
        self.stream_format = stream_format
        self.settings = settings
        self._kernel = detection_kernel
        self._state, self.envelopes = kernel_state(stream_format, settings, frozenset(bad_channels))
        self._dtype: np.dtype[np.generic] | None = None
        self._row_shape = (stream_format.n_channels,)
        n_channels = stream_format.n_channels
        self._signed_counts = np.empty((layout.MAX_ROWS, n_channels), np.uint16)
        self._no_integers = _plain(np.empty((0, n_channels), np.int16))
        self._no_floats = _plain(np.empty((0, n_channels), np.float32))
        self._no_marks = np.empty((0, 2), np.int64)
        self._nothing = self._empty()
        self._waiting_marks: list[tuple[int, int]] = []
        self._is_started = False
        self._end = -1
        self._done_pos = 0
        self._n_vetoed = 0
        self._n_blanked = 0
        self._n_samples = 0
        self._n_gaps = 0
        self._n_lost = 0
        self._n_stray_marks = 0

    envelopes: EnvelopeRing
    """Lowest and highest values for the display, as far as samples have been processed."""

    @property
    def is_settled(self) -> bool:
        """Say whether every channel that is neither bad nor pegged knows its noise."""
        channels = self._state.channels
        is_pegged = channels["pegged_until"] > self._state.cursor["end"][0]
        is_known = channels["sigma_uv"] > 0
        is_enabled = channels["is_enabled"] > 0
        return bool(np.all(is_known | is_pegged | ~is_enabled) and np.any(is_known))

    def process(self, block: SampleBlock) -> DetectedSpikes:
        """Take the next block; return the spikes that are decided now.

        The result for a stream is the same however it was cut into blocks. The block is only read.

        Raises
        ------
        ValueError
            The block does not have the stream's shape or type.
        """
        samples = block.samples
        if samples.dtype is not self._dtype or samples.shape[1:] != self._row_shape:
            self._check_type(block)
        n_vetoed, n_blanked = self._n_vetoed, self._n_blanked
        found: Found = []
        has_gap, n_before_gap = False, 0
        if block.n_lost != 0 or block.first_sample != self._end:
            has_gap = self._is_started
            n_before_gap = self._begin_stretch(block, found)
        if block.stimuli or block.repeats:
            self._take_marks(block)
        n_rows = len(samples)
        if n_rows <= layout.MAX_ROWS:
            self._advance(samples, found)
        else:
            for start in range(0, n_rows, layout.MAX_ROWS):
                self._advance(samples[start : start + layout.MAX_ROWS], found)
        self._n_samples += n_rows
        spikes, details = self._joined(found) if found else self._nothing
        return DetectedSpikes(
            spikes,
            self._done_pos,
            self._n_vetoed - n_vetoed,
            self._n_blanked - n_blanked,
            details,
            has_gap,
            n_before_gap,
        )

    def check_threshold(self, change: ThresholdChange) -> None:
        """Refuse a change for channels that the stream does not have; any thread may ask.

        Raises
        ------
        ValueError
            A channel is not in the stream.
        """
        _refuse_unknown(self.stream_format, "channel with a new threshold", change.channels or ())

    def set_threshold(self, change: ThresholdChange) -> None:
        """Use another threshold from the next sample on.

        Raises
        ------
        ValueError
            A channel is not in the stream.
        """
        self.check_threshold(change)
        names = self.stream_format.channel_names
        chosen = set(names if change.channels is None else change.channels)
        is_chosen = np.array([name in chosen for name in names])
        channels = self._state.channels
        channels["pinned_uv"][is_chosen] = change.threshold_uv or 0.0
        if change.threshold_sigma is not None:
            channels["threshold_sigma"][is_chosen] = change.threshold_sigma
        self._kernel.set_all_limits(*self._state)

    def status(self) -> DetectorStatus:
        """Return a copy of the state, to be shown or recorded."""
        channels, ints = self._state.channels, self._state.ints[:, : self.stream_format.n_channels]
        end = self._state.cursor["end"][0]
        sigma_uv = channels["sigma_uv"]
        is_bad = channels["is_enabled"] == 0
        threshold_uv = np.where(
            channels["pinned_uv"] > 0,
            channels["pinned_uv"],
            channels["threshold_sigma"] * sigma_uv,
        )
        is_unknown = is_bad | (sigma_uv == 0)
        return DetectorStatus(
            is_settled=self.is_settled,
            n_samples=self._n_samples,
            n_gaps=self._n_gaps,
            n_lost=self._n_lost,
            n_stray_marks=self._n_stray_marks,
            n_vetoed=self._n_vetoed,
            sigma_uv=np.where(is_unknown, np.float32(np.nan), sigma_uv),
            threshold_uv=np.where(is_unknown, np.float32(np.inf), threshold_uv),
            threshold_sigma=np.where(
                channels["pinned_uv"] > 0, np.float32(np.nan), channels["threshold_sigma"]
            ),
            is_bad=is_bad,
            is_dead=channels["is_quiet"] > 0,
            is_pegged=(channels["pegged_until"] > end) & ~is_bad,
            is_blanked=(ints[layout.IS_SETTLING] > 0) & ~is_bad,
            is_suspended=channels["suspended_until"] > end,
            n_events=channels["n_events"].copy(),
            n_blanked=channels["n_blanked"].copy(),
            n_suspensions=channels["n_suspensions"].copy(),
        )

    def _check_type(self, block: SampleBlock) -> None:
        """Refuse what is not the stream's; learn its type from the first block."""
        samples, n_channels = block.samples, self.stream_format.n_channels
        allowed = ("int16", "uint16", "float32") if self._dtype is None else (str(self._dtype),)
        if samples.shape[1:] != self._row_shape or str(samples.dtype) not in allowed:
            raise ValueError(
                f"detector: block at sample {block.first_sample} is {samples.dtype} "
                f"{samples.shape}, must be {' or '.join(allowed)} (n_samples, {n_channels})"
            )
        self._dtype = samples.dtype
        if samples.dtype == np.float32:
            use_float_samples(self._state, self.settings)

    def _begin_stretch(self, block: SampleBlock, found: Found) -> int:
        """Hand out what waited before a gap, restart behind it; return how many came out."""
        if self._is_started:
            self._n_gaps += 1
            self._n_lost += max(block.n_lost, 0)
            self._collect(self._kernel.finish_stretch(*self._state), found)
            self._waiting_marks.clear()  # what is left lay beyond its block, and is counted
        self._kernel.begin_stretch(block.first_sample, self._is_started, *self._state)
        self._end = self._done_pos = block.first_sample
        self._is_started = True
        return sum(len(spikes) for spikes, _ in found)

    def _take_marks(self, block: SampleBlock) -> None:
        for mark in (*block.stimuli, *block.repeats):
            self._n_stray_marks += not (block.first_sample <= mark.sample_index < block.end_sample)
            self._waiting_marks.append((mark.sample_index, mark.channel))
        self._waiting_marks.sort()

    def _advance(self, samples: Samples, found: Found) -> None:
        self._end += len(samples)
        marks = self._no_marks
        if self._waiting_marks:
            ready = [mark for mark in self._waiting_marks if mark[0] < self._end]
            marks = np.array(ready, np.int64).reshape(-1, 2)
        integers, floats = self._no_integers, self._no_floats
        if self._dtype == np.float32:
            floats = _plain(samples)
        else:
            integers = _plain(self._signed(samples) if self._dtype == np.uint16 else samples)
        self._collect(self._kernel.advance(integers, floats, marks, *self._state), found)

    def _signed(self, samples: Samples) -> Samples:
        """Return counts around 32768 as counts around 0."""
        signed = self._signed_counts[: len(samples)]
        np.bitwise_xor(samples, np.uint16(0x8000), out=signed)
        return signed.view(np.int16)

    def _collect(
        self,
        progress: tuple[int, int, int, int, int, int, int],
        found: Found,
    ) -> None:
        n_sent, n_details, done, n_vetoed, n_blanked, n_columns, n_marks_used = progress
        self._done_pos, self._n_vetoed, self._n_blanked = done, n_vetoed, n_blanked
        self.envelopes.publish(n_columns)
        if n_sent or n_details:
            spikes, details = self._nothing
            if n_sent:
                spikes = _copied(self._state.sent, n_sent)
            if n_details:
                details = SpikeDetails(
                    _copied(self._state.details, n_details),
                    self._state.snippets[:n_details].copy(),
                    details.n_before,
                )
            found.append((spikes, details))
        if n_marks_used:
            del self._waiting_marks[:n_marks_used]

    def _joined(self, found: Found) -> tuple[DetectedSpikeRecords, SpikeDetails]:
        if len(found) == 1:
            return found[0]
        details = SpikeDetails(
            np.concatenate([details.records for _, details in found]),
            np.concatenate([details.snippets_uv for _, details in found]),
            self._nothing[1].n_before,
        )
        return np.concatenate([spikes for spikes, _ in found]), details

    def _empty(self) -> tuple[DetectedSpikeRecords, SpikeDetails]:
        state = self._state
        spikes, records, snippets = (
            state.sent[:0].copy(),
            state.details[:0].copy(),
            state.snippets[:0].copy(),
        )
        for array in (spikes, records, snippets):
            array.flags.writeable = False
        n_before = int(state.settings["n_snippet_before"][0])
        return spikes, SpikeDetails(records, snippets, n_before)


def _copied(records: npt.NDArray[np.void], n: int) -> npt.NDArray[np.void]:
    """Return the first `n` records; numpy copies records several times slower than bytes."""
    return np.frombuffer(records[:n].tobytes(), records.dtype)


def _plain(samples: Samples) -> Any:
    """Return the samples in the one layout that the kernel is compiled for."""
    flags = samples.flags
    if flags.c_contiguous and not flags.writeable:
        return samples
    plain = np.ascontiguousarray(samples).view()
    plain.flags.writeable = False
    return plain


def warm_up() -> None:
    """Compile the kernel, or load it from its cache (0.5 to 30 s); call it before arming."""
    stream_format = StreamFormat(("a", "b"), 20_000.0, 0.195)
    detector = Detector(stream_format, DetectorSettings())
    samples = np.zeros((64, 2), np.int16)
    stimuli = (StimMark(10, 0, math.nan),)
    detector.process(SampleBlock(samples, 0, 0, 0, stimuli))
    detector.process(SampleBlock(samples, 1000, 936, 0))


def _refuse_unknown(stream_format: StreamFormat, role: str, names: Collection[str]) -> None:
    unknown = sorted(set(names) - set(stream_format.channel_names))
    if unknown:
        raise ValueError(
            f"detector: {role} {', '.join(unknown)} is not in the stream, which has "
            f"{', '.join(stream_format.channel_names)}"
        )
