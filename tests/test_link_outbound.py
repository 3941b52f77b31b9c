"""The outbox of one link: what waits together leaves together, in order, and only when it may."""

import itertools

import numpy as np
from link_world import MS, S

from app.bridge import bodies
from app.bridge.freshness import Freshness
from app.bridge.outbound import Outbound
from app.bridge.settings import LinkSettings
from app.core.frames import Frame, FrameDecoder, FrameFlag, FrameType, encode_frame
from app.core.spikes import SPIKE_RECORD, SpikeBatch

RECORD_BYTES = 16_384


def outbox() -> Outbound:
    return Outbound(Freshness(itertools.count(1).__next__, 100), LinkSettings())


def queue(some: Outbound, n_spikes: int, now_ns: int = S) -> None:
    records = np.zeros(n_spikes, SPIKE_RECORD)
    some.queue_spikes(SpikeBatch(0, records, now_ns, now_ns), now_ns)


def frames(chunk: bytes) -> list[Frame]:
    return FrameDecoder().feed(chunk)


def test_what_waits_together_leaves_in_one_chunk_in_order() -> None:
    some = outbox()
    some.is_open = True
    for n in (1, 2, 3):
        queue(some, n)
    chunk = some.next_chunk(S, RECORD_BYTES)
    assert [(f.seq, len(f.body)) for f in frames(chunk)] == [
        (k, bodies.BATCH.size + k * SPIKE_RECORD.itemsize) for k in (1, 2, 3)
    ]
    assert not some.has_next()
    assert some.next_chunk(S, RECORD_BYTES) == b""


def test_a_chunk_ends_with_the_frame_that_fills_it() -> None:
    some = outbox()
    some.is_open = True
    for _ in range(5):
        queue(some, 300)  # 9,644 bytes each
    chunks = list(iter(lambda: some.next_chunk(S, RECORD_BYTES), b""))
    assert [[f.seq for f in frames(chunk)] for chunk in chunks] == [[1, 2], [3, 4], [5]]


def test_before_the_link_is_up_only_what_has_no_number_leaves() -> None:
    some = outbox()
    queue(some, 1)
    some.begin(encode_frame(Frame(FrameType.HELLO, b"{}")))
    some.say(encode_frame(Frame(FrameType.HELLO_OK)))
    leaving = frames(some.next_chunk(S, RECORD_BYTES))
    assert [f.type for f in leaving] == [FrameType.HELLO, FrameType.HELLO_OK]
    assert not some.has_next()
    some.is_open = True
    some.say(encode_frame(Frame(FrameType.HB, bytes(32))))
    leaving = frames(some.next_chunk(S, RECORD_BYTES))
    assert [f.type for f in leaving] == [FrameType.HB, FrameType.SPIKES]


def test_a_new_connection_begins_with_hello_and_closed_and_repeats_what_is_not_acknowledged() -> (
    None
):
    some = outbox()
    some.is_open = True
    for _ in range(3):
        queue(some, 1)
    some.next_chunk(S, RECORD_BYTES)
    some.acknowledged(1)
    some.say(encode_frame(Frame(FrameType.HB, bytes(32))))
    some.end()
    some.begin(encode_frame(Frame(FrameType.HELLO, b"{}")))
    assert [f.type for f in frames(some.next_chunk(S, RECORD_BYTES))] == [FrameType.HELLO]
    some.rewind(1)
    some.is_open = True
    queue(some, 1, S + MS)
    again = frames(some.next_chunk(S + MS, RECORD_BYTES))
    assert [(f.seq, f.flags) for f in again] == [
        (2, FrameFlag.RESEND),
        (3, FrameFlag.RESEND),
        (4, FrameFlag.NONE),
    ]


def test_a_batch_beyond_a_frame_goes_in_several() -> None:
    some = outbox()
    some.is_open = True
    queue(some, 2 * bodies.MAX_RECORDS + 1)
    sent = b"".join(iter(lambda: some.next_chunk(S, RECORD_BYTES), b""))
    assert [bodies.decode_spikes(f.body)[1].size for f in frames(sent)] == [1024, 1024, 1]
    assert some.ring.n_events == 2049
