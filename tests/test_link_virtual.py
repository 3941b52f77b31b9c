"""The link's state machine over a virtual network: delays, cuts, stalls, garbage, restarts."""

import random
from dataclasses import replace

import pytest
from link_world import MS, End, S, Wire, batch, jittered, local, no_delay, pair, run, spikes

from app.bridge import bodies
from app.bridge.events import (
    GapDeclared,
    LinkState,
    OffsetKnown,
    PeerGate,
    PeerKnown,
    SpikesReceived,
    StateChanged,
)
from app.bridge.link import Link
from app.bridge.settings import LinkSettings
from app.core.frames import Frame, FrameDecoder, FrameError, FrameType, encode_frame


def received(end: End) -> list[int]:
    """Firing times that arrived, in order."""
    return [
        int(r["time_ns"])
        for e in end.events
        if isinstance(e, SpikesReceived)
        for r in e.batch.records
    ]


def states(end: End) -> list[LinkState]:
    return [e.state for e in end.events if isinstance(e, StateChanged)]


def sender(wire: Wire, every_ns: int = 10 * MS, until_ns: int = 10**18):
    """Send one spike every so often, stamped with its own time."""

    def at(now_ns: int) -> None:
        if now_ns % every_ns == 0 and now_ns < until_ns:
            wire.ends[0].link.outbound.queue_spikes(batch([(now_ns, 1)], now_ns), now_ns)

    return at


@pytest.mark.parametrize("delay", [no_delay, jittered(1)])
def test_greeted_links_are_up_and_deliver_everything_in_order(delay) -> None:
    wire = pair(delay)
    run(wire, 0, 3 * S, sender(wire, until_ns=2 * S))
    assert received(wire.ends[1]) == list(range(0, 2 * S, 10 * MS))
    for end in wire.ends:
        assert states(end) == [LinkState.UP]
        assert end.errors == []
    counts = wire.ends[0].link.counts
    assert counts.n_events_sent == 200
    assert counts.n_unacknowledged == 0
    assert wire.ends[1].link.counts.n_duplicates == 0


@pytest.mark.parametrize("seed", range(12))
def test_cuts_lose_nothing_and_double_nothing(seed: int) -> None:
    rng = random.Random(seed)
    wire = pair(jittered(seed))
    cuts = {rng.randrange(S, 9 * S) // MS * MS for _ in range(12)}
    send = sender(wire, 20 * MS, 9 * S)

    def at(now_ns: int) -> None:
        send(now_ns)
        if now_ns in cuts:
            wire.cut(now_ns, keep_bytes=rng.randrange(0, 400))

    run(wire, 0, 12 * S, at)
    assert received(wire.ends[1]) == list(range(0, 9 * S, 20 * MS))
    assert wire.ends[0].link.counts.n_reconnects >= 5
    assert wire.ends[0].link.counts.n_unacknowledged == 0


def test_cut_at_every_byte_of_what_is_under_way() -> None:
    for kept in range(0, 190, 1):
        wire = pair(lambda: 5 * MS)
        run(wire, 0, S)
        for k in range(3):
            now = S + k * MS
            wire.ends[0].link.outbound.queue_spikes(batch([(now, 1)], now), now)
            wire.step(now)
        wire.cut(S + 3 * MS, keep_bytes=kept)
        run(wire, S + 4 * MS, 2 * S)
        assert received(wire.ends[1]) == [S, S + MS, S + 2 * MS], kept


def test_what_is_sent_again_or_late_says_so() -> None:
    wire = pair()
    wire.ends[1].records_at_once = False
    run(wire, 0, 2 * S, sender(wire, 100 * MS, S))
    wire.cut(2 * S)
    wire.ends[0].link.outbound.queue_spikes(batch([(2 * S, 1)], 2 * S), 2 * S)
    run(wire, 2 * S, 4 * S)
    arrived = [e for e in wire.ends[1].events if isinstance(e, SpikesReceived)]
    assert [e.is_resend for e in arrived] == [False] * 11, "each the first time it came"
    assert wire.ends[1].link.counts.n_duplicates == 10, "sent again, dropped"
    assert wire.ends[0].link.counts.n_resent == 10
    late = pair()
    late.is_stalled = True
    run(late, 0, S, sender(late, 500 * MS, 1))
    late.is_stalled = False
    run(late, S, 2 * S)
    assert [e.is_resend for e in late.ends[1].events if isinstance(e, SpikesReceived)] == [True]


def test_silence_is_suspect_at_400_ms_and_down_at_2_s() -> None:
    wire = pair()
    run(wire, 0, S)
    wire.is_stalled = True
    heard_ns = wire.ends[0].link.last_frame_ns
    seen = {}

    def at(now_ns: int) -> None:
        seen.setdefault(wire.ends[0].link.state, now_ns)

    run(wire, S, 4 * S, at)
    assert 400 * MS <= seen[LinkState.SUSPECT] - heard_ns <= 500 * MS
    assert 2 * S <= seen[LinkState.DOWN] - heard_ns <= 2 * S + 100 * MS
    assert "silent" in wire.ends[0].errors[0]


def test_a_peer_that_proves_its_key_and_then_says_nothing_is_closed_after_3_s() -> None:
    link = pair().ends[0].link
    link.on_connected(0)
    assert link.on_tick(3 * S) == []
    with pytest.raises(FrameError, match="no HELLO in time"):
        link.on_tick(3 * S + 1)


def test_hello_names_the_newest_sessions_also_when_one_of_them_is_old() -> None:
    names = [f"{i:032x}" for i in range(100, 200)]
    link = Link(local("a", 1, (1,)), "b", lambda: 1, dict.fromkeys(names, 5))
    link.recorded(names[0], 6)
    link.on_connected(0)
    (frame,) = FrameDecoder().feed(link.outbound.next_chunk(0, 1))
    told = bodies.decode_hello(frame.body).last_seqs
    assert told == {**dict.fromkeys(names[-63:], 5), names[0]: 6}


def test_hello_twice_is_refused() -> None:
    wire = pair()
    run(wire, 0, 100 * MS)
    hello = bodies.encode_hello(wire.ends[1].link.hello_of_connection)
    with pytest.raises(FrameError, match="HELLO twice"):
        wire.ends[1].link.on_frame(Frame(FrameType.HELLO, hello), 100 * MS)


def test_suspect_link_is_up_again_with_the_first_frame() -> None:
    wire = pair()
    run(wire, 0, S)
    wire.is_stalled = True
    run(wire, S, S + 600 * MS)
    assert wire.ends[0].link.state is LinkState.SUSPECT
    wire.is_stalled = False
    run(wire, S + 600 * MS, 2 * S)
    assert wire.ends[0].link.state is LinkState.UP
    assert wire.ends[0].link.counts.n_reconnects == 0


def test_restarted_receiver_takes_nothing_twice() -> None:
    wire = pair()
    run(wire, 0, S, sender(wire, 10 * MS))
    old = wire.ends[1]
    last = max(e.seq for e in old.events if isinstance(e, SpikesReceived))
    wire.cut(S)
    new = End(Link(local("b", 3, (2,)), "a", lambda: 77, {f"{1:032x}": last}))
    wire.ends = (wire.ends[0], new)
    run(wire, S, 2 * S, sender(wire, 10 * MS))
    assert received(old) + received(new) == list(range(0, 2 * S, 10 * MS))


def test_restarted_sender_begins_anew_and_is_not_taken_for_a_repetition() -> None:
    wire = pair()
    run(wire, 0, S, sender(wire, 10 * MS))
    wire.cut(S)
    wire.ends = (End(Link(local("a", 9, (1,)), "b", lambda: 88, {})), wire.ends[1])
    run(wire, S, 2 * S, sender(wire, 10 * MS))
    assert received(wire.ends[1]) == list(range(0, 2 * S, 10 * MS))
    known = [e for e in wire.ends[1].events if isinstance(e, PeerKnown)]
    assert [e.is_new_session for e in known] == [True, True]


def test_overflowing_ring_declares_exactly_what_is_lost() -> None:
    wire = pair(settings=LinkSettings(ring_age_ns=S))
    run(wire, 0, 2 * S, sender(wire, 10 * MS, S))
    wire.is_dead = True
    wire.cut(2 * S)
    run(wire, 2 * S, 5 * S, sender(wire, 10 * MS))
    wire.is_dead = False
    run(wire, 5 * S, 6 * S)
    gaps = [e for e in wire.ends[1].events if isinstance(e, GapDeclared)]
    n_lost = sum(e.last_seq - e.first_seq + 1 for e in gaps)
    assert n_lost > 150
    assert len(received(wire.ends[1])) + n_lost == 400
    assert wire.ends[0].link.counts.n_events_lost == n_lost
    assert wire.ends[1].link.counts.n_frames_lost == n_lost


def test_memory_of_an_absent_peer_is_bounded() -> None:
    wire = pair(settings=LinkSettings(ring_bytes=20_000))
    wire.is_dead = True
    for now_ns in range(0, 20 * S, 10 * MS):
        wire.ends[0].link.outbound.queue_spikes(batch([(now_ns, 1)], now_ns), now_ns)
    assert wire.ends[0].link.counts.n_unacknowledged <= 20_000 // 32


@pytest.mark.parametrize("delay_ms", [0, 80, 300])
def test_age_bound_is_never_below_the_true_age(delay_ms: int) -> None:
    wire = pair(jittered(delay_ms, delay_ms * MS, min(20, delay_ms) * MS))

    def at(now_ns: int) -> None:
        if now_ns > S and now_ns % (30 * MS) == 0:
            wire.ends[0].link.outbound.queue_spikes(batch([(now_ns, 1)], now_ns), now_ns)

    run(wire, 0, 4 * S, at)
    arrived = [e for e in wire.ends[1].events if isinstance(e, SpikesReceived)]
    bounds = [(e.age_bound_ns, e.received_ns - e.batch.records["time_ns"][0]) for e in arrived]
    assert len(bounds) > 50
    assert all(bound is not None and bound >= true for bound, true in bounds)
    # The bound overstates by the way back and a heartbeat interval, with ticks of 20 ms.
    worst = max(bound - true for bound, true in bounds)
    assert worst <= (delay_ms + 20 + 50 + 21) * MS


def test_waiting_inside_the_engine_counts_by_the_echo_or_in_the_record() -> None:
    wire = pair()
    run(wire, 0, S)
    link = wire.ends[0].link
    heard_ns = link._freshness.peer_nonce_received_ns
    before, after = batch([(S, 1)], heard_ns - 30 * MS), batch([(S, 1)], heard_ns)
    for made in (before, after):
        link.outbound.queue_spikes(made, S)
    run(wire, S, S + 10 * MS)
    first, second = [e for e in wire.ends[1].events if isinstance(e, SpikesReceived)]
    assert int(first.batch.records["age_bound_us"][0]) == (S - heard_ns + 30 * MS) // 1000
    assert int(second.batch.records["age_bound_us"][0]) == 0, "made after the nonce had come"
    assert second.age_bound_ns >= S - heard_ns, "so the echo covers what it waited"
    assert int(before.records["age_bound_us"][0]) == 0, "the sender's own record is not touched"


@pytest.mark.parametrize("seed", range(4))
def test_offset_estimate_is_right_within_its_uncertainty(seed: int) -> None:
    true_ns = 3 * S + 123_456
    wire = pair(jittered(seed), b_offset_ns=true_ns)
    run(wire, 0, 5 * S)
    told = [e for e in wire.ends[0].events if isinstance(e, OffsetKnown)]
    assert told
    assert all(abs(e.offset_ns - true_ns) <= e.uncertainty_ns for e in told)
    assert told[-1].uncertainty_ns < 90 * MS


def test_one_clock_needs_no_estimate() -> None:
    wire = pair(jittered(1))
    run(wire, 0, S)
    first = next(e for e in wire.ends[0].events if isinstance(e, OffsetKnown))
    assert (first.offset_ns, first.uncertainty_ns) == (0, 0)


def test_stop_reaches_the_peer_once_with_the_next_frame() -> None:
    wire = pair()
    run(wire, 0, S)
    wire.ends[0].link.set_gate(3, 1)
    run(wire, S, 2 * S)
    gates = [e for e in wire.ends[1].events if isinstance(e, PeerGate)]
    assert [e.is_new_stop for e in gates].count(True) == 1
    wire.cut(2 * S)
    run(wire, 2 * S, 3 * S)
    gates = [e for e in wire.ends[1].events if isinstance(e, PeerGate)]
    assert [e.is_new_stop for e in gates].count(True) == 1, "not again after a reconnect"


@pytest.mark.parametrize(("arm_state", "is_new"), [(3, True), (1, False)])
def test_a_stop_from_before_the_link_counts_only_while_it_stands(
    arm_state: int, is_new: bool
) -> None:
    wire = pair()
    wire.ends[0].link.set_gate(arm_state, 77)
    run(wire, 0, S)
    gates = [e for e in wire.ends[1].events if isinstance(e, PeerGate)]
    assert [e.is_new_stop for e in gates] == [is_new]
    wire.ends[0].link.set_gate(3, 78)
    run(wire, S, 2 * S)
    gates = [e for e in wire.ends[1].events if isinstance(e, PeerGate)]
    assert gates[-1].is_new_stop, "the next one counts in any case"


def test_wrong_site_and_reflection_are_refused() -> None:
    wire = pair()
    stranger = End(Link(local("c", 5), "a", lambda: 5, {}))
    wire.ends = (wire.ends[0], stranger)
    run(wire, 0, 100 * MS)
    assert "HELLO says 'c'" in wire.ends[0].errors[0]
    mirror = pair()
    mirror.ends = (mirror.ends[0], End(Link(local("b", 1), "a", lambda: 6, {})))
    run(mirror, 0, 100 * MS)
    assert "reflection" in mirror.ends[0].errors[0]


def test_other_experiment_is_told_and_the_link_is_up() -> None:
    wire = pair()
    other = replace(local("b", 2, (2,)), experiment_hash="another")
    wire.ends = (wire.ends[0], End(Link(other, "a", lambda: 3, {})))
    run(wire, 0, S)
    known = next(e for e in wire.ends[0].events if isinstance(e, PeerKnown))
    assert known.hello.experiment_hash == "another"
    assert wire.ends[0].link.state is LinkState.UP


@pytest.mark.parametrize(
    "frame",
    [
        Frame(FrameType.SPIKES, b"", seq=1),
        Frame(FrameType.SPIKES, bytes(16), seq=0),
        Frame(FrameType.PSPS, bytes(15), seq=1),
        Frame(FrameType.HB, b"short"),
        Frame(FrameType.ACK, b"\xff" * 8),
        Frame(FrameType.GAP, bytes(3)),
        Frame(FrameType.HELLO, b"{}"),
        Frame(FrameType.COMMAND, b"{}"),
    ],
)
def test_bad_frame_closes_the_connection_by_name(frame: Frame) -> None:
    wire = pair()
    run(wire, 0, S)
    with pytest.raises(FrameError):
        wire.ends[0].link.on_frame(frame, S)
    with pytest.raises(FrameError):
        pair().ends[0].link.on_frame(frame, 0)  # also before HELLO


def test_garbage_breaks_the_connection_and_the_next_one_delivers() -> None:
    wire = pair()
    run(wire, 0, S, sender(wire))
    wire.ends[1].arriving.append((0, b"GET / HTTP/1.1\r\n\r\n" + bytes(40)))
    run(wire, S, 3 * S, sender(wire, until_ns=2 * S))
    assert wire.ends[1].errors
    assert received(wire.ends[1]) == list(range(0, 2 * S, 10 * MS))


def test_batches_beyond_a_frame_are_cut_and_arrive_whole() -> None:
    wire = pair()
    run(wire, 0, S)
    events = [(S + k, 1) for k in range(3000)]
    wire.ends[0].link.outbound.queue_spikes(batch(events, S), S)
    run(wire, S, S + 100 * MS)
    assert received(wire.ends[1]) == [t for t, _ in events]
    assert len(spikes(events)) == 3000
    assert encode_frame(Frame(FrameType.ACK, bytes(8)))
