"""The compiled part of the detector; the only file of the core that imports numba.

Three positions follow each other through the samples. Everything before `end` is filtered. What is
before `scan_pos` is searched for crossings; it lags by `n_before`, because a stimulus blanks that
many samples before its own. What is before `done_pos` has been handed out; it lags until trough and
coincidences of a crossing are known. Every decision is tied to a sample index, never to the end of
a block, so the cutting of the stream into blocks cannot be seen in the result.

Rows are walked in time, channels inside: strips of channels with small local arrays are not
vectorised and several times slower. The per-sample search touches only channels whose minimum or
maximum over a few rows passed the threshold, or which are blanked. Nothing allocates but the
median. All functions run without the interpreter lock.
"""

from typing import NamedTuple

import numba as nb
import numpy as np
import numpy.typing as npt

CURSOR = np.dtype(
    [
        ("base", "<i8"),  # sample index of row 0 of `work`
        ("end", "<i8"),
        ("scan_pos", "<i8"),
        ("done_pos", "<i8"),
        ("n_pending", "<i8"),
        ("n_vetoed", "<i8"),
        ("n_blanked", "<i8"),  # samples of single channels
        ("n_marks_used", "<i8"),  # of those given with the last call
        ("n_rail_rows", "<i8"),  # rows of `rails` that hold; 0 when nothing was saturated
        ("n_live", "<i4"),  # channels that could report a crossing at the last tick
        ("must_prime", "<i4"),
    ],
    align=True,
)
CHANNEL = np.dtype(
    [
        ("blank_until", "<i8"),
        ("settle_until", "<i8"),  # a channel that does not calm down is let go here
        ("pegged_until", "<i8"),
        ("dead_until", "<i8"),
        ("suspended_until", "<i8"),
        ("n_noise", "<i4"),  # values in the noise ring
        ("noise_at", "<i4"),  # where the next one goes
        ("n_in_period", "<i8"),  # events since the last refresh
        ("n_blanked", "<i8"),
        ("n_events", "<i8"),
        ("n_suspensions", "<i8"),
        ("phase", "<i4"),  # tick, modulo ticks per refresh, at which its noise is refreshed
        ("n_quiet", "<i4"),
        ("sigma_uv", "<f4"),  # 0: no estimate yet
        ("pinned_uv", "<f4"),  # 0: the threshold follows the noise
        ("is_enabled", "u1"),
        ("is_settling", "u1"),
        ("is_quiet", "u1"),
    ],
    align=True,
)
PENDING = np.dtype(
    [
        ("sample_index", "<i8"),
        ("trough_end", "<i8"),
        ("n_rail_rows", "<i8"),  # rows of `rails` that hold; 0 when nothing was saturated
        ("n_live", "<i4"),
        ("channel", "<i4"),
        ("threshold_uv", "<f4"),  # signed: the one that was crossed
        ("sigma_uv", "<f4"),
        ("flags", "u1"),
    ],
    align=True,
)
DETECTED_SPIKE = np.dtype(
    [
        ("sample_index", "<i8"),  # of the crossing: the first sample beyond the threshold
        ("channel", "<u2"),
        ("flags", "u1"),
        ("trough_offset", "u1"),  # samples from the crossing to the extremum
        ("amplitude_uv", "<f4"),  # of the extremum, signed
        ("threshold_uv", "<f4"),  # signed
        ("sigma_uv", "<f4"),
    ]
)

FLAG_ARTEFACT = 1
FLAG_TRUNCATED = 2
MAX_ROWS = 256
"""New samples per call; keeps the work buffer in the processor's cache."""

MAD_TO_SIGMA = np.float32(1 / 0.6745)  # of Gaussian noise; Quiroga, Nadasdy, Ben-Shaul 2004
TINY = np.float32(1e-20)  # below, a decaying filter state would turn into slow denormal numbers

Progress = tuple[int, int, int, int, int]
"""Events now in `out`; `done_pos`; events vetoed and samples blanked since the beginning; marks
used of those given. A tuple, because reading a record from Python is slow."""


class KernelSettings(NamedTuple):
    """The settings in samples, counts and microvolts."""

    scale_uv: np.float32
    saturation_counts: int
    n_before: int
    n_after: int
    n_after_stimulated: int
    n_after_saturation: int
    n_after_gap: int
    n_quiet: int
    n_settle_max: int
    n_dead_time: int
    n_trough: int
    n_coincidence: int
    n_hold: int
    coincidence_fraction: float
    n_channels_for_veto: int
    is_negative_searched: bool
    is_positive_searched: bool
    n_decimation: int
    n_ticks_per_refresh: int
    n_noise_min: int
    noise_smoothing: np.float32
    noise_floor_uv: np.float32
    threshold_sigma: np.float32
    n_events_max: int
    n_suspend: int


class KernelState(NamedTuple):
    """The arrays that one detector carries from call to call; all written in place."""

    sections: npt.NDArray[np.float32]
    """`(n_sections, 5)`; each blocks a constant input."""
    delays: npt.NDArray[np.float32]
    """`(n_sections, 2, n_channels)`: the filter's memory."""
    work: npt.NDArray[np.float32]
    """`(n_hold + 1 + MAX_ROWS, n_channels)`: filtered microvolts, oldest first."""
    rails: npt.NDArray[np.bool_]
    """`(MAX_ROWS, n_channels)`: which of the newest samples are at the rails."""
    cursor: npt.NDArray[np.void]
    channels: npt.NDArray[np.void]
    noise: npt.NDArray[np.float32]
    """`(n_channels, n_ring)`: magnitudes of decimated samples."""
    threshold_uv: npt.NDArray[np.float32]
    """Magnitude, `(n_channels,)`; infinite before the first noise estimate."""
    lowest: npt.NDArray[np.float32]
    highest: npt.NDArray[np.float32]
    pending: npt.NDArray[np.void]
    out: npt.NDArray[np.void]


@nb.njit(nogil=True, cache=True)
def _prime(first: npt.NDArray[np.int16], k: KernelSettings, s: KernelState) -> None:
    """Set the filter as if the first sample had been its input for ever."""
    s.delays[:] = 0
    for c in range(first.shape[0]):
        x = np.float32(first[c]) * k.scale_uv
        s.delays[0, 0, c] = -s.sections[0, 0] * x
        s.delays[0, 1, c] = s.sections[0, 2] * x


@nb.njit(nogil=True, cache=True)
def _load(samples: npt.NDArray[np.int16], n_kept: int, k: KernelSettings, s: KernelState) -> None:
    """Write microvolts behind the kept rows, and note which samples are at the rails."""
    n_rows, n_channels = samples.shape
    n_saturated = 0
    for i in range(n_rows):
        row = s.work[n_kept + i]
        for c in range(n_channels):
            counts = np.int32(samples[i, c])
            n_saturated += int(abs(counts) >= k.saturation_counts)
            row[c] = np.float32(counts) * k.scale_uv
    s.cursor[0].n_rail_rows = n_rows if n_saturated else 0
    if n_saturated:
        for i in range(n_rows):
            for c in range(n_channels):
                s.rails[i, c] = abs(np.int32(samples[i, c])) >= k.saturation_counts


@nb.njit(nogil=True, cache=True)
def _filter(first_row: int, stop_row: int, s: KernelState) -> None:
    """Filter rows of `work` in place; transposed direct form II."""
    n_channels = s.work.shape[1]
    for i in range(first_row, stop_row):
        row = s.work[i]
        for j in range(s.sections.shape[0]):
            b0, b1, b2 = s.sections[j, 0], s.sections[j, 1], s.sections[j, 2]
            a1, a2 = s.sections[j, 3], s.sections[j, 4]
            first, second = s.delays[j, 0], s.delays[j, 1]
            for c in range(n_channels):
                x = row[c]
                y = b0 * x + first[c]
                d1 = b1 * x - a1 * y + second[c]
                d2 = b2 * x - a2 * y
                first[c] = d1 if abs(d1) > TINY else np.float32(0)
                second[c] = d2 if abs(d2) > TINY else np.float32(0)
                row[c] = y


@nb.njit(nogil=True, cache=True)
def _blank(c: int, start: int, until: int, k: KernelSettings, s: KernelState) -> None:
    """Withhold a channel from `start` on, and end the trough search of its open events there."""
    channel = s.channels[c]
    if until <= channel.blank_until:
        return
    channel.blank_until = until
    channel.settle_until = until + k.n_settle_max
    channel.is_settling = 1
    channel.n_quiet = 0
    for i in range(s.cursor[0].n_pending - 1, -1, -1):
        event = s.pending[i]
        if event.sample_index + k.n_trough < start:
            break
        if event.channel == c and event.trough_end > start:
            event.trough_end = max(start, event.sample_index + 1)
            event.flags |= FLAG_TRUNCATED


@nb.njit(nogil=True, cache=True)
def _blank_for_stimulus(
    start: int, index: int, stimulated: int, k: KernelSettings, s: KernelState
) -> None:
    for c in range(s.channels.shape[0]):
        n_after = max(k.n_after, k.n_after_stimulated) if c == stimulated else k.n_after
        _blank(c, start, index + n_after, k, s)


@nb.njit(nogil=True, cache=True)
def _remember_noise(c: int, magnitude_uv: np.float32, s: KernelState) -> None:
    channel = s.channels[c]
    s.noise[c, channel.noise_at] = magnitude_uv
    n_ring = s.noise.shape[1]
    channel.noise_at = channel.noise_at + 1 if channel.noise_at + 1 < n_ring else 0
    channel.n_noise = min(channel.n_noise + 1, n_ring)


@nb.njit(nogil=True, cache=True)
def _refresh_noise(c: int, k: KernelSettings, s: KernelState) -> None:
    channel = s.channels[c]
    estimate = np.float32(np.median(s.noise[c, : channel.n_noise])) * MAD_TO_SIGMA
    channel.is_quiet = estimate < k.noise_floor_uv
    estimate = max(estimate, k.noise_floor_uv)
    if channel.sigma_uv == 0:
        channel.sigma_uv = estimate
    else:
        channel.sigma_uv += k.noise_smoothing * (estimate - channel.sigma_uv)
    pinned = channel.pinned_uv
    s.threshold_uv[c] = pinned if pinned > 0 else k.threshold_sigma * channel.sigma_uv


@nb.njit(nogil=True, cache=True)
def _tick(t: int, k: KernelSettings, s: KernelState) -> None:
    """Take one noise value per calm channel; refresh the channels whose turn it is.

    Turns are spread over the refresh period, so that no block has to wait for all medians.
    """
    cursor = s.cursor[0]
    row = s.work[t - cursor.base]
    turn = (t // k.n_decimation) % k.n_ticks_per_refresh
    n_live = 0
    for c in range(s.channels.shape[0]):
        channel = s.channels[c]
        if not channel.is_enabled:
            continue
        is_suspended = t < channel.suspended_until
        # A suspended channel fires all the time: its noise must be learnt from what it does.
        is_in_spike = t < channel.dead_until and not is_suspended
        if t >= channel.blank_until and not channel.is_settling and not is_in_spike:
            _remember_noise(c, abs(row[c]), s)
        is_first = channel.sigma_uv == 0
        if channel.n_noise >= k.n_noise_min and (is_first or channel.phase == turn):
            _refresh_noise(c, k, s)
        if channel.phase == turn:
            channel.n_in_period = 0
        n_live += channel.sigma_uv > 0 and not is_suspended
    cursor.n_live = n_live


@nb.njit(nogil=True, cache=True)
def _is_withheld(t: int, c: int, y: np.float32, k: KernelSettings, s: KernelState) -> bool:
    """Say whether the channel is blanked at `t`, or has not come to rest since.

    The filter runs on through a blanking, so what is left of an artefact fades without a step;
    the channel is searched again once `n_quiet` samples in a row were far inside the threshold.
    """
    cursor, channel = s.cursor[0], s.channels[c]
    if not channel.is_settling:
        return False
    calm_uv = max(np.float32(0.5) * s.threshold_uv[c], np.float32(2) * channel.sigma_uv)
    channel.n_quiet = channel.n_quiet + 1 if abs(y) < calm_uv else 0
    if t < channel.blank_until:
        channel.n_blanked += 1
        cursor.n_blanked += 1
        return True
    if channel.n_quiet >= k.n_quiet or channel.sigma_uv == 0 or t >= channel.settle_until:
        channel.is_settling = 0
        return False
    channel.n_blanked += 1
    cursor.n_blanked += 1
    return True


@nb.njit(nogil=True, cache=True)
def _crossed(
    last: np.float32, y: np.float32, threshold: np.float32, k: KernelSettings
) -> np.float32:
    """Return the signed threshold that was crossed outwards between two samples, or 0."""
    if k.is_negative_searched and y < -threshold and last >= -threshold:
        return -threshold
    if k.is_positive_searched and y > threshold and last <= threshold:
        return threshold
    return np.float32(0)


@nb.njit(nogil=True, cache=True)
def _add_event(t: int, c: int, crossed: np.float32, k: KernelSettings, s: KernelState) -> None:
    cursor, channel = s.cursor[0], s.channels[c]
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
    event.trough_end = t + k.n_trough + 1
    event.n_live = cursor.n_live
    event.threshold_uv = crossed
    event.sigma_uv = channel.sigma_uv
    event.flags = 0
    cursor.n_pending += 1
    channel.dead_until = t + k.n_dead_time
    channel.n_events += 1
    channel.n_in_period += 1
    if channel.n_in_period > k.n_events_max:
        channel.suspended_until = t + k.n_suspend
        channel.n_suspensions += 1
        channel.n_in_period = 0


@nb.njit(nogil=True, cache=True)
def _look_for_rail(t: int, c: int, k: KernelSettings, s: KernelState) -> None:
    """Blank from `t` on if the channel is at a rail `n_before` samples later."""
    cursor = s.cursor[0]
    ahead = t + k.n_before
    i = ahead - (cursor.end - cursor.n_rail_rows)
    if i >= 0 and s.rails[i, c]:
        s.channels[c].pegged_until = ahead + 1 + k.n_after_saturation
        _blank(c, t, ahead + 1 + k.n_after_saturation, k, s)


@nb.njit(nogil=True, cache=True)
def _search(c: int, start: int, stop: int, k: KernelSettings, s: KernelState) -> None:
    """Walk one channel sample by sample."""
    cursor, channel = s.cursor[0], s.channels[c]
    for t in range(start, stop):
        if cursor.n_rail_rows:
            _look_for_rail(t, c, k, s)
        row = t - cursor.base
        y = s.work[row, c]
        if _is_withheld(t, c, y, k, s) or t < channel.dead_until or t < channel.suspended_until:
            continue
        if row > 0:
            crossed = _crossed(s.work[row - 1, c], y, s.threshold_uv[c], k)
            if crossed != 0:
                _add_event(t, c, crossed, k, s)


@nb.njit(nogil=True, cache=True)
def _find_extremes(start: int, stop: int, s: KernelState) -> None:
    first = start - s.cursor[0].base
    lowest, highest, row = s.lowest, s.highest, s.work[first]
    for c in range(row.shape[0]):
        lowest[c] = row[c]
        highest[c] = row[c]
    for i in range(first + 1, first + stop - start):
        row = s.work[i]
        for c in range(row.shape[0]):
            y, low, high = row[c], lowest[c], highest[c]  # read first, or it is not vectorised
            lowest[c] = y if y < low else low
            highest[c] = y if y > high else high


@nb.njit(nogil=True, cache=True)
def _search_segment(start: int, stop: int, k: KernelSettings, s: KernelState) -> None:
    """Search the channels in which something may happen between `start` and `stop`."""
    _find_extremes(start, stop, s)
    is_any_saturated = s.cursor[0].n_rail_rows > 0
    for c in range(s.channels.shape[0]):
        channel = s.channels[c]
        threshold = s.threshold_uv[c]
        is_beyond = s.lowest[c] < -threshold or s.highest[c] > threshold
        if channel.is_enabled and (is_beyond or channel.is_settling or is_any_saturated):
            _search(c, start, stop, k, s)


@nb.njit(nogil=True, cache=True)
def _scan(stop: int, marks: npt.NDArray[np.int64], k: KernelSettings, s: KernelState) -> None:
    """Search up to `stop`, in segments that end at ticks and at the beginnings of blankings."""
    cursor = s.cursor[0]
    cursor.n_marks_used = 0
    while cursor.scan_pos < stop:
        t = cursor.scan_pos
        next_mark = cursor.n_marks_used
        while next_mark < marks.shape[0] and marks[next_mark, 0] - k.n_before <= t:
            _blank_for_stimulus(t, marks[next_mark, 0], marks[next_mark, 1], k, s)
            next_mark += 1
        cursor.n_marks_used = next_mark
        if t % k.n_decimation == 0:
            _tick(t, k, s)
        segment_stop = min(stop, (t // k.n_decimation + 1) * k.n_decimation)
        if next_mark < marks.shape[0]:
            segment_stop = min(segment_stop, marks[next_mark, 0] - k.n_before)
        _search_segment(t, segment_stop, k, s)
        cursor.scan_pos = segment_stop


@nb.njit(nogil=True, cache=True)
def _mark_coincidences(i: int, k: KernelSettings, s: KernelState) -> None:
    """Flag the events of the window that begins with event `i`, if it holds too many channels.

    The dead time is longer than the window, so each event there is another channel.
    """
    n_pending = s.cursor[0].n_pending
    j = i
    window_end = s.pending[i].sample_index + k.n_coincidence
    while j < n_pending and s.pending[j].sample_index <= window_end:
        j += 1
    n_live = s.pending[i].n_live
    if n_live >= k.n_channels_for_veto and j - i >= k.coincidence_fraction * n_live:
        for m in range(i, j):
            s.pending[m].flags |= FLAG_ARTEFACT


@nb.njit(nogil=True, cache=True)
def _emit(i: int, stop: int, k: KernelSettings, s: KernelState) -> None:
    """Write pending event `i` out with the extremum of its trough window."""
    event, spike, base = s.pending[i], s.out[i], s.cursor[0].base
    t, c = event.sample_index, event.channel
    best = t
    for at in range(t + 1, min(event.trough_end, stop)):
        y, extremum = s.work[at - base, c], s.work[best - base, c]
        if (event.threshold_uv < 0 and y < extremum) or (event.threshold_uv > 0 and y > extremum):
            best = at
    if event.trough_end > stop:
        event.flags |= FLAG_TRUNCATED
    s.cursor[0].n_vetoed += event.flags & FLAG_ARTEFACT
    spike.sample_index = t
    spike.channel = c
    spike.flags = event.flags
    spike.trough_offset = best - t
    spike.amplitude_uv = s.work[best - base, c]
    spike.threshold_uv = event.threshold_uv
    spike.sigma_uv = event.sigma_uv


@nb.njit(nogil=True, cache=True)
def _hand_out(done: int, k: KernelSettings, s: KernelState) -> int:
    """Emit what crossed before `done`, in order of time and channel; return how many."""
    cursor = s.cursor[0]
    n_out = 0
    while n_out < cursor.n_pending and s.pending[n_out].sample_index < done:
        _mark_coincidences(n_out, k, s)
        _emit(n_out, cursor.end, k, s)
        n_out += 1
    if n_out:
        for i in range(n_out, cursor.n_pending):
            s.pending[i - n_out] = s.pending[i]
        cursor.n_pending -= n_out
    cursor.done_pos = max(cursor.done_pos, done)
    return n_out


@nb.njit(nogil=True, cache=True)
def advance(
    samples: npt.NDArray[np.int16],
    marks: npt.NDArray[np.int64],
    k: KernelSettings,
    s: KernelState,
) -> Progress:
    """Take at most `MAX_ROWS` further samples.

    `marks` are the stimuli in order, `(n_stimuli, 2)`: sample index and channel (-1 none).
    """
    cursor = s.cursor[0]
    if cursor.must_prime and samples.shape[0] > 0:
        _prime(samples[0], k, s)
        cursor.must_prime = 0
    n_rows = cursor.end - cursor.base
    n_kept = min(n_rows, k.n_hold + 1)
    for i in range(n_kept):  # oldest first: source and target overlap
        s.work[i] = s.work[n_rows - n_kept + i]
    cursor.base = cursor.end - n_kept
    _load(samples, n_kept, k, s)
    _filter(n_kept, n_kept + samples.shape[0], s)
    cursor.end += samples.shape[0]
    _scan(cursor.end - k.n_before, marks, k, s)
    n_out = _hand_out(cursor.end - k.n_hold, k, s)
    return n_out, cursor.done_pos, cursor.n_vetoed, cursor.n_blanked, cursor.n_marks_used


@nb.njit(nogil=True, cache=True)
def finish_stretch(marks: npt.NDArray[np.int64], k: KernelSettings, s: KernelState) -> Progress:
    """Search and hand out what waited for samples that will not come."""
    cursor = s.cursor[0]
    cursor.n_rail_rows = 0
    _scan(cursor.end, marks, k, s)
    n_out = _hand_out(cursor.end, k, s)
    return n_out, cursor.done_pos, cursor.n_vetoed, cursor.n_blanked, cursor.n_marks_used


@nb.njit(nogil=True, cache=True)
def begin_stretch(first_sample: int, k: KernelSettings, s: KernelState) -> None:
    """Start anew at `first_sample`, with the noise known so far and everything else forgotten."""
    cursor = s.cursor[0]
    cursor.base = first_sample
    cursor.end = first_sample
    cursor.scan_pos = first_sample
    cursor.done_pos = first_sample
    cursor.n_pending = 0
    cursor.must_prime = 1
    for c in range(s.channels.shape[0]):
        channel = s.channels[c]
        # After a restarted counter the old indices would lie in a far future.
        channel.suspended_until = min(channel.suspended_until, first_sample + k.n_suspend)
        channel.pegged_until = min(channel.pegged_until, first_sample + k.n_after_gap)
        channel.dead_until = first_sample
        channel.blank_until = first_sample
        _blank(c, first_sample, first_sample + k.n_after_gap, k, s)
