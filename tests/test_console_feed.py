"""A console's place in the live feed: gaps, what is missed, and going on after a break."""

import json

import numpy as np
import pytest
from chain_rig import until
from console_rig import (
    ScriptedHandler,
    attached,
    envelopes,
    feed_format,
    feed_with_ring,
    fill,
    gather,
    items,
    last_sample,
    reply,
    serving,
    spikes,
)

from app.console.feed import (
    FEED_SNIPPET,
    EnvelopeBatch,
    FeedFormat,
    Missed,
    Snippets,
    Span,
    SpanKind,
    SpikeMarks,
)
from app.console.feed_wire import decode_item
from app.console.frame_buffer import FrameBuffer
from app.console.happenings import LogLine
from app.console.live_feed import N_SPIKES, LiveFeed
from app.console.subscription import BUFFER_BYTES, Subscription
from app.core.frames import FrameDecoder, FrameType
from app.core.signal_view import ColumnMark


def test_columns_after_a_gap_say_where_they_begin_and_cut_ones_are_not_shown() -> None:
    feed, ring = feed_with_ring(2)
    subscription = Subscription(feed, has_traces=True)
    fill(ring, 0, 3, sample=20)
    ring.extents[2, 1] = 7  # cut by the gap
    fill(ring, 3, 2, sample=1000)
    batches = envelopes(subscription)
    assert [(b.first_sample, len(b.low)) for b in batches] == [(20, 2), (1000, 2)]
    assert [b.time_ns for b in batches] == [1000 + 20 * 50_000, 1000 + 1000 * 50_000]


def test_a_saturated_stretch_is_shaded() -> None:
    feed, ring = feed_with_ring(2)
    subscription = Subscription(feed, has_traces=True)
    ring.marks[1:3] = ColumnMark.SATURATED
    fill(ring, 0, 5, sample=0)
    spans = [item for item in items(subscription) if isinstance(item, Span)]
    assert [(s.kind, s.from_ns, s.to_ns) for s in spans] == [
        (SpanKind.ARTEFACT, 1000 + 20 * 50_000, 1000 + 60 * 50_000)
    ]


def test_a_reader_that_comes_late_is_told_how_many_columns_it_lost() -> None:
    feed, ring = feed_with_ring(2)
    subscription = Subscription(feed, has_traces=True)
    for k in range(5):
        fill(ring, 2000 * k, 2000, sample=2000 * 20 * k)
    got = items(subscription)
    n_columns = sum(len(i.low) for i in got if isinstance(i, EnvelopeBatch))
    (missed,) = [i for i in got if isinstance(i, Missed)]
    assert missed.n_columns + n_columns == 10_000
    assert missed.n_columns > 0


def test_a_console_whose_connection_broke_goes_on_where_it_was() -> None:
    feed, ring = feed_with_ring()
    with serving(feed, ScriptedHandler()) as (_, path):
        first = attached(path)
        told = reply(first, "subscribe").result
        feed.spikes.append(spikes(0, 3))
        feed.happened(LogLine(time_ns=1, level="info", source="gate", text="before"))
        wanted = (SpikeMarks, LogLine)
        gather(first, lambda got: all(any(isinstance(a, t) for a in got) for t in wanted), "both")
        positions = told["place"] | first.positions
        first.close()
        fill(ring, 0, 5, sample=0)
        feed.spikes.append(spikes(3, 2))
        feed.happened(LogLine(time_ns=2, level="info", source="gate", text="meanwhile"))
        again = attached(path)
        again.send("subscribe", feed=told["feed"], **positions)
        wanted = (SpikeMarks, LogLine, EnvelopeBatch)
        arrivals = gather(
            again, lambda got: all(any(isinstance(a, t) for a in got) for t in wanted), "all"
        )
        assert [a.text for a in arrivals if isinstance(a, LogLine)] == ["meanwhile"]
        assert [
            i for a in arrivals if isinstance(a, SpikeMarks) for i in a.records["sample_index"]
        ] == [3, 4]
        assert last_sample(arrivals) == 100
        assert not any(isinstance(a, FeedFormat | Missed) for a in arrivals)
        again.close()


def test_what_the_rings_no_longer_hold_of_a_break_is_counted_as_missed() -> None:
    feed, ring = feed_with_ring(2)
    before = Subscription(feed, has_traces=True).place
    for k in range(5):
        fill(ring, 2000 * k, 2000, sample=2000 * 20 * k)
    feed.spikes.append(spikes(0, N_SPIKES))
    feed.spikes.append(spikes(N_SPIKES, 10))
    got = items(Subscription(feed, has_traces=True, place=before))
    missed = [i for i in got if isinstance(i, Missed)]
    n_columns = sum(len(i.low) for i in got if isinstance(i, EnvelopeBatch))
    assert sum(m.n_columns for m in missed) + n_columns == 10_000
    assert sum(m.n_spikes for m in missed) == 10
    assert not any(isinstance(i, FeedFormat) for i in got)


def test_very_long_lines_come_over_several_display_frames() -> None:
    feed = LiveFeed(feed_format())
    subscription, buffer, decoder = (
        Subscription(feed, has_traces=False), FrameBuffer(BUFFER_BYTES), FrameDecoder(),
    )  # fmt: skip
    for k in range(150):
        feed.happened(LogLine(time_ns=k, level="info", source="x", text="x" * (60_000 + k)))
    feed.happened(LogLine(time_ns=150, level="info", source="x", text="x" * 70_000))
    times, n_missed = [], 0
    for _ in range(10):
        buffer.clear()
        subscription.fill(buffer)
        for frame in decoder.feed(bytes(buffer.filled)):
            if frame.type is FrameType.EVENT:
                times += [line["time_ns"] for line in json.loads(frame.body)]
            elif isinstance(item := decode_item(frame.body), Missed):
                n_missed += item.n_log_lines
    assert times == list(range(150))
    assert n_missed == 1


@pytest.mark.parametrize("place", [{"spikes": 2**70, "columns": 2**70, "lines": 10**9}, {}])
def test_positions_that_never_were_are_taken_as_the_present(place: dict[str, int]) -> None:
    feed, ring = feed_with_ring(2)
    fill(ring, 0, 7, sample=0)
    feed.spikes.append(spikes(0, 3))
    subscription = Subscription(feed, has_traces=True, place=place)
    assert (subscription.place["columns"], subscription.place["spikes"]) == (7, 3)
    assert items(subscription) == []


@pytest.mark.parametrize(
    "said", [{"feed": "another engine's", "spikes": 0}, {"spikes": True}, {"spikes": "3"}]
)
def test_a_console_of_another_engine_begins_anew(said: dict[str, object]) -> None:
    feed = LiveFeed(feed_format())
    feed.spikes.append(spikes(0, 3))
    with serving(feed, ScriptedHandler()) as (_, path):
        console = attached(path)
        said = {"feed": feed.id, **said}
        assert reply(console, "subscribe", **said).result["place"]["spikes"] == 3
        console.close()


def test_only_snippets_that_somebody_wants_are_collected() -> None:
    feed = LiveFeed(feed_format())
    with serving(feed, ScriptedHandler()) as (_, path):
        one, other = attached(path), attached(path)
        reply(one, "subscribe")
        assert feed.snippet_channels is None
        for wrong in (4, -1, 1.0, True, "A-001"):
            assert not reply(one, "show", channel=wrong).is_ok
        reply(one, "show", channel=2)
        assert feed.snippet_channels.tolist() == [False, False, True, False]
        reply(other, "subscribe")
        assert feed.snippet_channels is None
        reply(other, "show", channel=0)
        assert feed.snippet_channels.tolist() == [True, False, True, False]
        other.close()
        until(lambda: feed.n_watchers == 1, "it has gone")
        assert feed.snippet_channels.tolist() == [False, False, True, False]
        one.close()


def test_snippets_arrive_as_they_were_offered() -> None:
    feed = LiveFeed(feed_format())
    marks = np.zeros(600, FEED_SNIPPET)
    marks["sample_index"] = np.arange(600)
    samples_uv = np.arange(600 * 60, dtype=np.float32).reshape(600, 60)
    feed.offer_snippets(marks[:1], samples_uv[:1], 20)
    subscription = Subscription(feed, has_traces=False)
    items(subscription)
    feed.offer_snippets(marks[1:], samples_uv[1:], 20)
    got = [i for i in items(subscription) if isinstance(i, Snippets)]
    assert np.concatenate([s.samples_uv for s in got]).tolist() == samples_uv[1:].tolist()
    assert np.concatenate([s.records for s in got])["sample_index"].tolist() == [*range(1, 600)]
    assert {s.n_before for s in got} == {20}
