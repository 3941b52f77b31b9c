"""Where an engine's threads leave what consoles may show; the console thread takes it from here.

Nothing in here waits for a console. Rings hold some seconds; a console that reads too late has
lost the oldest, and is told how much.
"""

import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from app.console.feed import (
    FEED_SNIPPET,
    FEED_SPIKE,
    NEURON_EVENT,
    ChannelStates,
    FeedFormat,
    Span,
)
from app.console.happenings import Happening
from app.console.rings import RecordRing
from app.core.signal_view import EnvelopeRing

N_SPIKES = 1 << 17
N_EVENTS = 1 << 15
N_SNIPPETS = 1 << 11
N_HAPPENINGS = 4096
N_SPANS = 1024

TimeOf = Callable[[int], int]
"""Site time in ns of a sample index."""


class PositionedQueue:
    """A bounded list of objects with positions, as `RecordRing` has for arrays."""

    def __init__(self, capacity: int) -> None:
        self._items: deque[object] = deque(maxlen=capacity)
        self._lock = threading.Lock()
        self.end = 0

    def append(self, item: object) -> None:
        """Add one in place of the oldest."""
        with self._lock:
            self._items.append(item)
            self.end += 1

    def read(self, position: int, n_max: int) -> tuple[list[object], int, int]:
        """Return (items, position after them, how many were lost before them)."""
        with self._lock:
            start = max(position, self.end - len(self._items))
            first = start - (self.end - len(self._items))
            items = [self._items[i] for i in range(first, min(len(self._items), first + n_max))]
            return items, start + len(items), start - position


class LiveFeed:
    """One engine's feed. `n_watchers` says how many consoles want it: without any, no work is done.

    Spikes and snippets come from the acquisition thread, columns are read where detection writes
    them; neurons' events, spans and happenings come from any thread.
    """

    def __init__(self, feed_format: FeedFormat) -> None:
        self.id = uuid4().hex
        """Positions in these rings mean nothing in another feed's."""
        self.format = feed_format
        self.n_watchers = 0
        self.channel_states: ChannelStates | None = None
        self.time_of: TimeOf | None = None
        """None: the amplifier's clock is not known yet, and nothing can be placed in time."""
        self.envelopes: EnvelopeRing | None = None
        """None: no amplifier."""
        self.refresh: Callable[[], None] = _nothing
        """Called by the console thread before each status: time to renew `channel_states`."""
        self.spikes = RecordRing(N_SPIKES, FEED_SPIKE)
        self.events = RecordRing(N_EVENTS, NEURON_EVENT)
        self.snippet_marks = RecordRing(N_SNIPPETS, FEED_SNIPPET)
        self.snippets: RecordRing | None = None
        self.snippet_channels: npt.NDArray[np.bool_] | None = None
        """Whose snippets some console wants, `(n_channels,)`; None: every channel's."""
        self.n_before_spike = 0
        self.spans = PositionedQueue(N_SPANS)
        self.happenings = PositionedQueue(N_HAPPENINGS)

    def set_envelopes(self, envelopes: EnvelopeRing) -> None:
        """Take the ring that detection writes columns into; before any console is served."""
        self.envelopes = envelopes
        self.format = replace(self.format, samples_per_column=envelopes.n_samples_per_column)

    def show_channels(self, states: ChannelStates) -> None:
        """Take the newest states of all channels, in place of the last ones."""
        self.channel_states = states

    def want_snippets(self, channels: Collection[int | None]) -> None:
        """Take whose snippets the consoles want, one entry for each; None: every channel's."""
        is_wanted = np.zeros(self.format.n_channels, np.bool_)
        for channel in channels:
            is_wanted[slice(None) if channel is None else channel] = True
        self.snippet_channels = None if is_wanted.all() else is_wanted

    def offer_snippets(
        self, marks: npt.NDArray[np.void], samples_uv: npt.NDArray[np.float32], n_before: int
    ) -> None:
        """Take samples around spikes, `(n_snippets, n_samples)`; the shape never changes."""
        if self.snippets is None:
            self.n_before_spike = n_before
            self.snippets = RecordRing(N_SNIPPETS, np.float32, (samples_uv.shape[1],))
        self.snippets.append(samples_uv)
        self.snippet_marks.append(marks)

    def happened(self, happening: Happening) -> None:
        """Take one happening."""
        self.happenings.append(happening)

    def shade(self, span: Span) -> None:
        """Take a stretch of time to be shaded."""
        self.spans.append(span)


def _nothing() -> None:
    """Renew nothing."""
