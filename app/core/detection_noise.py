"""Compiled: the noise of each channel, as the median magnitude of its filtered signal.

Once per tick each calm channel says on which side of its present median the signal lies. The share
below tells, after a refresh period, where the median is: it is right when half of the values were
below, and else it is moved by what the share would mean for Gaussian noise. This has the variance
of the median of the same values and the same indifference to spikes, at the cost of one comparison.
sigma = median(|y|) / 0.6745: Quiroga, Nadasdy, Ben-Shaul, Neural Computation 16 (2004).
"""

import numpy as np

from app.core.detection_jit import compiled
from app.core.detection_layout import (
    IS_KNOWN,
    IS_SUSPENDED,
    MEDIAN,
    N_BELOW,
    N_QUANTILES,
    N_VALUES,
    NEGATIVE_LIMIT,
    POSITIVE_LIMIT,
    RESTING,
    WEIGHT,
    KernelState,
)

MEDIAN_OF_UNIT_NOISE = np.float32(0.6745)
N_STAGES = 5
"""Of the first estimate: each takes as many values as all before it, the first two a sixteenth."""


@compiled
def set_limits(c: int, s: KernelState) -> None:
    """Set the thresholds of a channel from its noise, or from the operator's microvolts."""
    channel, settings = s.channels[c], s.settings[0]
    infinite = np.float32(np.inf)
    magnitude = channel.threshold_sigma * channel.sigma_uv
    if channel.pinned_uv > 0:
        magnitude = channel.pinned_uv
    if channel.sigma_uv == 0 or not channel.is_enabled:
        magnitude = infinite
    s.floats[NEGATIVE_LIMIT, c] = -magnitude if settings.is_negative_searched else -infinite
    s.floats[POSITIVE_LIMIT, c] = magnitude if settings.is_positive_searched else infinite


@compiled
def _take_estimate(c: int, s: KernelState) -> np.float32:
    """Return the sigma that the values since the last estimate speak for, and begin anew."""
    share = s.ints[N_BELOW, c] / s.ints[N_VALUES, c]
    at = min(max(share, 0.02), 0.98) * N_QUANTILES
    i = int(at)
    low, high = s.quantiles[i], s.quantiles[i + 1]
    in_sigma = low + np.float32(at - i) * (high - low)
    s.ints[N_BELOW, c] = 0
    s.ints[N_VALUES, c] = 0
    return s.floats[MEDIAN, c] / in_sigma


@compiled
def _approach(c: int, s: KernelState) -> None:
    """Take the first estimate in stages; when the last is done, the channel's noise is known."""
    channel, settings = s.channels[c], s.settings[0]
    n_due = max(4, settings.n_noise_min >> (N_STAGES - 1 - max(channel.stage - 1, 0)))
    if s.ints[N_VALUES, c] < n_due:
        return
    estimate = _take_estimate(c, s)
    channel.stage += 1
    if channel.stage == N_STAGES:
        channel.stage = 1
        channel.is_quiet = estimate < settings.noise_floor_uv
        channel.sigma_uv = max(estimate, settings.noise_floor_uv)
        s.ints[IS_KNOWN, c] = 1
        s.cursor[0].n_unknown -= 1
        estimate = channel.sigma_uv
        set_limits(c, s)
    s.floats[MEDIAN, c] = MEDIAN_OF_UNIT_NOISE * estimate


@compiled
def _refresh(c: int, s: KernelState) -> None:
    """Let the noise follow what was seen since the last refresh, unless that was a burst."""
    channel, settings = s.channels[c], s.settings[0]
    is_burst = channel.n_in_period > settings.n_events_burst
    channel.n_in_period = 0
    if channel.sigma_uv == 0:
        return
    if is_burst and channel.n_frozen < settings.n_frozen_max:
        channel.n_frozen += 1
        s.ints[N_BELOW, c] = 0
        s.ints[N_VALUES, c] = 0
        return
    if s.ints[N_VALUES, c] < max(4, settings.n_turns // 8):
        return
    estimate = _take_estimate(c, s)
    channel.n_frozen = 0
    channel.stage += 1
    channel.is_quiet = estimate < settings.noise_floor_uv
    estimate = max(estimate, settings.noise_floor_uv)
    step = max(settings.noise_smoothing, np.float32(1) / np.float32(channel.stage))
    channel.sigma_uv += step * (estimate - channel.sigma_uv)
    s.floats[MEDIAN, c] = MEDIAN_OF_UNIT_NOISE * channel.sigma_uv
    set_limits(c, s)


@compiled
def _wake(t: int, s: KernelState) -> None:
    """Let go of channels whose dead time and suspension are over; their noise counts again."""
    cursor, resting, n_left = s.cursor[0], s.ints[RESTING], 0
    for i in range(cursor.n_resting):
        c = resting[i]
        channel = s.channels[c]
        s.ints[IS_SUSPENDED, c] = t < channel.suspended_until
        if t >= channel.dead_until:
            # A suspended channel fires all the time: its noise is learnt from what it does.
            s.ints[WEIGHT, c] = channel.calm_since <= t
            if t >= channel.suspended_until:
                channel.is_resting = 0
                continue
        resting[n_left] = c
        n_left += 1
    cursor.n_resting = n_left


@compiled
def tick(t: int, s: KernelState) -> None:
    """Take one noise value per calm channel; refresh the channels whose turn it is.

    Turns are spread over the refresh period, so that no block has to wait for all channels.
    """
    settings, cursor = s.settings[0], s.cursor[0]
    n = s.channels.shape[0]
    _wake(t, s)
    row, median = s.ring[t & (s.ring.shape[0] - 1)], s.floats[MEDIAN]
    weight, n_values, n_below = s.ints[WEIGHT], s.ints[N_VALUES], s.ints[N_BELOW]
    is_known, is_suspended = s.ints[IS_KNOWN], s.ints[IS_SUSPENDED]
    n_live = np.int32(0)
    for c in range(n):
        w = weight[c]
        is_below = np.int32(abs(row[c]) < median[c])
        n_values[c] += w
        n_below[c] += w & is_below
        n_live += is_known[c] & (1 - is_suspended[c])
    cursor.n_live = n_live
    if cursor.n_unknown:
        for c in range(n):
            if not is_known[c] and s.channels[c].is_enabled:
                _approach(c, s)
    turn = (t // settings.n_decimation) % settings.n_turns
    first = -(-turn * n // settings.n_turns)
    stop = -(-(turn + 1) * n // settings.n_turns)
    for c in range(first, stop):
        _refresh(c, s)
