"""One console's place in detection's ring of envelope columns."""

import numpy as np

from app.console.column_kernel import copy_columns, survey
from app.console.feed import Span, SpanKind
from app.console.feed_wire import ENVELOPE, ENVELOPE_HEAD, columns_per_body, encode_items
from app.console.frame_buffer import FrameBuffer
from app.console.live_feed import TimeOf
from app.core.frames import HEADER, FrameType
from app.core.signal_view import EnvelopeRing

MAX_BYTES = 1 << 20
"""Of columns at once; a console that has fallen back catches up over some frames."""


class ColumnReader:
    """Writes what is new as frames. One thread calls it."""

    def __init__(self, ring: EnvelopeRing, next_column: int | None = None) -> None:
        """Begin with the column that is made next, or go on where a reader had got to."""
        self._ring = ring
        self.next = ring.n_published if next_column is None else next_column
        n_channels = ring.values.shape[2]
        self._step = columns_per_body(n_channels)
        self._n_max = min(ring.n_readable, max(self._step, MAX_BYTES // (4 * n_channels)))
        self._first_samples = np.empty(self._n_max, np.int64)
        self._runs = np.empty((self._n_max, 2), np.int64)
        self._pegged_runs = np.empty((self._n_max, 2), np.int64)

    def fill(self, buffer: FrameBuffer, time_of: TimeOf, *, is_filtered: bool) -> int:
        """Append the columns since the last call; return how many were lost before them.

        The buffer is filled to an even byte.
        """
        ring, start = self._ring, buffer.end
        while True:
            first = min(max(self.next, ring.oldest), ring.n_published)
            n = min(ring.n_published - first, self._n_max)
            n_missed = max(0, first - self.next)
            self._append(buffer, first, n, time_of, is_filtered=is_filtered)
            if ring.oldest <= first:
                self.next = first + n
                return n_missed
            # The writer has overtaken us meanwhile: what was read may be torn.
            buffer.clear(start)

    def _append(
        self, buffer: FrameBuffer, first: int, n: int, time_of: TimeOf, *, is_filtered: bool
    ) -> None:
        ring, samples = self._ring, self._first_samples
        length = ring.n_samples_per_column
        n_runs, n_pegged = survey(
            ring.marks, ring.extents, length, first, n, samples, self._runs, self._pegged_runs
        )
        for begin, end in self._runs[:n_runs].tolist():
            self._append_run(buffer, first, begin, end, time_of, is_filtered=is_filtered)
        for begin, end in self._pegged_runs[:n_pegged].tolist():
            from_ns, to_ns = time_of(int(samples[begin])), time_of(int(samples[end - 1]) + length)
            span = Span(SpanKind.ARTEFACT, from_ns, to_ns, text="saturated")
            for span_body in encode_items(span):
                buffer.add(FrameType.FEED, span_body)

    def _append_run(
        self,
        buffer: FrameBuffer,
        first: int,
        begin: int,
        end: int,
        time_of: TimeOf,
        *,
        is_filtered: bool,
    ) -> None:
        """Append columns `begin` to `end`, counted from `first`: one copy, then the heads."""
        ring, step = self._ring, self._step
        length, n_channels = ring.n_samples_per_column, ring.values.shape[2]
        kind, word = (0 if is_filtered else 2), buffer.end // 2
        n_head_words = (HEADER.size + ENVELOPE_HEAD.size) // 2
        words = buffer.words
        copy_columns(ring.values, first + begin, end - begin, kind, words, word, step, n_head_words)
        for at in range(begin, end, step):
            n_columns, sample = min(step, end - at), int(self._first_samples[at])
            n_bytes = ENVELOPE_HEAD.size + 4 * n_columns * n_channels
            body = buffer.begin(FrameType.FEED, n_bytes, first + at + n_columns)
            head = (ENVELOPE, is_filtered, n_channels, length, sample, time_of(sample))
            ENVELOPE_HEAD.pack_into(body, 0, *head)
