"""Damaged frames: nothing but a refusal, and bounded memory. Some kinds of damage by name.

SPIKEBRIDGE_MUTATIONS=10000000 runs more than the 200,000 of every run (a few minutes).
"""

import os
import random
import struct

import msgspec
import pytest
from link_world import MS, S, batch, pair, run
from wire_frames import vectors

from app.bridge import bodies
from app.bridge.events import GapDeclared, LinkState, SpikesReceived
from app.core.frames import (
    HEADER,
    MAX_BODY_BYTES,
    Frame,
    FrameDecoder,
    FrameError,
    FrameType,
    encode_frame,
)

N_MUTATIONS = int(os.environ.get("SPIKEBRIDGE_MUTATIONS", "200000"))
SEED = int(os.environ.get("SPIKEBRIDGE_SEED", "1"))
DECODERS = {
    FrameType.HELLO: bodies.decode_hello,
    FrameType.SPIKES: bodies.decode_spikes,
    FrameType.PSPS: bodies.decode_psps,
    FrameType.ACK: bodies.decode_ack,
    FrameType.HB: bodies.decode_heartbeat,
    FrameType.GAP: bodies.decode_gap,
}
EDGES = (0, 1, 0x7F, 0x80, 0xFF)


def damaged(rng: random.Random, frames: list[bytes]) -> bytes:
    """One frame, or two, with a piece overwritten, lost, doubled or exchanged."""
    data = bytearray(rng.choice(frames))
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at = rng.randrange(len(data)) if data else 0
        match rng.randrange(6):
            case 0:
                data[at : at + 1] = bytes((rng.choice(EDGES),))
            case 1:
                data[at : at + 1] = bytes((rng.getrandbits(8),))
            case 2:
                del data[at : at + rng.choice((1, 2, 8, 32))]
            case 3:
                data[at:at] = data[at : at + rng.choice((1, 4, 40))]
            case 4:
                data += rng.choice(frames)
            case _:
                data[8:12] = struct.pack("<I", rng.choice((0, 1, 65_536, 65_537, 2**32 - 1)))
    return bytes(data)


def test_damaged_frames_are_frames_or_refused_and_nothing_piles_up() -> None:
    rng = random.Random(SEED)
    frames = list(vectors().values())
    n_refused = n_taken = 0
    for number in range(N_MUTATIONS):
        decoder = FrameDecoder()
        data = damaged(rng, frames)
        try:
            for frame in decoder.feed(data):
                if frame.type in DECODERS:
                    DECODERS[frame.type](frame.body)
                n_taken += 1
        except FrameError:
            n_refused += 1
        except Exception as exc:  # noqa: BLE001 - whether there is one is the question
            pytest.fail(f"seed {SEED}, mutation {number}: {exc!r} from {data.hex()}")
        assert len(decoder._buffer) <= HEADER.size + MAX_BODY_BYTES
    assert n_refused > 0.3 * N_MUTATIONS
    assert n_taken > 0.1 * N_MUTATIONS


def test_an_endless_frame_is_refused_before_it_is_awaited() -> None:
    decoder = FrameDecoder()
    header = HEADER.pack(0x4B425053, 1, FrameType.SPIKES, 0, MAX_BODY_BYTES, 1, 0)
    decoder.feed(header)
    for _ in range(MAX_BODY_BYTES // 1000):
        decoder.feed(bytes(1000))
    assert len(decoder._buffer) < HEADER.size + MAX_BODY_BYTES
    with pytest.raises(FrameError, match="magic"):
        decoder.feed(bytes(1000))  # the frame is whole; what follows is none


# --- damage by name, at a link that is up ---------------------------------------------------------


def spike_frame(seq: int) -> Frame:
    body = bodies.encode_spikes(0, batch([(seq, 1)], seq).records, seq)
    return Frame(FrameType.SPIKES, body, seq=seq)


def up():
    wire = pair()
    run(wire, 0, 200 * MS)
    end = wire.ends[1]
    assert end.link.state is LinkState.UP
    return end.link


def seqs(events) -> list[int]:
    return [e.seq for e in events if isinstance(e, SpikesReceived)]


def test_a_repeated_frame_is_taken_once() -> None:
    link = up()
    assert seqs(link.on_frame(spike_frame(1), S)) == [1]
    assert link.on_frame(spike_frame(1), S) == []
    assert link.counts.n_duplicates == 1


def test_a_reordered_frame_is_declared_missing_and_not_taken_late() -> None:
    link = up()
    link.on_frame(spike_frame(1), S)
    gap, spikes = link.on_frame(spike_frame(3), S)
    assert (gap.first_seq, gap.last_seq) == (2, 2)
    assert spikes.seq == 3
    assert link.on_frame(spike_frame(2), S) == []


def test_a_truncated_body_is_declared_missing_and_ends_the_connection() -> None:
    link = up()
    link.on_frame(spike_frame(1), S)
    short = Frame(FrameType.SPIKES, spike_frame(2).body[:-1], seq=2)
    with pytest.raises(FrameError, match="do not fit"):
        link.on_frame(short, S)
    gap, down = link.on_disconnected("bad frame", S)
    assert isinstance(gap, GapDeclared)
    assert (gap.first_seq, gap.last_seq) == (2, 2)
    assert down.state is LinkState.DOWN


def test_an_oversized_frame_is_refused() -> None:
    header = HEADER.pack(0x4B425053, 1, FrameType.SPIKES, 0, MAX_BODY_BYTES + 1, 1, 0)
    with pytest.raises(FrameError, match="body of 65537 bytes"):
        FrameDecoder().feed(header)


def test_a_frame_of_a_future_version_is_refused() -> None:
    data = bytearray(encode_frame(spike_frame(1)))
    data[4] = 2
    with pytest.raises(FrameError, match="frame version 2, this program speaks 1"):
        FrameDecoder().feed(bytes(data))


def test_a_peer_of_a_future_version_is_refused_by_name() -> None:
    wire = pair()
    hello = bodies.decode_hello(FrameDecoder().feed(vectors()["HELLO"])[0].body)
    future = msgspec.structs.replace(hello, site="b", min_version=2, max_version=9)
    wire.ends[0].link.on_connected(0)
    with pytest.raises(FrameError, match="versions 2 to 9, we 1"):
        wire.ends[0].link.on_frame(Frame(FrameType.HELLO, bodies.encode_hello(future)), 0)


@pytest.mark.parametrize("seq", [0, 2**48, 2**63, 2**64 - 1])
def test_numbers_that_cannot_be_are_refused(seq: int) -> None:
    link = up()
    with pytest.raises(FrameError, match=f"number {seq}"):
        link.on_frame(Frame(FrameType.SPIKES, spike_frame(1).body, seq=seq), S)


def test_an_acknowledgement_of_what_was_never_sent_is_refused() -> None:
    with pytest.raises(FrameError, match="ACK of 5"):
        up().on_frame(Frame(FrameType.ACK, bodies.encode_ack(5)), S)


@pytest.mark.parametrize("echo", [0, 2**63, 2**64 - 1])
def test_an_echo_that_was_never_issued_gives_no_age(echo: int) -> None:
    body = spike_frame(1).body
    (event,) = up().on_frame(Frame(FrameType.SPIKES, body, seq=1, echo=echo), S)
    assert event.age_bound_ns is None
