"""The compiled detector as Python calls it; importing it imports numba.

The samples are walked in chunks that end at ticks, at stimuli and where the call's samples end. A
chunk is filtered into a ring, its channels are searched, and what became decided is written out.
Every decision is tied to a sample index, so the cutting of the stream into blocks cannot be seen
in the result. Nothing allocates. All functions run without the interpreter lock.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.core.detection_filter import Samples, filter_rows, prime
from app.core.detection_jit import entry, inlined
from app.core.detection_layout import KernelState
from app.core.detection_noise import set_limits, tick
from app.core.detection_output import begin_columns, close_column, send_details, send_events
from app.core.detection_search import blank_after_gap, blank_for_stimulus, search

Progress = tuple[int, int, int, int, int, int, int]
"""Events of this call; details due, which come in batches; end of what is decided; events vetoed,
samples blanked and columns closed since the beginning; marks used of those given."""


@inlined
def _progress(s: KernelState) -> Progress:
    cursor = s.cursor[0]
    done = max(cursor.begin, cursor.end - s.settings[0].n_delay)
    if cursor.n_details and cursor.end >= cursor.details_from + s.settings[0].n_details_every:
        cursor.n_details_due = cursor.n_details
        cursor.details_from = cursor.end
    n_out = (cursor.n_sent, cursor.n_details_due)
    return *n_out, done, cursor.n_vetoed, cursor.n_blanked, cursor.n_columns, cursor.n_marks_used


@inlined
def _begin_call(s: KernelState) -> None:
    cursor = s.cursor[0]
    cursor.n_sent = 0
    cursor.n_marks_used = 0
    if cursor.n_details_due:
        cursor.n_details = 0
        cursor.n_details_due = 0


@inlined
def _take_chunk(samples: Samples, i: int, stop: int, s: KernelState) -> None:
    """Take rows `i` to `stop`, in which no stimulus begins and no tick lies but at the end."""
    settings, cursor = s.settings[0], s.cursor[0]
    start, end = cursor.end, cursor.end + stop - i
    filter_rows(samples, i, stop, start, s)
    search(samples, i, start, end, s)
    cursor.end = end
    send_events(end - settings.n_delay, end, s)
    send_details(end - settings.n_detail, end, s)
    if end % settings.n_decimation == 0:
        tick(end - 1, s)
        if end % settings.n_column == 0:
            close_column(end, s)


@inlined
def _advance(samples: Samples, marks: npt.NDArray[np.int64], s: KernelState) -> Progress:
    settings, cursor = s.settings[0], s.cursor[0]
    _begin_call(s)
    n_rows = samples.integers.shape[0] + samples.floats.shape[0]
    i = next_mark = n_rows - n_rows  # a literal 0 would be compiled for separately
    if cursor.must_prime and n_rows > 0:
        prime(samples, cursor.end, s)
        cursor.must_prime = 0
    while i < n_rows:
        t = cursor.end
        while next_mark < marks.shape[0] and marks[next_mark, 0] <= t:
            blank_for_stimulus(marks[next_mark, 0], marks[next_mark, 1], t, s)
            next_mark += 1
        n = settings.n_decimation - t % settings.n_decimation
        if next_mark < marks.shape[0]:
            n = min(n, marks[next_mark, 0] - t)
        stop = min(i + n, n_rows)
        _take_chunk(samples, i, stop, s)
        i = stop
    cursor.n_marks_used = next_mark
    return _progress(s)


@inlined
def _finish(s: KernelState) -> Progress:
    cursor = s.cursor[0]
    _begin_call(s)
    send_events(cursor.end, cursor.end, s)
    send_details(cursor.end, cursor.end, s)
    if cursor.end > cursor.column_begin:
        close_column(cursor.end, s)
    cursor.details_from = cursor.end - s.settings[0].n_details_every
    return _progress(s)


@inlined
def _begin(first_sample: int, is_after_gap: bool, s: KernelState) -> None:
    cursor, settings = s.cursor[0], s.settings[0]
    cursor.begin = first_sample
    cursor.end = first_sample
    cursor.details_from = first_sample
    cursor.n_pending = 0
    cursor.n_decided = 0
    cursor.n_window = 0
    cursor.must_prime = 1
    cursor.is_after_gap = is_after_gap
    for c in range(s.channels.shape[0]):
        channel = s.channels[c]
        # After a restarted counter the old indices would lie in a far future.
        channel.suspended_until = min(channel.suspended_until, first_sample + settings.n_suspend)
        channel.pegged_until = min(channel.pegged_until, first_sample + settings.n_after_gap)
        channel.stimulated_until = first_sample
        channel.dead_until = first_sample
    blank_after_gap(first_sample, s)
    begin_columns(first_sample, s)


def _digest_of_sources() -> str:
    """Return what changes with any file that is compiled into the three entries."""
    files = sorted(Path(__file__).parent.glob("detection_*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _entries(sources: str) -> tuple[Callable[..., Any], ...]:
    """Return the compiled entries, each taking the fields of `KernelState` one by one.

    One by one because unpacking a tuple of arrays takes numba longer than 20 rows of 64 channels.
    Inside this function because the key of numba's cache has the closure in it but not the files
    of what is called, so that without `sources` an old compilation would survive their change.
    """

    @entry
    def advance(integers, floats, marks, *state):  # type: ignore[no-untyped-def]
        """Take at most `MAX_ROWS` further samples, of one type or the other.

        `marks` are the stimuli in order, `(n_stimuli, 2)`: sample index and channel (-1 none).
        """
        _ = sources
        return _advance(Samples(integers, floats), marks, KernelState(*state))

    @entry
    def finish(*state):  # type: ignore[no-untyped-def]
        """Hand out what waited for samples that will not come."""
        _ = sources
        return _finish(KernelState(*state))

    @entry
    def begin(first_sample, is_after_gap, *state):  # type: ignore[no-untyped-def]
        """Start anew, with the noise known so far and everything else forgotten."""
        _ = sources
        _begin(first_sample, is_after_gap, KernelState(*state))

    @entry
    def set_all(*state):  # type: ignore[no-untyped-def]
        """Let changed thresholds take effect."""
        _ = sources
        s = KernelState(*state)
        for c in range(s.channels.shape[0]):
            set_limits(c, s)

    return advance, finish, begin, set_all


advance, finish_stretch, begin_stretch, set_all_limits = _entries(_digest_of_sources())
