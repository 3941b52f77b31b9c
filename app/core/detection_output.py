"""Compiled: what is decided about crossings leaves the kernel, and envelope columns are closed.

An event is decided when the stream has reached `n_delay` samples beyond its crossing, and knows of
what was withdrawn by then; its details are decided `n_detail` samples beyond it. Both are bound to
sample indices, never to the end of a block.
"""

import numpy as np

from app.core.detection_filter import Row
from app.core.detection_jit import compiled
from app.core.detection_layout import (
    FLAG_ARTEFACT,
    FLAG_TRUNCATED,
    IS_SUSPENDED,
    LOWEST,
    MARK_AFTER_GAP,
    MARK_SUSPENDED,
    MARKS,
    RAW_LOWEST,
    KernelState,
)


@compiled
def _mark_coincidences(i: int, horizon: int, s: KernelState) -> None:
    """Flag the events of the window that begins with event `i`, if it holds too many channels.

    The dead time is longer than the window, so each event there is another channel. A window that
    holds no event more than the one before has nothing new to say.
    """
    settings, cursor = s.settings[0], s.cursor[0]
    window_end = s.pending[i].sample_index + settings.n_coincidence
    stop = max(i, cursor.n_window)
    while stop < cursor.n_pending and s.pending[stop].sample_index <= window_end:
        stop += 1
    if stop == cursor.n_window:
        return
    cursor.n_window = stop
    n_together = 0
    for j in range(i, stop):
        n_together += s.pending[j].withdrawn_at > horizon
    n_live = s.pending[i].n_live
    is_many = n_together > settings.coincidence_fraction * n_live
    if is_many and n_live >= settings.n_channels_for_veto:
        for j in range(i, stop):
            s.pending[j].flags |= FLAG_ARTEFACT


@compiled
def _extremum(i: int, stop: int, s: KernelState) -> int:
    """Return where pending event `i` is furthest out before `stop`."""
    event, mask = s.pending[i], s.ring.shape[0] - 1
    c, best = event.channel, event.sample_index
    furthest = s.ring[best & mask, c]
    for t in range(best + 1, stop):
        y = s.ring[t & mask, c]
        if (event.threshold_uv < 0 and y < furthest) or (event.threshold_uv > 0 and y > furthest):
            best, furthest = t, y
    return best


@compiled
def _send(i: int, horizon: int, end: int, s: KernelState) -> None:
    """Write the event out with the extremum known at `horizon`."""
    event, cursor = s.pending[i], s.cursor[0]
    flags = event.flags
    trough_end = event.trough_end
    if event.truncated_at > horizon:
        trough_end = event.sample_index + s.settings[0].n_trough + 1
        flags &= ~FLAG_TRUNCATED
    stop = min(trough_end, horizon + 1)
    if stop > end:
        stop = end
        flags |= FLAG_TRUNCATED
    best = _extremum(i, stop, s)
    event.spike_id = cursor.n_spikes
    cursor.n_spikes += 1
    cursor.n_vetoed += flags & FLAG_ARTEFACT
    s.channels[event.channel].n_events += 1
    spike = s.sent[cursor.n_sent]
    cursor.n_sent += 1
    spike.spike_id = event.spike_id
    spike.sample_index = event.sample_index
    spike.channel = event.channel
    spike.flags = flags
    spike.trough_offset = best - event.sample_index
    spike.amplitude_uv = s.ring[best & (s.ring.shape[0] - 1), event.channel]
    spike.threshold_uv = event.threshold_uv
    spike.sigma_uv = event.sigma_uv


@compiled
def send_events(decided: int, end: int, s: KernelState) -> None:
    """Send what crossed before `decided`; `end` is where the samples end."""
    cursor, n_delay = s.cursor[0], s.settings[0].n_delay
    i = cursor.n_decided
    while i < cursor.n_pending and s.pending[i].sample_index < decided:
        horizon = s.pending[i].sample_index + n_delay
        if s.pending[i].withdrawn_at <= horizon:
            s.pending[i].spike_id = -1
        else:
            _mark_coincidences(i, horizon, s)
            _send(i, horizon, end, s)
        i += 1
    cursor.n_decided = i


@compiled
def _cut_snippet(first: int, end: int, c: int, snippet: Row, s: KernelState) -> None:
    """Copy the samples from `first` on; nan where there are none."""
    begin, mask = s.cursor[0].begin, s.ring.shape[0] - 1
    if begin <= first and first + snippet.shape[0] <= end:
        for j in range(snippet.shape[0]):
            snippet[j] = s.ring[(first + j) & mask, c]
        return
    for j in range(snippet.shape[0]):
        is_known = begin <= first + j < end
        snippet[j] = s.ring[(first + j) & mask, c] if is_known else np.float32(np.nan)


@compiled
def _detail(i: int, end: int, s: KernelState) -> None:
    event, cursor = s.pending[i], s.cursor[0]
    c, mask = event.channel, s.ring.shape[0] - 1
    if event.trough_end > end:
        event.flags |= FLAG_TRUNCATED
    trough = _extremum(i, min(event.trough_end, end), s)
    detail = s.details[cursor.n_details]
    detail.spike_id = event.spike_id
    detail.sample_index = event.sample_index
    detail.trough_index = trough
    detail.amplitude_uv = s.ring[trough & mask, c]
    detail.threshold_uv = event.threshold_uv
    detail.sigma_uv = event.sigma_uv
    detail.channel = c
    detail.flags = event.flags
    first = trough - s.settings[0].n_snippet_before
    _cut_snippet(first, end, c, s.snippets[cursor.n_details], s)
    cursor.n_details += 1


@compiled
def send_details(decided: int, end: int, s: KernelState) -> None:
    """Send the details of events that crossed before `decided`, and forget these events."""
    cursor, n_done = s.cursor[0], 0
    while n_done < cursor.n_decided and s.pending[n_done].sample_index < decided:
        if s.pending[n_done].spike_id >= 0:
            _detail(n_done, end, s)
        n_done += 1
    if n_done:
        for i in range(n_done, cursor.n_pending):
            s.pending[i - n_done] = s.pending[i]
        cursor.n_pending -= n_done
        cursor.n_decided -= n_done
        cursor.n_window = max(0, cursor.n_window - n_done)


@compiled
def begin_columns(first_sample: int, s: KernelState) -> None:
    """Begin the first column of a gapless stretch."""
    s.cursor[0].column_begin = first_sample
    for k in range(4):
        s.floats[LOWEST + k] = np.float32(-np.inf if k % 2 else np.inf)


@compiled
def close_column(stop: int, s: KernelState) -> None:
    """Write the column that ends before sample `stop` into the ring of columns."""
    cursor, scale = s.cursor[0], s.settings[0].scale_uv
    low, high = np.float32(-32768), np.float32(32767)
    n = s.channels.shape[0]
    row = cursor.n_columns % s.column_extents.shape[0]
    s.column_extents[row, 0] = cursor.column_begin
    s.column_extents[row, 1] = stop - cursor.column_begin
    for k in range(4):
        own, written = s.floats[LOWEST + k], s.column_values[row, k]
        factor = np.float32(1) if k >= RAW_LOWEST else np.float32(1) / scale
        reset = np.float32(-np.inf if k % 2 else np.inf)
        for c in range(n):
            v = own[c] * factor
            v = v if v > low else low
            v = v if v < high else high
            written[c] = np.int16(np.int32(np.rint(v)))
            own[c] = reset
    marks, suspended, written_marks = s.ints[MARKS], s.ints[IS_SUSPENDED], s.column_marks[row]
    common = MARK_AFTER_GAP if cursor.is_after_gap else 0
    for c in range(n):
        written_marks[c] = np.uint8(marks[c] | (suspended[c] * MARK_SUSPENDED) | common)
        marks[c] = 0
    cursor.is_after_gap = 0
    cursor.column_begin = stop
    cursor.n_columns += 1
