"""Compiled: blanking, crossings and the runaway cap, channel by channel and sample by sample.

Only channels whose envelope passed a threshold or a rail, or which are blanked, are looked at. A
blanking reaches back before the stimulus or the rail that causes it; crossings found there are
withdrawn, and remember when that was decided.
"""

import numpy as np

from app.core.detection_filter import Samples, count_at
from app.core.detection_jit import compiled, inlined
from app.core.detection_layout import (
    FLAG_TRUNCATED,
    HIGHEST,
    IS_HIT,
    IS_SETTLING,
    IS_SUSPENDED,
    LOWEST,
    MARK_BLANKED,
    MARK_SATURATED,
    MARKS,
    NEGATIVE_LIMIT,
    NEVER,
    POSITIVE_LIMIT,
    RAW_HIGHEST,
    RAW_LOWEST,
    RESTING,
    WEIGHT,
    KernelState,
)

N_GROUP = 32
"""Channels that are dismissed together when nothing happened on any of them."""


@compiled
def _withdraw(c: int, start: int, known_at: int, s: KernelState) -> None:
    """Withdraw crossings from `start` on, and end earlier trough searches there; c = -1: all."""
    n_trough = s.settings[0].n_trough
    for i in range(s.cursor[0].n_pending - 1, -1, -1):
        event = s.pending[i]
        if event.sample_index + n_trough < start:
            break
        if c >= 0 and event.channel != c:
            continue
        if event.sample_index >= start:
            event.withdrawn_at = min(event.withdrawn_at, known_at)
        elif event.trough_end > start:
            event.trough_end = start
            event.truncated_at = known_at
            event.flags |= FLAG_TRUNCATED


@compiled
def _blank(c: int, start: int, known_at: int, until: int, s: KernelState) -> None:
    """Withhold a channel from the search; `start` lies before `known_at`."""
    channel = s.channels[c]
    if until <= channel.blank_until:
        return
    if not s.ints[IS_SETTLING, c] and channel.is_enabled:
        n_before = known_at - max(start, channel.calm_since)
        channel.n_blanked += n_before
        s.cursor[0].n_blanked += n_before
    channel.blank_until = until
    channel.settle_until = until + s.settings[0].n_settle_max
    channel.calm_since = NEVER
    channel.n_quiet = 0
    s.ints[IS_SETTLING, c] = 1
    s.ints[WEIGHT, c] = 0


@compiled
def blank_for_stimulus(index: int, stimulated: int, known_at: int, s: KernelState) -> None:
    """Blank all channels around a stimulus, and the stimulated one for longer."""
    settings = s.settings[0]
    start = index - settings.n_before
    for c in range(s.channels.shape[0]):
        n_after = settings.n_after
        if c == stimulated:
            n_after = max(n_after, settings.n_after_stimulated)
            s.channels[c].stimulated_until = index + n_after
        _blank(c, start, known_at, index + n_after, s)
    _withdraw(-1, start, known_at, s)


@compiled
def blank_after_gap(first_sample: int, s: KernelState) -> None:
    """Withhold every channel while the filter settles."""
    for c in range(s.channels.shape[0]):
        channel = s.channels[c]
        channel.blank_until = first_sample
        channel.calm_since = first_sample
        until = first_sample + s.settings[0].n_after_gap
        _blank(c, first_sample, first_sample, max(until, first_sample + 1), s)


@inlined
def _peg(c: int, t: int, s: KernelState) -> None:
    """Blank a channel that is at a rail at `t`."""
    settings = s.settings[0]
    until = t + 1 + settings.n_after_saturation
    s.channels[c].pegged_until = until
    s.ints[MARKS, c] |= MARK_SATURATED
    start = t - settings.n_before
    _blank(c, start, t, until, s)
    _withdraw(c, start, t, s)


@inlined
def _is_withheld(t: int, c: int, y: np.float32, s: KernelState) -> bool:
    """Say whether the channel is blanked at `t`, or has not come to rest since.

    The filter runs on through a blanking, so what is left of an artefact fades without a step;
    the channel is searched again once `n_quiet` samples in a row were far inside the threshold.
    """
    if not s.ints[IS_SETTLING, c]:
        return False
    channel = s.channels[c]
    threshold = min(-s.floats[NEGATIVE_LIMIT, c], s.floats[POSITIVE_LIMIT, c])
    calm_uv = max(np.float32(0.5) * threshold, np.float32(2) * channel.sigma_uv)
    channel.n_quiet = channel.n_quiet + 1 if abs(y) < calm_uv else 0
    if t >= channel.blank_until:
        is_calm = channel.n_quiet >= s.settings[0].n_quiet or channel.sigma_uv == 0
        if is_calm or t >= channel.settle_until:
            channel.calm_since = t
            s.ints[IS_SETTLING, c] = 0
            s.ints[WEIGHT, c] = channel.is_enabled and t >= channel.dead_until
            return False
    channel.n_blanked += 1
    s.cursor[0].n_blanked += 1
    s.ints[MARKS, c] |= MARK_BLANKED
    return True


@inlined
def _rest(c: int, s: KernelState) -> None:
    """List a channel as dead or suspended; the ticks look when that is over."""
    cursor, channel = s.cursor[0], s.channels[c]
    s.ints[WEIGHT, c] = 0
    if not channel.is_resting:
        channel.is_resting = 1
        s.ints[RESTING, cursor.n_resting] = c
        cursor.n_resting += 1


@compiled
def _add_event(t: int, c: int, crossed: np.float32, s: KernelState) -> None:
    settings, cursor, channel = s.settings[0], s.cursor[0], s.channels[c]
    i = cursor.n_pending
    while i > 0 and (
        s.pending[i - 1].sample_index > t
        or (s.pending[i - 1].sample_index == t and s.pending[i - 1].channel > c)
    ):
        s.pending[i] = s.pending[i - 1]
        i -= 1
    event = s.pending[i]
    event.sample_index = t
    event.channel = c
    event.withdrawn_at = NEVER
    event.trough_end = t + settings.n_trough + 1
    event.truncated_at = NEVER
    event.n_live = cursor.n_live
    event.threshold_uv = crossed
    event.sigma_uv = channel.sigma_uv
    event.flags = 0
    cursor.n_pending += 1
    channel.dead_until = t + settings.n_dead_time
    channel.n_in_period += 1
    if channel.n_in_period > settings.n_events_max:
        channel.suspended_until = t + settings.n_suspend
        channel.n_suspensions += 1
        channel.n_in_period = 0
        s.ints[IS_SUSPENDED, c] = 1
    _rest(c, s)


@inlined
def _search_channel(
    samples: Samples, i: int, start: int, stop: int, c: int, s: KernelState
) -> None:
    """Walk one channel; row `i` is sample `start` of the stream."""
    channel, rail = s.channels[c], s.settings[0].rail_counts
    negative, positive = s.floats[NEGATIVE_LIMIT, c], s.floats[POSITIVE_LIMIT, c]
    mask, is_railed = s.ring.shape[0] - 1, s.ints[IS_HIT, c] > 1
    last = s.ring[(start - 1) & mask, c] if start > s.cursor[0].begin else np.float32(0)
    for t in range(start, stop):
        y = s.ring[t & mask, c]
        if is_railed and not (abs(count_at(samples, i + t - start, c, s)) < rail):
            _peg(c, t, s)
        is_withheld = _is_withheld(t, c, y, s) or t < channel.dead_until
        if not is_withheld and t >= channel.suspended_until:
            if y < negative and last >= negative:
                _add_event(t, c, negative, s)
            elif y > positive and last <= positive:
                _add_event(t, c, positive, s)
        last = y


@compiled
def _mark_hits(s: KernelState) -> None:
    """Say for each channel whether something may have happened on it.

    One loop over all channels: the compiler checks before each vectorised loop whether its arrays
    overlap, which takes longer than the 32 channels of a group.
    """
    rail = s.settings[0].rail_counts
    lowest, highest = s.floats[LOWEST], s.floats[HIGHEST]
    raw_lowest, raw_highest = s.floats[RAW_LOWEST], s.floats[RAW_HIGHEST]
    negative, positive = s.floats[NEGATIVE_LIMIT], s.floats[POSITIVE_LIMIT]
    is_settling, is_hit = s.ints[IS_SETTLING], s.ints[IS_HIT]
    for c in range(s.channels.shape[0]):
        is_beyond = np.int32(lowest[c] < negative[c]) | np.int32(highest[c] > positive[c])
        is_railed = np.int32(raw_lowest[c] <= -rail) | np.int32(raw_highest[c] >= rail)
        is_hit[c] = is_beyond | is_settling[c] | (is_railed << 1)


@compiled
def search(samples: Samples, i: int, start: int, stop: int, s: KernelState) -> None:
    """Search the channels on which something may have happened from `start` to `stop`.

    The envelope begins with its column, so a channel may be walked again for what it did earlier
    in the column; the walk itself decides by samples.
    """
    n, is_hit = s.channels.shape[0], s.ints[IS_HIT]
    _mark_hits(s)
    for first in range(0, n, N_GROUP):
        group_stop = min(first + N_GROUP, n)
        has_hits = np.int32(0)
        for c in range(first, group_stop):
            has_hits |= is_hit[c]
        if has_hits == 0:
            continue
        for c in range(first, group_stop):
            if is_hit[c] and s.channels[c].is_enabled:
                _search_channel(samples, i, start, stop, c, s)
