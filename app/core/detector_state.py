"""The detector's settings in samples and counts, and its arrays before the first sample."""

import math
from collections.abc import Collection
from statistics import NormalDist

import numpy as np

from app.core import detection_layout as layout
from app.core.detector_settings import DetectorSettings
from app.core.filter_design import butterworth_band_pass
from app.core.signal_view import SPIKE_DETAIL, EnvelopeRing
from drivers.mea.protocol import StreamFormat

INT16_MAX = 32767
FLOAT_RAIL_UV = 1e6
"""Of samples that come as float32: more than any electrode carries."""
FIRST_GUESS_UV = 5.0
ENVELOPE_RING_S = 0.5
DETAILS_EVERY_S = 0.01
"""Nobody waits for details, and collecting them costs per batch."""


def kernel_state(
    stream_format: StreamFormat,
    settings: DetectorSettings,
    bad_channels: Collection[str],
) -> tuple[layout.KernelState, EnvelopeRing]:
    """Return everything that the kernel writes in place; nothing is allocated afterwards.

    Raises
    ------
    ValueError
        A setting does not fit the stream.
    """
    n_channels, rate_hz = stream_format.n_channels, stream_format.sample_rate_hz
    k = _settings_record(stream_format, settings)
    (n_detail, n_decimation, n_dead_time, n_column) = (
        int(k[name][0]) for name in ("n_detail", "n_decimation", "n_dead_time", "n_column")
    )
    sections = butterworth_band_pass(settings.band_hz, rate_hz, settings.n_poles_per_edge)
    coefficients = np.ascontiguousarray(sections[:, [0, 3, 4]], np.float32)
    coefficients[0, 0] = np.float32(sections[0, 0] * stream_format.microvolts_per_count)
    n_snippet = round((settings.snippet_before_s + settings.snippet_after_s) * rate_hz)
    n_kept = n_detail + n_snippet + n_decimation + 2
    n_waiting = n_channels * ((n_detail + n_decimation) // n_dead_time + 2)
    n_rows_of_details = layout.MAX_ROWS + int(k["n_details_every"][0])
    n_out = n_waiting + n_channels * (n_rows_of_details // n_dead_time + 2)
    width = n_channels + layout.LANES
    n_columns = max(
        round(ENVELOPE_RING_S * rate_hz / n_column), 2 * (layout.MAX_ROWS // n_column + 2)
    )
    ring = EnvelopeRing(n_channels, n_column, n_columns, stream_format.microvolts_per_count)
    quantile = NormalDist().inv_cdf
    shares = np.arange(layout.N_QUANTILES) / layout.N_QUANTILES
    state = layout.KernelState(
        settings=k,
        cursor=np.zeros(1, layout.CURSOR),
        sections=coefficients,
        delays=np.zeros((2 * len(sections), width), np.float32),
        floats=np.zeros((layout.N_FLOATS, width), np.float32),
        ints=np.zeros((layout.N_INTS, width), np.int32),
        channels=_channels(stream_format, settings, bad_channels),
        ring=np.zeros((1 << (n_kept - 1).bit_length(), width), np.float32),
        pending=np.zeros(n_waiting, layout.PENDING),
        sent=np.zeros(n_out, layout.DETECTED_SPIKE),
        details=np.zeros(n_out, SPIKE_DETAIL),
        snippets=np.zeros((n_out, n_snippet), np.float32),
        quantiles=np.array([quantile((1 + p) / 2) for p in shares] + [math.inf], np.float32),
        column_values=ring.values,
        column_marks=ring.marks,
        column_extents=ring.extents,
    )
    state.cursor["n_unknown"] = np.sum(state.channels["is_enabled"])
    state.floats[layout.MEDIAN] = FIRST_GUESS_UV
    state.floats[layout.NEGATIVE_LIMIT] = -np.inf
    state.floats[layout.POSITIVE_LIMIT] = np.inf
    return state, ring


def _channels(
    stream_format: StreamFormat, settings: DetectorSettings, bad_channels: Collection[str]
) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    names = stream_format.channel_names
    channels = np.zeros(len(names), layout.CHANNEL)
    channels["is_enabled"] = [name not in bad_channels for name in names]
    channels["pinned_uv"] = [settings.threshold_uv.get(name, 0.0) for name in names]
    own_sigma = settings.channel_threshold_sigma
    channels["threshold_sigma"] = [own_sigma.get(name, settings.threshold_sigma) for name in names]
    return channels


def _settings_record(
    stream_format: StreamFormat, settings: DetectorSettings
) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Return the one record of `detection_layout.SETTINGS`."""
    rate_hz, scale_uv = stream_format.sample_rate_hz, stream_format.microvolts_per_count
    if not (0 < scale_uv < math.inf):
        raise ValueError(
            f"detector: stream has {scale_uv} uV per count, must be above 0 and finite"
        )

    def n(duration_s: float) -> int:
        return round(duration_s * rate_hz)

    k = np.zeros(1, layout.SETTINGS)
    k["n_before"] = n(settings.blank_before_s)
    k["n_after"] = n(settings.blank_after_s)
    k["n_after_stimulated"] = n(settings.blank_after_stimulated_s)
    k["n_after_saturation"] = n(settings.blank_after_saturation_s)
    k["n_after_gap"] = n(settings.blank_after_gap_s)
    k["n_quiet"] = max(1, n(settings.settle_quiet_s))
    k["n_settle_max"] = n(settings.settle_max_s)
    k["n_dead_time"] = n(settings.dead_time_s)
    k["n_trough"] = n(settings.trough_window_s)
    k["n_coincidence"] = n(settings.coincidence_window_s)
    k["n_delay"] = n(settings.event_delay_s)
    n_after_trough = max(n(settings.snippet_after_s), n(settings.blank_before_s))
    k["n_detail"] = max(n(settings.trough_window_s) + n_after_trough, n(settings.event_delay_s))
    k["n_snippet_before"] = n(settings.snippet_before_s)
    k["n_decimation"] = n_decimation = max(1, n(settings.noise_interval_s))
    k["n_turns"] = max(1, n(settings.noise_refresh_s) // n_decimation)
    k["n_noise_min"] = max(1, n(settings.min_noise_s) // n_decimation)
    k["n_column"] = max(1, round(settings.column_s * rate_hz / n_decimation)) * n_decimation
    k["n_details_every"] = n(DETAILS_EVERY_S)
    k["n_suspend"] = n(settings.suspend_s)
    k["n_events_max"] = math.floor(settings.max_rate_hz * settings.noise_refresh_s)
    k["n_events_burst"] = math.floor(settings.burst_rate_hz * settings.noise_refresh_s)
    k["n_frozen_max"] = round(settings.burst_freeze_max_s / settings.noise_refresh_s)
    k["n_channels_for_veto"] = settings.n_channels_for_veto
    k["coincidence_fraction"] = settings.coincidence_fraction
    k["scale_uv"] = scale_uv
    k["rail_counts"] = _rail_counts(settings.saturation_uv, scale_uv)
    k["clamp_counts"] = np.inf
    k["noise_floor_uv"] = settings.noise_floor_uv
    k["noise_smoothing"] = 1 - math.exp(-settings.noise_refresh_s / settings.noise_smoothing_s)
    k["is_negative_searched"] = settings.polarity != "pos"
    k["is_positive_searched"] = settings.polarity != "neg"
    k["is_fused"] = settings.n_poles_per_edge == 1 and not settings.has_common_reference
    k["has_reference"] = settings.has_common_reference
    _refuse_what_does_not_fit(k, settings, rate_hz)
    return k


def _refuse_what_does_not_fit(
    k: np.ndarray[tuple[int], np.dtype[np.void]], settings: DetectorSettings, rate_hz: float
) -> None:
    n_trough, n_dead_time = int(k["n_trough"][0]), int(k["n_dead_time"][0])
    if not (1 <= n_trough <= 255):
        raise ValueError(
            f"detector: trough_window_s {settings.trough_window_s} s is {n_trough} samples at "
            f"{rate_hz} Hz, allowed 1 to 255"
        )
    if not (int(k["n_coincidence"][0]) < n_dead_time):
        raise ValueError(
            f"detector: dead_time_s {settings.dead_time_s} s must be longer than "
            f"coincidence_window_s {settings.coincidence_window_s} s, or one channel counts twice"
        )
    if not (settings.snippet_before_s + settings.snippet_after_s <= 0.05):
        raise ValueError("detector: snippet_before_s and snippet_after_s, at most 0.05 s together")


def use_float_samples(state: layout.KernelState, settings: DetectorSettings) -> None:
    """Prepare for samples that come as float32, and may be no numbers."""
    rail_uv = FLOAT_RAIL_UV if settings.saturation_uv is None else settings.saturation_uv
    state.settings["rail_counts"] = rail_uv / state.settings["scale_uv"]
    state.settings["clamp_counts"] = state.settings["rail_counts"]
    state.settings["is_fused"] = False
    state.settings["is_float"] = True


def _rail_counts(saturation_uv: float | None, microvolts_per_count: float) -> int:
    if saturation_uv is None:
        return INT16_MAX
    if not (saturation_uv <= INT16_MAX * microvolts_per_count):
        raise ValueError(
            f"detector: saturation_uv {saturation_uv} uV is more than the stream can carry, "
            f"{INT16_MAX * microvolts_per_count} uV"
        )
    return math.ceil(saturation_uv / microvolts_per_count)
