"""The resend ring alone: what waits, what is repeated, what falls off and how it is declared."""

import random

import pytest

from app.bridge import bodies
from app.bridge.ring import ResendRing
from app.core.frames import Frame, FrameDecoder, FrameFlag, FrameType

S = 1_000_000_000
LATE_NS = S // 2


def ring(max_age_ns: int = 60 * S, max_bytes: int = 10**6) -> ResendRing:
    return ResendRing(max_age_ns, max_bytes, LATE_NS)


def filled(n: int, now_ns: int = 0, **limits: int) -> ResendRing:
    made = ring(**limits)
    for k in range(1, n + 1):
        made.add(FrameType.SPIKES, bytes([k]) * 10, echo=100 + k, n_events=2, now_ns=now_ns)
    return made


def take(some: ResendRing, now_ns: int = 0) -> Frame:
    (frame,) = FrameDecoder().feed(some.next_bytes(now_ns))
    return frame


def take_all(some: ResendRing, now_ns: int = 0) -> list[Frame]:
    frames = []
    while some.has_next():
        frames.append(take(some, now_ns))
    return frames


def test_frames_leave_once_in_order_with_number_and_the_echo_of_when_they_were_made() -> None:
    some = filled(3)
    frames = take_all(some)
    assert [(f.seq, f.echo, f.body) for f in frames] == [
        (k, 100 + k, bytes([k]) * 10) for k in (1, 2, 3)
    ]
    assert all(f.flags is FrameFlag.NONE for f in frames)
    assert not some.has_next()
    assert some.n_unacknowledged == 3, "written is not acknowledged"
    assert some.last_seq == 3


def test_acknowledged_frames_are_forgotten_and_never_sent_again() -> None:
    some = filled(5)
    take_all(some)
    some.acknowledge(3)
    assert some.n_unacknowledged == 2
    some.acknowledge(2)  # an older ACK changes nothing
    assert some.n_unacknowledged == 2
    some.rewind(3)
    assert [f.seq for f in take_all(some)] == [4, 5]
    assert some.n_events_fallen == 0


def test_peer_that_lost_its_record_is_told_what_cannot_come_again() -> None:
    some = filled(5)
    take_all(some)
    some.acknowledge(3)
    some.rewind(0)
    gap, *rest = take_all(some)
    assert bodies.decode_gap(gap.body) == (1, 3)
    assert [f.seq for f in rest] == [4, 5]


def test_ack_of_a_number_never_given_is_refused() -> None:
    some = filled(2)
    with pytest.raises(ValueError, match="ACK of 3, the newest frame is 2"):
        some.acknowledge(3)
    assert some.n_unacknowledged == 2
    with pytest.raises(ValueError, match="ACK of 1"):
        ring().acknowledge(1)


def test_only_what_was_written_before_is_marked_after_a_reconnect() -> None:
    some = filled(4)
    take(some), take(some)
    some.rewind(1)
    again = take_all(some)
    assert [(f.seq, f.flags) for f in again] == [
        (2, FrameFlag.RESEND),
        (3, FrameFlag.NONE),
        (4, FrameFlag.NONE),
    ]
    assert [f.echo for f in again] == [102, 103, 104], "an old batch does not look fresh"
    assert some.n_resent == 1


@pytest.mark.parametrize(
    ("waited_ns", "flag"), [(LATE_NS, FrameFlag.NONE), (LATE_NS + 1, FrameFlag.RESEND)]
)
def test_what_waited_too_long_to_be_written_is_marked(waited_ns: int, flag: FrameFlag) -> None:
    assert take(filled(1, now_ns=7), 7 + waited_ns).flags is flag


def test_ack_while_writing_keeps_the_place() -> None:
    some = filled(6)
    take(some), take(some), take(some)
    some.acknowledge(2)
    assert [f.seq for f in take_all(some)] == [4, 5, 6]


def test_what_is_too_old_falls_off_and_is_declared_before_the_rest() -> None:
    some = filled(4, now_ns=0, max_age_ns=S)
    some.add(FrameType.PSPS, b"new", 0, 3, S)
    assert some.n_unacknowledged == 5, "exactly the allowed age stays"
    some.add(FrameType.PSPS, b"newer", 0, 3, S + 1)
    assert some.n_events_fallen == 8
    gap, *rest = take_all(some, S + 1)
    assert (gap.type, gap.seq, gap.flags) == (FrameType.GAP, 0, FrameFlag.NONE)
    assert bodies.decode_gap(gap.body) == (1, 4)
    assert [(f.seq, f.type) for f in rest] == [(5, FrameType.PSPS), (6, FrameType.PSPS)]


def test_what_is_too_much_falls_off_one_by_one() -> None:
    some = filled(10, max_bytes=35)
    assert some.n_unacknowledged == 3
    assert some.n_events_fallen == 14
    gap, *rest = take_all(some)
    assert bodies.decode_gap(gap.body) == (1, 7)
    assert [f.seq for f in rest] == [8, 9, 10]


def test_gap_grows_until_it_is_told_and_the_next_begins_after_it() -> None:
    some = filled(4, max_bytes=30)
    for k in range(5, 8):
        some.add(FrameType.SPIKES, bytes(10), 0, 1, k)
    assert bodies.decode_gap(take(some).body) == (1, 4)
    some.add(FrameType.SPIKES, bytes(10), 0, 1, 8)
    assert bodies.decode_gap(take(some).body) == (5, 5)
    assert [f.seq for f in take_all(some)] == [6, 7, 8]


def test_gap_that_the_peer_has_filled_from_before_is_not_told() -> None:
    some = filled(3, max_bytes=30)
    take_all(some)
    for _ in range(3):
        some.add(FrameType.SPIKES, bytes(10), 0, 1, 0)
    some.rewind(3)  # it had them all; only the ACK had not come
    assert [f.seq for f in take_all(some)] == [4, 5, 6]


def test_body_larger_than_the_ring_is_declared_and_nothing_breaks() -> None:
    some = ring(max_bytes=5)
    some.add(FrameType.SPIKES, bytes(10), 0, 4, 0)
    assert bodies.decode_gap(take(some).body) == (1, 1)
    assert not some.has_next()
    assert (some.n_unacknowledged, some.n_events_fallen) == (0, 4)


def test_peer_that_claims_more_than_was_sent_gets_what_comes_next() -> None:
    some = filled(2)
    some.rewind(99)
    assert not some.has_next()
    some.add(FrameType.SPIKES, b"x", 0, 1, 0)
    assert take(some).seq == 3


class Peer:
    """Takes frames as a receiver does: a jump is a gap, what is known is dropped."""

    def __init__(self) -> None:
        self.last = 0
        self.bodies: dict[int, bytes] = {}
        self.lost: set[int] = set()

    def take(self, frame: Frame) -> None:
        first, last = self.last + 1, frame.seq - 1
        if frame.type is FrameType.GAP:
            first, last = bodies.decode_gap(frame.body)
        self._lose(first, last)
        if frame.seq > self.last:
            self.last = frame.seq
            self.bodies[frame.seq] = frame.body

    def _lose(self, first: int, last: int) -> None:
        self.lost.update(range(max(first, self.last + 1), last + 1))
        self.last = max(self.last, last)


@pytest.mark.parametrize("seed", range(40))
def test_any_history_each_number_arrives_once_or_is_declared(seed: int) -> None:
    """Writes that vanish with a cut, ACKs at any moment, a ring of 300 bytes and 2 s."""
    rng = random.Random(seed)
    some, peer = ring(2 * S, 300), Peer()
    sent: dict[int, bytes] = {}
    written: set[int] = set()
    now_ns = 0
    for _ in range(600):
        now_ns += rng.randrange(S // 10)
        what = rng.random()
        if what < 0.45:
            body = rng.randbytes(rng.randrange(1, 40))
            some.add(FrameType.SPIKES, body, 0, 1, now_ns)
            sent[some.last_seq] = body
        elif what < 0.8 and some.has_next():
            frame = take(some, now_ns)
            if frame.seq:
                assert bool(frame.flags) >= (frame.seq in written), "a repetition says so"
                written.add(frame.seq)
            peer.take(frame)
        elif what < 0.9:
            some.acknowledge(rng.randrange(peer.last + 1) if peer.last else 0)
        else:
            for _ in range(rng.randrange(4)):  # written into a connection that is dead
                if some.has_next():
                    written.add(take(some, now_ns).seq)
            some.rewind(peer.last)
        assert sum(len(sent[s]) for s in range(some.last_seq - some.n_unacknowledged + 1,
                                               some.last_seq + 1)) <= 300  # fmt: skip
    some.rewind(peer.last)
    for frame in take_all(some, now_ns):
        peer.take(frame)
    assert peer.last == some.last_seq
    assert peer.lost.isdisjoint(peer.bodies)
    assert peer.lost | set(peer.bodies) == set(sent)
    assert all(sent[seq] == body for seq, body in peer.bodies.items())
    assert len(peer.bodies) > 50


def test_gap_that_was_lost_with_its_connection_is_declared_again() -> None:
    some = filled(6, max_bytes=30)
    assert bodies.decode_gap(take(some).body) == (1, 3)  # this one never arrives
    some.add(FrameType.SPIKES, bytes(10), 0, 1, 0)
    some.rewind(0)
    assert bodies.decode_gap(take(some).body) == (1, 4)
    assert [f.seq for f in take_all(some)] == [5, 6, 7]


def test_gap_is_declared_again_even_if_nothing_is_left_to_send() -> None:
    some = ring(max_bytes=5)
    some.add(FrameType.SPIKES, bytes(10), 0, 1, 0)
    take(some)
    some.rewind(0)
    assert bodies.decode_gap(take(some).body) == (1, 1)
