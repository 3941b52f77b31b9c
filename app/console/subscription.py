"""One console's place in the live feed: what it gets next, and what it has missed."""

import msgspec

from app.console.column_reader import ColumnReader
from app.console.feed import Missed, NeuronEvents, Snippets, Span, SpikeMarks
from app.console.feed_wire import encode_items
from app.console.live_feed import LiveFeed
from app.core.frames import MAX_BODY_BYTES, Frame, FrameType, encode_frame

MAX_ROWS = 8192
MAX_SNIPPETS = 512
MAX_HAPPENINGS = 128


class Subscription:
    """Positions of one console in every ring. The console thread calls it.

    `frames` makes everything new since the last call, encoded; a console that could not take
    frames for a while finds its positions lapped, and gets a `Missed` that says by how much.
    """

    def __init__(self, feed: LiveFeed, *, has_traces: bool) -> None:
        self._feed = feed
        self._columns: ColumnReader | None = None
        if has_traces and feed.envelopes is not None:
            self._columns = ColumnReader(feed.envelopes)
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
        feed = self._feed
        bodies: list[bytes] = []
        if not self._is_greeted:
            self._is_greeted = True
            bodies += encode_items(feed.format)
        n_columns = self._take_columns(bodies)
        n_spikes, n_events = self._take_spikes(bodies), self._take_events(bodies)
        n_snippets = self._take_snippets(bodies)
        if feed.channel_states is not self._states:
            self._states = feed.channel_states
            if feed.channel_states is not None:
                bodies += encode_items(feed.channel_states)
        if feed.spans.end != self._spans:
            spans, self._spans, _ = feed.spans.read(self._spans, MAX_HAPPENINGS)
            for span in spans:
                if isinstance(span, Span):
                    bodies += encode_items(span)
        frames = [encode_frame(Frame(FrameType.FEED, body)) for body in bodies]
        n_log_lines = self._take_happenings(frames)
        if n_columns or n_spikes or n_events or n_snippets or n_log_lines:
            missed = Missed(n_columns, n_spikes, n_events, n_snippets, n_log_lines=n_log_lines)
            frames += [encode_frame(Frame(FrameType.FEED, b)) for b in encode_items(missed)]
        return frames

    def _take_columns(self, bodies: list[bytes]) -> int:
        time_of = self._feed.time_of
        if self._columns is None or time_of is None:
            return 0
        columns, n_missed = self._columns.bodies(time_of, is_filtered=self.is_filtered)
        bodies += columns
        return n_missed

    def _take_spikes(self, bodies: list[bytes]) -> int:
        if self._feed.spikes.end == self._spikes:
            return 0
        spikes, self._spikes, n_missed = self._feed.spikes.read(self._spikes, MAX_ROWS)
        bodies += encode_items(SpikeMarks(spikes))
        return n_missed

    def _take_events(self, bodies: list[bytes]) -> int:
        if self._feed.events.end == self._events:
            return 0
        events, self._events, n_missed = self._feed.events.read(self._events, MAX_ROWS)
        bodies += encode_items(NeuronEvents(events))
        return n_missed

    def _take_snippets(self, bodies: list[bytes]) -> int:
        feed, start = self._feed, self._snippets
        if feed.snippets is None or feed.snippet_marks.end == start:
            return 0
        # The marks are written last: what they name is in the other ring.
        marks, self._snippets, n_missed = feed.snippet_marks.read(start, MAX_SNIPPETS)
        samples, _, _ = feed.snippets.read(self._snippets - len(marks), len(marks))
        if len(samples) == len(marks):
            bodies += encode_items(Snippets(marks, samples, feed.n_before_spike))
        return n_missed

    def _take_happenings(self, frames: list[bytes]) -> int:
        if self._feed.happenings.end == self._happenings:
            return 0
        read = self._feed.happenings.read(self._happenings, MAX_HAPPENINGS)
        happenings, self._happenings, n_missed = read
        bodies = _event_bodies(happenings)
        frames += [encode_frame(Frame(FrameType.EVENT, body)) for body in bodies if body]
        return n_missed + bodies.count(b"")


def _event_bodies(happenings: list[object]) -> list[bytes]:
    """Return happenings as bodies that fit into frames; empty: one alone is too long for any."""
    body = msgspec.json.encode(happenings)
    if len(body) <= MAX_BODY_BYTES:
        return [body]
    if len(happenings) == 1:
        return [b""]
    half = len(happenings) // 2
    return _event_bodies(happenings[:half]) + _event_bodies(happenings[half:])
