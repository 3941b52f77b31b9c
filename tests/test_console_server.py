"""Consoles on real sockets: the feed, what is missed, control, strangers, and those that stall."""

import json
import socket
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from chain_rig import until
from console_rig import ScriptedHandler, attached, feed_format, gather, reply, serving

from app.bridge.keys import keygen
from app.bridge.tls import TlsIdentity
from app.console.attachment import Attachment, DetachedError, RemoteEngine, StatusShown
from app.console.client import ConsoleClient
from app.console.feed import (
    FEED_SNIPPET,
    FEED_SPIKE,
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
from app.console.messages import CommandRefusedError
from app.console.server import NetworkAccess
from app.console.subscription import BUFFER_BYTES, Subscription
from app.console.unix_address import connect_unix
from app.core.frames import FrameDecoder, FrameType
from app.core.signal_view import ColumnMark, EnvelopeRing


def fill(ring: EnvelopeRing, first: int, n: int, sample: int, value_uv: float = 0.0) -> None:
    """Write `n` columns from ring column `first` on, the first one beginning at `sample`."""
    for k in range(n):
        row = (first + k) % len(ring.extents)
        ring.extents[row] = sample + k * ring.n_samples_per_column, ring.n_samples_per_column
        ring.values[row] = np.rint(np.array([-1, 1, -2, 2])[:, None] * value_uv / 0.195)
    ring.publish(first + n)


def feed_with_ring(n_channels: int = 4) -> tuple[LiveFeed, EnvelopeRing]:
    feed, ring = LiveFeed(feed_format(n_channels)), EnvelopeRing(n_channels, 20, 4096, 0.195)
    feed.set_envelopes(ring)
    feed.time_of = lambda sample: 1000 + sample * 50_000
    return feed, ring


def spikes(first: int, n: int) -> np.ndarray:
    records = np.zeros(n, FEED_SPIKE)
    records["sample_index"] = np.arange(first, first + n)
    return records


def test_a_subscriber_gets_format_status_columns_spikes_and_lines() -> None:
    feed, ring = feed_with_ring()
    handler = ScriptedHandler()
    with serving(feed, handler) as (_, path):
        console = attached(path)
        console.send("subscribe")
        until(lambda: feed.n_watchers == 1, "subscribed")
        fill(ring, 0, 5, sample=0, value_uv=19.5)
        feed.spikes.append(spikes(7, 2))
        feed.happened(LogLine(time_ns=5, level="info", source="gate", text="armed"))
        feed.shade(Span(SpanKind.GAP, 1, 2, site="zurich", text="lost"))
        wanted = (FeedFormat, StatusShown, EnvelopeBatch, SpikeMarks, LogLine, Span)
        arrivals = gather(
            console, lambda got: all(any(isinstance(a, t) for a in got) for t in wanted), "all"
        )
        columns = next(a for a in arrivals if isinstance(a, EnvelopeBatch))
        assert (columns.first_sample, columns.time_ns, columns.is_filtered) == (0, 1000, True)
        assert columns.low.tolist() == [[-100] * 4] * 5
        assert columns.high.tolist() == [[100] * 4] * 5
        marks = next(a for a in arrivals if isinstance(a, SpikeMarks))
        assert marks.records["sample_index"].tolist() == [7, 8]
        console.close()


def test_traces_are_shown_raw_on_request() -> None:
    feed, ring = feed_with_ring()
    with serving(feed, ScriptedHandler()) as (_, path):
        console = attached(path)
        assert not reply(console, "show", is_filtered=False).is_ok  # not subscribed
        reply(console, "subscribe")
        assert not reply(console, "show", is_filtered=1.5).is_ok
        reply(console, "show", is_filtered=False)
        fill(ring, 0, 1, sample=0, value_uv=19.5)
        arrivals = gather(
            console, lambda got: any(isinstance(a, EnvelopeBatch) for a in got), "columns"
        )
        columns = next(a for a in arrivals if isinstance(a, EnvelopeBatch))
        assert not columns.is_filtered
        assert columns.low[0].tolist() == [-200] * 4
        console.close()


def test_a_console_that_slept_is_told_what_it_missed_and_gets_the_newest() -> None:
    feed, handler = LiveFeed(feed_format()), ScriptedHandler()
    with serving(feed, handler) as (server, path):
        console = attached(path)
        reply(console, "subscribe")
        n_total, at = 3 * N_SPIKES, 0
        n_frames = server.cost.n_frames
        while at < n_total:  # the console reads nothing meanwhile
            feed.spikes.append(spikes(at, 8192))
            at += 8192
        until(lambda: server.cost.n_frames > n_frames + 3, "frames were due")
        got, n_missed = [], 0

        def has_the_newest(arrivals: list[object]) -> bool:
            return any(
                isinstance(a, SpikeMarks) and a.records["sample_index"][-1] == n_total - 1
                for a in arrivals
            )

        arrivals = gather(console, has_the_newest, "the newest spike")
        for arrival in arrivals:
            if isinstance(arrival, SpikeMarks):
                got += arrival.records["sample_index"].tolist()
            if isinstance(arrival, Missed):
                n_missed += arrival.n_spikes
        arrivals = gather(console, lambda a: len(a) > 0, "a last look")
        n_missed += sum(a.n_spikes for a in arrivals if isinstance(a, Missed))
        assert got == sorted(set(got))
        assert len(got) + n_missed == n_total
        assert n_missed > 0
        console.close()


def test_a_console_that_never_reads_costs_the_others_nothing() -> None:
    feed, ring = feed_with_ring(512)
    with serving(feed, ScriptedHandler()) as (server, path):
        stalled, good = attached(path), attached(path)
        stalled.send("subscribe")
        reply(good, "subscribe")
        until(lambda: feed.n_watchers == 2, "both watch")
        arrivals: list[object] = []
        for k in range(40):  # 80 kB at a time, far more than a stalled socket takes in all
            fill(ring, k * 20, 20, sample=k * 400)
            arrivals += gather(good, lambda got, k=k: _last_sample(got) == (k + 1) * 400, "columns")
        assert not any(isinstance(a, Missed) for a in arrivals)
        assert reply(good, "note").is_ok
        assert len(server.callers) == 2
        stalled.close()
        good.close()


def _last_sample(arrivals: list[object]) -> int:
    return max((a.end_sample for a in arrivals if isinstance(a, EnvelopeBatch)), default=0)


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
        reply(again, "subscribe", feed=told["feed"], **positions)
        wanted = (SpikeMarks, LogLine, EnvelopeBatch)
        arrivals = gather(
            again, lambda got: all(any(isinstance(a, t) for a in got) for t in wanted), "all"
        )
        assert [a.text for a in arrivals if isinstance(a, LogLine)] == ["meanwhile"]
        assert [
            i for a in arrivals if isinstance(a, SpikeMarks) for i in a.records["sample_index"]
        ] == [3, 4]
        assert _last_sample(arrivals) == 100
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


def items(subscription: Subscription) -> list[object]:
    buffer, decoder, frames = FrameBuffer(BUFFER_BYTES), FrameDecoder(), []
    while True:
        buffer.clear()
        subscription.fill(buffer)
        if not buffer.filled:
            return [decode_item(f.body) for f in frames if f.type is FrameType.FEED]
        frames += decoder.feed(bytes(buffer.filled))


def envelopes(subscription: Subscription) -> list[EnvelopeBatch]:
    return [item for item in items(subscription) if isinstance(item, EnvelopeBatch)]


def test_commands_have_replies_and_refusals_have_reasons() -> None:
    handler = ScriptedHandler()
    handler.refusals["arm"] = "padova is not ready"
    with serving(LiveFeed(feed_format()), handler) as (_, path):
        with ConsoleClient(path) as console:
            assert console.call("note", text="x") == {"operator": None}
            with pytest.raises(CommandRefusedError, match="padova is not ready"):
                console.call("arm")
        until(lambda: bool(handler.gone), "the engine hears that it has gone")


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n" * 3, b"\0" * 64, b"KBPS" + b"\xff" * 60]
)
def test_garbage_closes_that_console_only(garbage: bytes) -> None:
    handler = ScriptedHandler()
    with serving(LiveFeed(feed_format()), handler) as (_, path):
        good = attached(path)
        stranger = connect_unix(path, 1.0)
        stranger.sendall(garbage)
        stranger.settimeout(5.0)
        assert stranger.recv(1) == b""
        stranger.close()
        assert reply(good, "note").is_ok
        good.close()


def test_over_the_network_only_an_operators_key_attaches(tmp_path: Path) -> None:
    site_key, site_crt = keygen(tmp_path / "site", "padova")
    ada_key, ada_crt = keygen(tmp_path / "ada", "ada")
    eve_key, eve_crt = keygen(tmp_path / "eve", "eve")
    access = NetworkAccess("127.0.0.1", 0, TlsIdentity(site_key, site_crt, {"Ada": ada_crt}))
    handler = ScriptedHandler()
    with serving(LiveFeed(feed_format()), handler, access) as (server, _):
        until(lambda: server.port is not None, "network port")
        assert server.port is not None
        ada = Attachment(
            RemoteEngine("127.0.0.1", server.port, TlsIdentity(ada_key, ada_crt, {"p": site_crt}))
        )
        gather(ada, lambda _: ada.is_open, "Ada is attached")
        assert reply(ada, "arm").result == {"operator": "Ada"}
        eve = Attachment(
            RemoteEngine("127.0.0.1", server.port, TlsIdentity(eve_key, eve_crt, {"p": site_crt}))
        )
        with pytest.raises(DetachedError):
            gather(eve, lambda _: False, "Eve is refused")
        with socket.create_connection(("127.0.0.1", server.port), 5.0) as plain:
            plain.sendall(b"no TLS at all, but long enough to be read as a record")
            with suppress(ConnectionResetError):
                assert plain.recv(64)[:1] in (b"", b"\x15")  # nothing, or a TLS alert
        assert reply(ada, "note").is_ok
        ada.close()
        assert [name for _, name, _ in handler.calls] == ["arm", "note"]
