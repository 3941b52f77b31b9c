"""Consoles on real sockets: the feed, what is missed, control, strangers, and those that stall."""

import socket
from contextlib import suppress
from pathlib import Path

import pytest
from chain_rig import until
from console_rig import (
    ScriptedHandler,
    attached,
    feed_format,
    feed_with_ring,
    fill,
    gather,
    last_sample,
    reply,
    serving,
    spikes,
)

from app.bridge.keys import keygen
from app.bridge.tls import TlsIdentity
from app.console.attachment import Attachment, DetachedError, RemoteEngine, StatusShown
from app.console.client import ConsoleClient
from app.console.feed import (
    EnvelopeBatch,
    FeedFormat,
    Missed,
    Span,
    SpanKind,
    SpikeMarks,
)
from app.console.happenings import LogLine
from app.console.live_feed import N_SPIKES, LiveFeed
from app.console.messages import CommandRefusedError
from app.console.server import NetworkAccess
from app.console.unix_address import connect_unix


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
            arrivals += gather(good, lambda got, k=k: last_sample(got) == (k + 1) * 400, "columns")
        assert not any(isinstance(a, Missed) for a in arrivals)
        assert reply(good, "note").is_ok
        assert len(server.callers) == 2
        stalled.close()
        good.close()


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
