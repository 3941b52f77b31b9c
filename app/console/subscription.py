"""One console's place in the live feed: what it gets next, and what it has missed."""

from dataclasses import replace

import msgspec
import numpy as np

from app.console.feed import Missed, NeuronEvents, Snippets, SpikeMarks
from app.console.feed_wire import columns_per_body, encode_items, envelope_head
from app.console.live_feed import LiveFeed
from app.core.frames import MAX_BODY_BYTES, Frame, FrameType, encode_frame

MAX_COLUMNS_BYTES = 768 * 1024
"""Per look, so that a console that catches up does not hold the thread."""
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
        self._columns = feed.columns.end
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
        feed = self._feed
        time_of = feed.time_of
        n_channels = feed.format.n_channels
        if time_of is None or not n_channels:
            return 0
        n_max = max(1, MAX_COLUMNS_BYTES // (4 * n_channels))
        start = self._columns
        # The first samples are written last: what they name is in the ring.
        first_samples, self._columns, n_lost = feed.column_samples.read(start, n_max)
        columns, _, _ = feed.columns.read(self._columns - len(first_samples), len(first_samples))
        if len(columns) != len(first_samples):
            return n_lost
        step = columns_per_body(n_channels)
        length = feed.format.samples_per_column
        cuts = np.flatnonzero(np.diff(first_samples) != length) + 1
        for whole in np.split(np.arange(len(columns)), cuts):
            for at in range(0, len(whole), step):
                part = whole[at : at + step]
                first = int(first_samples[part[0]])
                head = envelope_head(n_channels, length, first, time_of(first), is_filtered=False)
                bodies.append(head + columns[part[0] : part[-1] + 1].tobytes())
        return n_lost

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
