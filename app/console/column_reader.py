"""One console's place in detection's ring of envelope columns, with buffers of its own."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from app.console.column_kernel import gather
from app.console.feed import Span, SpanKind
from app.console.feed_wire import columns_per_body, encode_items, envelope_head
from app.console.live_feed import TimeOf
from app.core.signal_view import EnvelopeRing


class ColumnReader:
    """Reads what is new as bodies of frames. One thread calls it; `buffers` are reused."""

    def __init__(self, ring: EnvelopeRing) -> None:
        self._ring = ring
        self._next = ring.n_published
        n, n_channels = ring.n_readable, ring.values.shape[2]
        self._counts = np.empty((n, 2, n_channels), np.int16)
        self._extents = np.empty((n, 2), np.int64)
        self._is_pegged = np.empty(n, np.bool_)
        self._step = columns_per_body(n_channels)

    def bodies(self, time_of: TimeOf, *, is_filtered: bool) -> tuple[list[bytes], int]:
        """Return the columns since the last call, and how many were lost before them."""
        ring = self._ring
        end = ring.n_published
        first = min(max(self._next, ring.oldest), end)
        n = end - first
        gather(
            ring.values,
            ring.marks,
            ring.extents,
            first,
            n,
            0 if is_filtered else 2,
            self._counts,
            self._extents,
            self._is_pegged,
        )
        # What the writer has overtaken meanwhile may be torn: it counts as lost.
        n_torn = min(max(0, ring.oldest - first), n)
        n_missed = first + n_torn - self._next
        self._next = end
        bodies = list(self._encoded(n_torn, n, time_of, is_filtered=is_filtered))
        return bodies, max(0, n_missed)

    def _encoded(
        self, start: int, stop: int, time_of: TimeOf, *, is_filtered: bool
    ) -> Iterator[bytes]:
        length = self._ring.n_samples_per_column
        first_samples = self._extents[:stop, 0]
        # A column that a gap has cut is not shown: half of it would look like all of it.
        is_whole = (self._extents[:stop, 1] == length) & (first_samples % length == 0)
        is_whole[:start] = False
        for begin, end in _runs(is_whole, first_samples, length):
            for at in range(begin, end, self._step):
                part = self._counts[at : min(end, at + self._step)]
                first = int(first_samples[at])
                yield (
                    envelope_head(
                        part.shape[2], length, first, time_of(first), is_filtered=is_filtered
                    )
                    + part.tobytes()
                )
        is_pegged = self._is_pegged[:stop]
        if is_pegged.any():
            for begin, end in _runs(is_pegged & is_whole, first_samples, length):
                from_ns = time_of(int(first_samples[begin]))
                to_ns = time_of(int(first_samples[end - 1]) + length)
                span = Span(SpanKind.ARTEFACT, from_ns, to_ns, text="saturated")
                yield from encode_items(span)


def _runs(
    is_in: npt.NDArray[np.bool_], first_samples: npt.NDArray[np.int64], length: int
) -> list[tuple[int, int]]:
    """Return [start, stop) of each gapless run of columns that are in."""
    n = len(is_in)
    if n and is_in.all() and first_samples[-1] - first_samples[0] == (n - 1) * length:
        return [(0, n)]  # as almost always
    indices = np.flatnonzero(is_in)
    if not len(indices):
        return []
    is_cut = (np.diff(indices) != 1) | (np.diff(first_samples[indices]) != length)
    starts = np.concatenate(([0], np.flatnonzero(is_cut) + 1, [len(indices)]))
    return [(int(indices[a]), int(indices[b - 1]) + 1) for a, b in pairwise(starts)]
