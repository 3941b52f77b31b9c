"""One console's place in the live feed: what it gets next, and what it has missed."""

from dataclasses import replace
from itertools import pairwise

import msgspec
import numpy as np
import numpy.typing as npt

from app.console.feed import Missed, NeuronEvents, Snippets, Span, SpanKind, SpikeMarks
from app.console.feed_wire import columns_per_body, encode_items, envelope_head
from app.console.live_feed import LiveFeed, TimeOf
from app.core.frames import MAX_BODY_BYTES, Frame, FrameType, encode_frame
from app.core.signal_view import ColumnMark, EnvelopePair

PEGGED_SHARE = 0.5
MAX_ROWS = 8192
MAX_HAPPENINGS = 128


class Subscription:
    """Positions of one console in every ring. The console thread calls it.

    `frames` makes everything new since the last call, encoded; a console that could not take
    frames for a while finds its positions lapped, and gets a `Missed` that says by how much.
    """

    def __init__(self, feed: LiveFeed, *, has_traces: bool) -> None:
        self._feed = feed
        self._has_traces = has_traces
        self._column = 0 if feed.envelopes is None else feed.envelopes.n_published
        self.is_filtered = True
        """Whether traces are shown as detection sees them, or as they came."""
        self._spikes = feed.spikes.end
        self._events = feed.events.end
        self._snippets = feed.snippet_marks.end
        self._spans = 0
        self._happenings = 0
        self._states: object = None
        self._is_greeted = False

    def frames(self) -> list[bytes]:
        """Return the frames that the console has not had, the oldest first."""
        bodies: list[bytes] = []
        if not self._is_greeted:
            self._is_greeted = True
            bodies += encode_items(self._feed.format)
        missed = self._samples(bodies)
        states = self._feed.channel_states
        if states is not None and states is not self._states:
            self._states = states
            bodies += encode_items(states)
        spans, self._spans, _ = self._feed.spans.read(self._spans, MAX_HAPPENINGS)
        for span in spans:
            bodies += encode_items(span)  # type: ignore[arg-type]
        frames = [encode_frame(Frame(FrameType.FEED, body)) for body in bodies]
        n_log_lines = self._happened(frames)
        missed = replace(missed, n_log_lines=n_log_lines)
        if missed != Missed():
            frames += [encode_frame(Frame(FrameType.FEED, b)) for b in encode_items(missed)]
        return frames

    def _samples(self, bodies: list[bytes]) -> Missed:
        feed = self._feed
        n_columns = self._envelope(bodies) if self._has_traces else 0
        spikes, self._spikes, n_spikes = feed.spikes.read(self._spikes, MAX_ROWS)
        if len(spikes):
            bodies += encode_items(SpikeMarks(spikes))
        events, self._events, n_events = feed.events.read(self._events, MAX_ROWS)
        if len(events):
            bodies += encode_items(NeuronEvents(events))
        n_snippets = 0
        if feed.snippets is not None:
            start = self._snippets
            marks, self._snippets, n_snippets = feed.snippet_marks.read(start, 512)
            samples, _, _ = feed.snippets.read(start, 512)
            if len(marks) == len(samples) and len(marks):
                bodies += encode_items(Snippets(marks, samples, feed.n_before_spike))
        return Missed(
            n_columns=n_columns, n_spikes=n_spikes, n_events=n_events, n_snippets=n_snippets
        )

    def _envelope(self, bodies: list[bytes]) -> int:
        """Add the columns since the last call; return how many were lost before them."""
        ring, time_of = self._feed.envelopes, self._feed.time_of
        if ring is None or time_of is None:
            return 0
        pair = ring.take_pair(self._column, is_filtered=self.is_filtered)
        self._column = pair.next_column
        length = ring.n_samples_per_column
        first_samples = pair.extents[:, 0]
        # A column that a gap has cut is not shown: half of it would look like all of it.
        is_whole = (pair.extents[:, 1] == length) & (first_samples % length == 0)
        counts = np.rint(pair.values_uv / np.float32(self._feed.format.microvolts_per_count))
        counts = np.clip(np.nan_to_num(counts, copy=False), -32768, 32767).astype("<i2")
        step = columns_per_body(counts.shape[2])
        for start, stop in _runs(is_whole, first_samples, length):
            for at in range(start, stop, step):
                part = slice(at, min(stop, at + step))
                first = int(first_samples[at])
                head = envelope_head(
                    counts.shape[2], length, first, time_of(first), is_filtered=self.is_filtered
                )
                bodies.append(head + counts[part].tobytes())
        self._artefacts(bodies, pair, length, time_of)
        return pair.n_missed

    def _artefacts(
        self, bodies: list[bytes], pair: EnvelopePair, length: int, time_of: TimeOf
    ) -> None:
        """Shade where most of the channels were at the amplifier's rail."""
        is_pegged = (pair.marks & ColumnMark.SATURATED).astype(bool).mean(axis=1) > PEGGED_SHARE
        for start, stop in _runs(is_pegged, pair.extents[:, 0], length):
            from_ns = time_of(int(pair.extents[start, 0]))
            to_ns = time_of(int(pair.extents[stop - 1].sum()))
            span = Span(SpanKind.ARTEFACT, from_ns, to_ns, text="saturated")
            bodies += encode_items(span)

    def _happened(self, frames: list[bytes]) -> int:
        read = self._feed.happenings.read(self._happenings, MAX_HAPPENINGS)
        happenings, self._happenings, n_lost = read
        if happenings:
            body = msgspec.json.encode(happenings)
            while len(body) > MAX_BODY_BYTES:
                happenings = happenings[1:]
                n_lost += 1
                body = msgspec.json.encode(happenings)
            frames.append(encode_frame(Frame(FrameType.EVENT, body)))
        return n_lost


def _runs(
    is_in: npt.NDArray[np.bool_], first_samples: npt.NDArray[np.int64], length: int
) -> list[tuple[int, int]]:
    """Return [start, stop) of each gapless run of columns that are in."""
    indices = np.flatnonzero(is_in)
    if not len(indices):
        return []
    is_cut = (np.diff(indices) != 1) | (np.diff(first_samples[indices]) != length)
    starts = np.concatenate(([0], np.flatnonzero(is_cut) + 1, [len(indices)]))
    return [(int(indices[a]), int(indices[b - 1]) + 1) for a, b in pairwise(starts)]
