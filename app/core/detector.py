"""Find spikes in sample blocks as they come: causal, and blind to how the stream was cut."""

import enum
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from types import ModuleType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from app.core.filter_design import butterworth_band_pass
from drivers.mea.protocol import SampleBlock, StimMark, StreamFormat

DetectedSpikeRecords = npt.NDArray[np.void]
"""A one-dimensional array of `detection_kernel.DETECTED_SPIKE`: sample_index (i8, the crossing),
channel (u2), flags (u1), trough_offset (u1, samples), amplitude_uv, threshold_uv, sigma_uv (f4)."""


class DetectionFlag(enum.IntFlag):
    """What is to be known about a detected spike."""

    ARTEFACT = 1
    """It crossed together with too many other channels: for the record, not for the network."""
    TRUNCATED = 2
    """A blanking or a gap ended the trough search early."""


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """How spikes are found. Thresholds are magnitudes; times become whole samples.

    The look-ahead, and so the latency, is `blank_before_s` plus the largest of `event_delay_s`,
    `trough_window_s` and `coincidence_window_s`: a stimulus blanks what lies before it, too.
    """

    band_hz: tuple[float, float] = (300.0, 6000.0)
    n_poles_per_edge: int = 1
    """More than one rings, and detects a large spike a second time."""
    threshold_sigma: float = 5.0
    threshold_uv: Mapping[str, float] = field(default_factory=dict)
    """Fixed thresholds by channel name, in place of `threshold_sigma`."""
    polarity: Literal["neg", "pos", "both"] = "neg"
    dead_time_s: float = 0.001
    trough_window_s: float = 0.0005
    event_delay_s: float = 0.0003
    blank_before_s: float = 0.0002
    blank_after_s: float = 0.002
    blank_after_stimulated_s: float = 0.005
    blank_after_saturation_s: float = 0.002
    blank_after_gap_s: float = 0.005
    settle_quiet_s: float = 0.0005
    """A blanked channel is searched again after so long a time well inside its threshold."""
    settle_max_s: float = 0.05
    """Or after this time, if it never calms down."""
    saturation_uv: float | None = None
    """Where the amplifier pegs; None: at the ends of the int16 range."""
    coincidence_fraction: float = 0.6
    coincidence_window_s: float = 0.0003
    n_channels_for_veto: int = 5
    """With fewer channels at work there is no veto: neighbours do see the same spike."""
    noise_floor_uv: float = 1.0
    noise_interval_s: float = 0.0005
    noise_window_s: float = 2.0
    min_noise_s: float = 1.0
    """Calm signal seen by a channel before its first estimate, and so before its first spike."""
    noise_refresh_s: float = 1.0
    noise_smoothing_s: float = 10.0
    max_rate_hz: float = 300.0
    """More events than this times `noise_refresh_s` in one refresh period suspend a channel."""
    suspend_s: float = 1.0

    def __post_init__(self) -> None:
        if self.polarity not in ("neg", "pos", "both"):
            raise ValueError(f"detector: polarity {self.polarity!r}, allowed: neg, pos, both")
        for name in (f.name for f in fields(self)):
            value = getattr(self, name)
            if name.endswith("_s") and not (0 <= value <= 3600):
                raise ValueError(f"detector: {name} is {value} s, allowed 0 to 3600 s")
        for name, unit in _POSITIVE.items():
            value = getattr(self, name)
            if value is not None and not (0 < value < math.inf):
                raise ValueError(f"detector: {name} is {value} {unit}, must be above 0 and finite")
        _refuse_bad_thresholds(self.threshold_uv)
        if not (0 < self.coincidence_fraction <= 1):
            raise ValueError(
                f"detector: coincidence_fraction is {self.coincidence_fraction}, allowed above 0 "
                "to 1"
            )
        if not (self.n_channels_for_veto >= 2):
            raise ValueError(
                f"detector: n_channels_for_veto is {self.n_channels_for_veto}, at least 2"
            )
        if not (self.min_noise_s <= self.noise_window_s):
            raise ValueError(
                f"detector: min_noise_s {self.min_noise_s} s is longer than noise_window_s "
                f"{self.noise_window_s} s and would never be reached"
            )


_INT16_MAX = 32767
_POSITIVE = {
    "threshold_sigma": "sigma",
    "saturation_uv": "uV",
    "noise_floor_uv": "uV",
    "noise_interval_s": "s",
    "noise_refresh_s": "s",
    "noise_smoothing_s": "s",
    "min_noise_s": "s",
    "max_rate_hz": "Hz",
}


@dataclass(frozen=True, slots=True, eq=False)
class DetectedSpikes:
    """What one block added. Spikes are in order of sample index, then of channel."""

    spikes: DetectedSpikeRecords
    end_sample: int
    """No event with a crossing before this index will follow."""
    n_vetoed: int
    """How many of `spikes` carry the ARTEFACT flag."""
    n_blanked: int
    """Samples of single channels withheld from the search by blanking."""
    has_gap: bool = False
    """Samples are missing before this block, or its counter restarted."""
    n_before_gap: int = 0
    """How many of `spikes` are from before that gap. After a restart of the counter the order of
    sample indices holds on either side only."""


@dataclass(frozen=True, slots=True, eq=False)
class DetectorStatus:
    """A copy of the detector's state; arrays are `(n_channels,)`."""

    is_settled: bool
    n_samples: int
    n_gaps: int
    n_lost: int
    """Missing samples, where their number is known."""
    n_stray_marks: int
    """Stimulus marks that did not lie in their block."""
    n_vetoed: int
    sigma_uv: npt.NDArray[np.float32]
    """nan before the first estimate and on bad channels."""
    threshold_uv: npt.NDArray[np.float32]
    is_bad: npt.NDArray[np.bool_]
    """Excluded by the operator."""
    is_dead: npt.NDArray[np.bool_]
    """Noise below the floor: probably not connected."""
    is_pegged: npt.NDArray[np.bool_]
    is_blanked: npt.NDArray[np.bool_]
    is_suspended: npt.NDArray[np.bool_]
    n_events: npt.NDArray[np.int64]
    n_blanked: npt.NDArray[np.int64]
    n_suspensions: npt.NDArray[np.int64]


class Detector:
    """The detector of one stream. One thread calls everything.

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
        _refuse_unknown(stream_format, "channel with a fixed threshold", settings.threshold_uv)
        self.stream_format = stream_format
        self.settings = settings
        self._kernel = detection_kernel
        self._k = _kernel_settings(detection_kernel, stream_format, settings)
        self._state = _kernel_state(
            detection_kernel, stream_format, settings, self._k, frozenset(bad_channels)
        )
        self._no_marks = np.empty((0, 2), np.int64)
        self._no_spikes = np.empty(0, detection_kernel.DETECTED_SPIKE)
        self._no_spikes.flags.writeable = False
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

    @property
    def look_ahead_s(self) -> float:
        """Get how long after its crossing an event is handed out, block length not counted."""
        return float(self._k.n_hold / self.stream_format.sample_rate_hz)

    @property
    def is_settled(self) -> bool:
        """Say whether every channel that is neither bad nor pegged knows its noise."""
        channels = self._state.channels
        is_pegged = channels["pegged_until"] > self._state.cursor["scan_pos"][0]
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
        samples = self._check(block)
        n_vetoed, n_blanked = self._n_vetoed, self._n_blanked
        found: list[DetectedSpikeRecords] = []
        has_gap, n_before_gap = False, 0
        if block.n_lost != 0 or block.first_sample != self._end:
            has_gap = self._is_started
            n_before_gap = self._begin_stretch(block, found)
        if block.stimuli:
            self._take_marks(block)
        step = self._kernel.MAX_ROWS
        for start in range(0, len(samples), step):
            self._advance(samples[start : start + step], found)
        self._n_samples += len(samples)
        return DetectedSpikes(
            spikes=self._joined(found),
            end_sample=self._done_pos,
            n_vetoed=self._n_vetoed - n_vetoed,
            n_blanked=self._n_blanked - n_blanked,
            has_gap=has_gap,
            n_before_gap=n_before_gap,
        )

    def status(self) -> DetectorStatus:
        """Return a copy of the state, to be shown or recorded."""
        channels = self._state.channels
        scan_pos = self._state.cursor["scan_pos"][0]
        sigma_uv = channels["sigma_uv"]
        is_bad = channels["is_enabled"] == 0
        return DetectorStatus(
            is_settled=self.is_settled,
            n_samples=self._n_samples,
            n_gaps=self._n_gaps,
            n_lost=self._n_lost,
            n_stray_marks=self._n_stray_marks,
            n_vetoed=self._n_vetoed,
            sigma_uv=np.where(sigma_uv > 0, sigma_uv, np.float32(np.nan)),
            threshold_uv=self._state.threshold_uv.copy(),
            is_bad=is_bad,
            is_dead=channels["is_quiet"] > 0,
            is_pegged=(channels["pegged_until"] > scan_pos) & ~is_bad,
            is_blanked=(channels["is_settling"] > 0) & ~is_bad,
            is_suspended=channels["suspended_until"] > scan_pos,
            n_events=channels["n_events"].copy(),
            n_blanked=channels["n_blanked"].copy(),
            n_suspensions=channels["n_suspensions"].copy(),
        )

    def _check(self, block: SampleBlock) -> npt.NDArray[np.int16]:
        samples = block.samples
        n_channels = self.stream_format.n_channels
        if samples.dtype != np.int16 or samples.ndim != 2 or samples.shape[1] != n_channels:
            raise ValueError(
                f"detector: block at sample {block.first_sample} is {samples.dtype} "
                f"{samples.shape}, must be int16 (n_samples, {n_channels})"
            )
        samples = np.ascontiguousarray(samples).view()
        samples.flags.writeable = False  # a writable array would be another type to compile for
        return samples

    def _begin_stretch(self, block: SampleBlock, found: list[DetectedSpikeRecords]) -> int:
        """Hand out what waited before a gap, restart behind it; return how many came out."""
        if self._is_started:
            self._n_gaps += 1
            self._n_lost += max(block.n_lost, 0)
            marks = self._marks_before(self._end)
            self._collect(self._kernel.finish_stretch(marks, self._k, self._state), found)
            self._waiting_marks.clear()  # what is left lay beyond its block, and is counted
        self._kernel.begin_stretch(block.first_sample, self._k, self._state)
        self._end = self._done_pos = block.first_sample
        self._is_started = True
        return sum(map(len, found))

    def _take_marks(self, block: SampleBlock) -> None:
        for mark in block.stimuli:
            self._n_stray_marks += not (block.first_sample <= mark.sample_index < block.end_sample)
            self._waiting_marks.append((mark.sample_index, mark.channel))
        self._waiting_marks.sort()

    def _marks_before(self, end: int) -> npt.NDArray[np.int64]:
        ready = [mark for mark in self._waiting_marks if mark[0] < end]
        return np.array(ready, np.int64) if ready else self._no_marks

    def _advance(self, samples: npt.NDArray[np.int16], found: list[DetectedSpikeRecords]) -> None:
        self._end += len(samples)
        marks = self._marks_before(self._end) if self._waiting_marks else self._no_marks
        self._collect(self._kernel.advance(samples, marks, self._k, self._state), found)

    def _collect(
        self, progress: tuple[int, int, int, int, int], found: list[DetectedSpikeRecords]
    ) -> None:
        n_found, self._done_pos, self._n_vetoed, self._n_blanked, n_marks_used = progress
        if n_found:
            found.append(self._state.out[:n_found].copy())
        if n_marks_used:
            del self._waiting_marks[:n_marks_used]

    def _joined(self, found: list[DetectedSpikeRecords]) -> DetectedSpikeRecords:
        if not found:
            return self._no_spikes
        return found[0] if len(found) == 1 else np.concatenate(found)


def warm_up() -> None:
    """Compile the kernel, or load it from its cache (0.5 to 20 s); call it before arming."""
    stream_format = StreamFormat(("a", "b"), 20_000.0, 0.195)
    detector = Detector(stream_format, DetectorSettings())
    samples = np.zeros((64, 2), np.int16)
    stimuli = (StimMark(10, 0, math.nan),)
    detector.process(SampleBlock(samples, 0, 0, 0, stimuli))
    detector.process(SampleBlock(samples, 1000, 936, 0))


def _refuse_bad_thresholds(threshold_uv: Mapping[str, float]) -> None:
    for channel, value_uv in threshold_uv.items():
        if not (0 < value_uv < math.inf):
            raise ValueError(
                f"detector: threshold of channel {channel} is {value_uv} uV, must be a magnitude "
                "above 0 and finite; polarity says which side"
            )


def _refuse_unknown(stream_format: StreamFormat, role: str, names: Collection[str]) -> None:
    unknown = sorted(set(names) - set(stream_format.channel_names))
    if unknown:
        raise ValueError(
            f"detector: {role} {', '.join(unknown)} is not in the stream, which has "
            f"{', '.join(stream_format.channel_names)}"
        )


def _kernel_settings(
    kernel: ModuleType, stream_format: StreamFormat, settings: DetectorSettings
) -> Any:
    """Return the kernel's `KernelSettings`: everything in samples, counts and microvolts."""
    rate_hz = stream_format.sample_rate_hz
    scale_uv = stream_format.microvolts_per_count
    if not (0 < scale_uv < math.inf):
        raise ValueError(
            f"detector: stream has {scale_uv} uV per count, must be above 0 and finite"
        )

    def n(duration_s: float) -> int:
        return round(duration_s * rate_hz)

    n_before, n_trough = n(settings.blank_before_s), n(settings.trough_window_s)
    n_coincidence, n_dead_time = n(settings.coincidence_window_s), n(settings.dead_time_s)
    if not (1 <= n_trough <= 255):
        raise ValueError(
            f"detector: trough_window_s {settings.trough_window_s} s is {n_trough} samples at "
            f"{rate_hz} Hz, allowed 1 to 255"
        )
    if not (n_coincidence < n_dead_time):
        raise ValueError(
            f"detector: dead_time_s {settings.dead_time_s} s must be longer than "
            f"coincidence_window_s {settings.coincidence_window_s} s, or one channel counts twice"
        )
    n_decimation = max(1, n(settings.noise_interval_s))
    smoothing = 1 - math.exp(-settings.noise_refresh_s / settings.noise_smoothing_s)
    return kernel.KernelSettings(
        scale_uv=np.float32(scale_uv),
        saturation_counts=_saturation_counts(settings.saturation_uv, scale_uv),
        n_before=n_before,
        n_after=n(settings.blank_after_s),
        n_after_stimulated=n(settings.blank_after_stimulated_s),
        n_after_saturation=n(settings.blank_after_saturation_s),
        n_after_gap=n(settings.blank_after_gap_s),
        n_quiet=max(1, n(settings.settle_quiet_s)),
        n_settle_max=n(settings.settle_max_s),
        n_dead_time=n_dead_time,
        n_trough=n_trough,
        n_coincidence=n_coincidence,
        n_hold=n_before + max(n_trough, n_coincidence, n(settings.event_delay_s)),
        coincidence_fraction=float(settings.coincidence_fraction),
        n_channels_for_veto=settings.n_channels_for_veto,
        is_negative_searched=settings.polarity != "pos",
        is_positive_searched=settings.polarity != "neg",
        n_decimation=n_decimation,
        n_ticks_per_refresh=max(1, n(settings.noise_refresh_s) // n_decimation),
        n_noise_min=max(1, n(settings.min_noise_s) // n_decimation),
        noise_smoothing=np.float32(smoothing),
        noise_floor_uv=np.float32(settings.noise_floor_uv),
        threshold_sigma=np.float32(settings.threshold_sigma),
        n_events_max=math.floor(settings.max_rate_hz * settings.noise_refresh_s),
        n_suspend=n(settings.suspend_s),
    )


def _saturation_counts(saturation_uv: float | None, microvolts_per_count: float) -> int:
    if saturation_uv is None:
        return _INT16_MAX
    if not (saturation_uv <= _INT16_MAX * microvolts_per_count):
        raise ValueError(
            f"detector: saturation_uv {saturation_uv} uV is more than the stream can carry, "
            f"{_INT16_MAX * microvolts_per_count} uV"
        )
    return math.ceil(saturation_uv / microvolts_per_count)


def _kernel_state(
    kernel: ModuleType,
    stream_format: StreamFormat,
    settings: DetectorSettings,
    k: Any,
    bad_channels: Collection[str],
) -> Any:
    """Return the kernel's `KernelState` before the first sample."""
    n_channels = stream_format.n_channels
    n_rows = kernel.MAX_ROWS + k.n_hold + 1
    n_events = n_channels * (n_rows // k.n_dead_time + 2)
    n_ring = round(settings.noise_window_s * stream_format.sample_rate_hz) // k.n_decimation
    sections = butterworth_band_pass(
        settings.band_hz, stream_format.sample_rate_hz, settings.n_poles_per_edge
    )
    names = stream_format.channel_names
    channels = np.zeros(n_channels, kernel.CHANNEL)
    channels["is_enabled"] = [name not in bad_channels for name in names]
    channels["pinned_uv"] = [settings.threshold_uv.get(name, 0.0) for name in names]
    channels["phase"] = np.arange(n_channels) * k.n_ticks_per_refresh // max(n_channels, 1)
    return kernel.KernelState(
        sections=sections.astype(np.float32),
        delays=np.zeros((len(sections), 2, n_channels), np.float32),
        work=np.zeros((n_rows, n_channels), np.float32),
        rails=np.zeros((kernel.MAX_ROWS, n_channels), np.bool_),
        cursor=np.zeros(1, kernel.CURSOR),
        channels=channels,
        noise=np.zeros((n_channels, max(n_ring, k.n_noise_min)), np.float32),
        threshold_uv=np.full(n_channels, np.inf, np.float32),
        lowest=np.zeros(n_channels, np.float32),
        highest=np.zeros(n_channels, np.float32),
        pending=np.zeros(n_events, kernel.PENDING),
        out=np.zeros(n_events, kernel.DETECTED_SPIKE),
    )
