"""One console's place in the live feed: what it gets next, and what it has missed."""

from collections.abc import Mapping

import msgspec

from app.console.column_reader import ColumnReader
from app.console.feed import FEED_SPIKE, NEURON_EVENT, Missed, Span
from app.console.feed_wire import (
    NEURONS_HEAD,
    SNIPPET_HEAD,
    SNIPPETS,
    SPIKES_HEAD,
    encode_items,
    records_per_body,
    snippets_per_body,
)
from app.console.frame_buffer import MAX_FRAME_BYTES, FrameBuffer
from app.console.live_feed import LiveFeed
from app.console.rings import RecordRing
from app.core.frames import MAX_BODY_BYTES, FrameType

MAX_ROWS = 8192
MAX_SNIPPETS = 512
MAX_HAPPENINGS = 128
AT_A_TIME = 16
BUFFER_BYTES = 1 << 22
"""More than everything that one display frame may bring."""


class Subscription:
    """Positions of one console in every ring. The console thread calls it.

    `fill` makes frames of everything new since the last call; a console that could not take frames
    for a while finds its positions lapped, and gets a `Missed` that says by how much. The `seq` of
    a frame is the position after what it brings: a console whose connection broke hands its
    positions in again (`place`), and neither loses nor repeats anything that the rings still hold.
    """

    def __init__(
        self, feed: LiveFeed, *, has_traces: bool, place: Mapping[str, int] | None = None
    ) -> None:
        """Begin with what comes next, or where `place` says, as far as it has been so far."""
        at = place or {}
        self._feed = feed
        self._columns: ColumnReader | None = None
        if has_traces and feed.envelopes is not None:
            n_published = feed.envelopes.n_published
            next_column = min(at.get("columns", n_published), n_published)
            self._columns = ColumnReader(feed.envelopes, next_column)
        self.is_filtered = True
        """Whether traces are shown as detection sees them, or as they came."""
        self.channel: int | None = None
        """Whose snippets are wanted (`LiveFeed.want_snippets`); None: every channel's."""
        self._spikes = min(at.get("spikes", feed.spikes.end), feed.spikes.end)
        self._events = min(at.get("events", feed.events.end), feed.events.end)
        self._snippets = min(at.get("snippets", feed.snippet_marks.end), feed.snippet_marks.end)
        self._spans = min(at.get("spans", 0), feed.spans.end)
        self._happenings = min(at.get("lines", 0), feed.happenings.end)
        self._states: object = None
        self._is_greeted = place is not None

    @property
    def place(self) -> dict[str, int]:
        """Get the positions that it has got to."""
        return {
            "columns": 0 if self._columns is None else self._columns.next,
            "spikes": self._spikes,
            "events": self._events,
            "snippets": self._snippets,
            "spans": self._spans,
            "lines": self._happenings,
        }

    def fill(self, buffer: FrameBuffer) -> None:
        """Put the frames that the console has not had into an empty buffer, the oldest first."""
        feed = self._feed
        if not self._is_greeted:
            self._is_greeted = True
            self._add(buffer, *encode_items(feed.format))
            return
        n_columns = self._take_columns(buffer)  # first: they must lie at even bytes
        self._spikes, n_spikes = _take_rows(
            buffer, feed.spikes, self._spikes, SPIKES_HEAD, records_per_body(FEED_SPIKE)
        )
        self._events, n_events = _take_rows(
            buffer, feed.events, self._events, NEURONS_HEAD, records_per_body(NEURON_EVENT)
        )
        n_snippets = self._take_snippets(buffer)
        if feed.channel_states is not self._states:
            self._states = feed.channel_states
            if feed.channel_states is not None:
                self._add(buffer, *encode_items(feed.channel_states))
        if feed.spans.end != self._spans:
            spans, self._spans, _ = feed.spans.read(self._spans, MAX_HAPPENINGS)
            bodies = [b for span in spans if isinstance(span, Span) for b in encode_items(span)]
            self._add(buffer, *bodies, seq=self._spans)
        n_log_lines = self._take_happenings(buffer)
        if n_columns or n_spikes or n_events or n_snippets or n_log_lines:
            missed = Missed(n_columns, n_spikes, n_events, n_snippets, n_log_lines=n_log_lines)
            self._add(buffer, *encode_items(missed))

    def _add(self, buffer: FrameBuffer, *bodies: bytes, seq: int = 0) -> None:
        for body in bodies:
            buffer.add(FrameType.FEED, body, seq)

    def _take_columns(self, buffer: FrameBuffer) -> int:
        time_of = self._feed.time_of
        if self._columns is None or time_of is None:
            return 0
        return self._columns.fill(buffer, time_of, is_filtered=self.is_filtered)

    def _take_snippets(self, buffer: FrameBuffer) -> int:
        marks, snippets = self._feed.snippet_marks, self._feed.snippets
        n_missed, end = 0, self._snippets + MAX_SNIPPETS
        while snippets is not None and marks.end != self._snippets and self._snippets < end:
            place = buffer.next_body()
            rows = place[SNIPPET_HEAD.size :]
            n_max = snippets_per_body(snippets.row_bytes // 4)
            # The marks are written last: what they name is in the other ring.
            n_bytes, self._snippets, n_lost = marks.read_into(rows, self._snippets, n_max)
            n_missed += n_lost
            n = n_bytes // marks.row_bytes
            n_more, _, n_torn = snippets.read_into(rows[n_bytes:], self._snippets - n, n)
            if n_torn:
                n_missed += n
                continue
            n_samples = snippets.row_bytes // 4
            SNIPPET_HEAD.pack_into(place, 0, SNIPPETS, self._feed.n_before_spike, n, n_samples)
            n_bytes += SNIPPET_HEAD.size + n_more
            buffer.begin(FrameType.FEED, n_bytes, self._snippets)
        return n_missed

    def _take_happenings(self, buffer: FrameBuffer) -> int:
        ring, n_missed, end = self._feed.happenings, 0, self._happenings + MAX_HAPPENINGS
        while ring.end != self._happenings and self._happenings < end:
            if buffer.n_left < AT_A_TIME * MAX_FRAME_BYTES:
                break  # long ones; the rest comes with the next display frame
            happenings, self._happenings, n_lost = ring.read(self._happenings, AT_A_TIME)
            n_missed += n_lost
            bodies = _event_bodies(happenings)
            for body in filter(None, bodies):
                buffer.add(FrameType.EVENT, body, self._happenings if body is bodies[-1] else 0)
            n_missed += bodies.count(b"")
        return n_missed


def _event_bodies(happenings: list[object]) -> list[bytes]:
    """Return happenings as bodies that fit into frames; empty: one alone is too long for any."""
    body = msgspec.json.encode(happenings)
    if len(body) <= MAX_BODY_BYTES:
        return [body]
    if len(happenings) == 1:
        return [b""]
    half = len(happenings) // 2
    return _event_bodies(happenings[:half]) + _event_bodies(happenings[half:])


def _take_rows(
    buffer: FrameBuffer, ring: RecordRing, position: int, head: bytes, n_per_frame: int
) -> tuple[int, int]:
    """Append what is new in a ring; return the position after it and how many rows were lost."""
    n_missed, end = 0, position + MAX_ROWS
    while ring.end != position and position < end:
        place = buffer.next_body()
        n_bytes, position, n_lost = ring.read_into(place[len(head) :], position, n_per_frame)
        place[: len(head)] = head
        buffer.begin(FrameType.FEED, len(head) + n_bytes, position)
        n_missed += n_lost
    return position, n_missed
