"""How spikes are found on a stream, as its configuration says it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """How spikes are found. Thresholds are magnitudes; times become whole samples.

    The latency is `event_delay_s`: so long after its crossing an event is handed out. It covers the
    coincidence window and the time by which a stimulus blanks what lies before it.
    """

    band_hz: tuple[float, float] = (300.0, 6000.0)
    n_poles_per_edge: int = 1
    """More than one rings, and detects a large spike a second time."""
    has_common_reference: bool = False
    """Subtract from each sample the median over all channels in use."""
    threshold_sigma: float = 5.0
    threshold_uv: Mapping[str, float] = field(default_factory=dict)
    """Fixed thresholds by channel name, in place of `threshold_sigma`."""
    channel_threshold_sigma: Mapping[str, float] = field(default_factory=dict)
    """Multiples of the noise by channel name, in place of `threshold_sigma`."""
    polarity: Literal["neg", "pos", "both"] = "neg"
    dead_time_s: float = 0.001
    trough_window_s: float = 0.0005
    event_delay_s: float = 0.0003
    snippet_before_s: float = 0.001
    """Of a snippet, before the trough."""
    snippet_after_s: float = 0.002
    column_s: float = 0.001
    """Of an envelope column; becomes a multiple of `noise_interval_s`."""
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
    """Where the amplifier pegs; None: at the ends of the integers' range, or at 1 V."""
    coincidence_fraction: float = 0.6
    coincidence_window_s: float = 0.0003
    n_channels_for_veto: int = 5
    """With fewer channels at work there is no veto: neighbours do see the same spike."""
    noise_floor_uv: float = 1.0
    noise_interval_s: float = 0.001
    min_noise_s: float = 1.0
    """Calm signal seen by a channel before its first estimate, and so before its first spike."""
    noise_refresh_s: float = 1.0
    noise_smoothing_s: float = 10.0
    burst_rate_hz: float = 100.0
    """A channel that fired faster in a refresh period keeps its noise,"""
    burst_freeze_max_s: float = 10.0
    """but not for longer than this: what lasts is no burst."""
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
        _refuse_bad_thresholds(self.threshold_uv, "uV")
        _refuse_bad_thresholds(self.channel_threshold_sigma, "sigma")
        _refuse_both(self.threshold_uv, self.channel_threshold_sigma)
        if not (0 < self.coincidence_fraction <= 1):
            raise ValueError(
                f"detector: coincidence_fraction is {self.coincidence_fraction}, allowed above 0 "
                "to 1"
            )
        if not (self.n_channels_for_veto >= 2):
            raise ValueError(
                f"detector: n_channels_for_veto is {self.n_channels_for_veto}, at least 2"
            )
        for name in ("coincidence_window_s", "blank_before_s"):
            if not (getattr(self, name) <= self.event_delay_s):
                raise ValueError(
                    f"detector: {name} is {getattr(self, name)} s, longer than event_delay_s "
                    f"{self.event_delay_s} s: the event would be gone before it is known"
                )


_POSITIVE = {
    "threshold_sigma": "sigma",
    "saturation_uv": "uV",
    "noise_floor_uv": "uV",
    "noise_interval_s": "s",
    "noise_refresh_s": "s",
    "noise_smoothing_s": "s",
    "min_noise_s": "s",
    "burst_rate_hz": "Hz",
    "max_rate_hz": "Hz",
    "snippet_after_s": "s",
    "column_s": "s",
}


def _refuse_bad_thresholds(thresholds: Mapping[str, float], unit: str) -> None:
    for channel, value in thresholds.items():
        if not (0 < value < math.inf):
            raise ValueError(
                f"detector: threshold of channel {channel} is {value} {unit}, must be a magnitude "
                "above 0 and finite; polarity says which side"
            )


def _refuse_both(threshold_uv: Mapping[str, float], threshold_sigma: Mapping[str, float]) -> None:
    if twice := sorted(set(threshold_uv) & set(threshold_sigma)):
        raise ValueError(
            f"detector: channel {twice[0]} has a threshold in uV and one in sigma; take one out"
        )
