"""Bodies of the frames between sites: literal bytes, round trips, and any garbage."""

import contextlib
import math
import struct

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bridge import bodies
from app.bridge.bodies import Heartbeat, Hello, StreamInfo
from app.core.frames import FrameError
from app.core.spikes import FEW_RECORDS, PSP_RECORD, SPIKE_RECORD, Provenance

SPIKES_HEX = (
    "0100 0200 00000000 002f685900000000"  # stream 1, 2 records, complete until 1.5 s
    # 1 s, sample 30000, neuron 63, -42.5 uV, bound 2500 us, spontaneous
    "00ca9a3b00000000 3075000000000000 3f000000 00002ac2 c4090000 02 00 0000"
    # -2 ns, no sample, neuron 0x10203, no amplitude, longest bound, stimulated
    "feffffffffffffff ffffffffffffffff 03020100 0000c07f ffffffff 01 00 0000"
)
PSPS_HEX = (
    "0000 0100 00000000 002f685900000000"  # stream 0, 1 record, made at 1.5 s
    # pre spike at 1 s: the 4th of frame 0x10203; synapse 7 -> neuron 256 with 0.625,
    # bound 300 ms, site 2, spontaneous, of a mock
    "00ca9a3b00000000 0400030201000000 07000000 00010000 0000203f e0930400 0200 02 01 00000000"
)
HEARTBEAT_HEX = (
    "efcdab8967452301 00ca9a3b00000000 ffffffffffffffff 02 000000 05000000"  # armed, 5th stop
)


def spike_body(n: int = 1, **fields: float) -> bytes:
    records = np.zeros(n, SPIKE_RECORD)
    for name, value in fields.items():
        records[name] = value
    return bodies.encode_spikes(3, records, 1000)


def psp_body(n: int = 1, **fields: float) -> bytes:
    records = np.zeros(n, PSP_RECORD)
    for name, value in fields.items():
        records[name] = value
    return bodies.encode_psps(0, records, 1000)


def hello(**changes: object) -> Hello:
    fields: dict[str, object] = {
        "min_version": 1,
        "max_version": 1,
        "site": "padova",
        "session": "0123456789abcdef" * 2,
        "experiment_hash": "ab" * 32,
        "clock": "boot 4026531834",
        "streams": (
            StreamInfo(stream=0, name="chip1", provenance=Provenance.MOCK, neurons=(63, 1)),
        ),
        "last_seqs": {"f" * 32: 17},
    }
    return Hello(**(fields | changes))


def test_golden_spikes() -> None:
    body = bytes.fromhex(SPIKES_HEX)
    stream, records, complete_ns = bodies.decode_spikes(body)
    assert (stream, complete_ns) == (1, 1_500_000_000)
    assert records[0].item() == (1_000_000_000, 30_000, 63, -42.5, 2500, 2, 0, 0)
    assert records[1]["time_ns"] == -2
    assert records[1]["sample_index"] == -1
    assert records[1]["neuron"] == 0x10203
    assert math.isnan(records[1]["amplitude_uv"])
    assert records[1]["age_bound_us"] == 2**32 - 1
    assert records[1]["kind"] == 1
    assert bodies.encode_spikes(1, records, complete_ns) == body
    assert len(body) == 16 + 2 * 32


def test_golden_psps() -> None:
    body = bytes.fromhex(PSPS_HEX)
    stream, records, made_ns = bodies.decode_psps(body)
    assert (stream, made_ns) == (0, 1_500_000_000)
    assert records[0].item() == (
        1_000_000_000, (0x10203 << 16) | 4, 7, 256, 0.625, 300_000, 2, 2, 1, 0,
    )  # fmt: skip
    assert bodies.encode_psps(0, records, made_ns) == body
    assert len(body) == 16 + 40


def test_golden_heartbeat_ack_and_gap() -> None:
    beat = Heartbeat(0x0123456789ABCDEF, 1_000_000_000, -1, 2, 5)
    assert bodies.encode_heartbeat(beat) == bytes.fromhex(HEARTBEAT_HEX)
    assert bodies.decode_heartbeat(bytes.fromhex(HEARTBEAT_HEX)) == beat
    assert bodies.encode_ack(258) == bytes.fromhex("0201000000000000")
    assert bodies.decode_ack(bytes.fromhex("0201000000000000")) == 258
    assert bodies.encode_gap(1, 515) == bytes.fromhex("0100000000000000 0302000000000000")
    assert bodies.decode_gap(bytes.fromhex("0100000000000000 0302000000000000")) == (1, 515)


def test_hello_is_readable_json_and_comes_back() -> None:
    body = bodies.encode_hello(hello())
    assert msgspec.json.decode(body)["streams"] == [
        {"stream": 0, "name": "chip1", "provenance": "mock", "neurons": [63, 1]}
    ]
    assert bodies.decode_hello(body) == hello()


def test_empty_batch_is_sixteen_bytes_that_say_how_far_it_is_complete() -> None:
    body = bodies.encode_spikes(2, np.empty(0, SPIKE_RECORD), 7)
    assert body == bytes.fromhex("0200 0000 00000000 0700000000000000")
    stream, records, complete_ns = bodies.decode_spikes(body)
    assert (stream, len(records), complete_ns) == (2, 0, 7)


def test_largest_batch_fits_a_frame_and_one_more_record_is_refused() -> None:
    for body in (spike_body(1024), psp_body(1024)):
        assert len(body) < 65_536
    for too_many in (spike_body, psp_body):
        with pytest.raises(ValueError, match="1025 records in a frame, at most 1024"):
            too_many(1025)


def test_received_records_cannot_be_changed() -> None:
    _, records, _ = bodies.decode_spikes(spike_body())
    with pytest.raises(ValueError, match="read-only"):
        records["neuron"] = 4


@given(st.binary(min_size=32, max_size=320).filter(lambda b: len(b) % 32 == 0))
def test_what_is_accepted_comes_back_bit_for_bit(raw: bytes) -> None:
    body = struct.pack("<HHIq", 1, len(raw) // 32, 0, 5) + raw
    try:
        stream, records, complete_ns = bodies.decode_spikes(body)
    except FrameError:
        return
    assert bodies.encode_spikes(stream, records, complete_ns) == body


@pytest.mark.parametrize("count", [1025, 40_000, 65_535])
@pytest.mark.parametrize("decode", [bodies.decode_spikes, bodies.decode_psps])
def test_absurd_count_is_refused_by_name(decode, count: int) -> None:
    with pytest.raises(FrameError, match=f"{count} records, at most 1024"):
        decode(struct.pack("<HHIq", 0, count, 0, 0) + bytes(64))


@pytest.mark.parametrize("kept", range(96))
def test_every_shorter_body_is_refused(kept: int) -> None:
    with pytest.raises(FrameError, match=r"SPIKES: .* bytes"):
        bodies.decode_spikes(spike_body(3)[:-1][:kept])
    with pytest.raises(FrameError, match=r"PSPS: .* bytes"):
        bodies.decode_psps(psp_body(2)[:-1][:kept])


def test_longer_body_is_refused() -> None:
    with pytest.raises(FrameError, match="do not fit"):
        bodies.decode_spikes(spike_body(2) + b"\0")


@pytest.mark.parametrize("weight", [math.nan, math.inf, -math.inf, -1e-6, 1.000001, 300.0])
def test_weight_that_is_none_is_refused(weight: float) -> None:
    with pytest.raises(FrameError, match="weight outside 0 to 1"):
        bodies.decode_psps(psp_body(5, weight=weight))


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_the_ends_of_the_weights_are_weights(weight: float) -> None:
    _, records, _ = bodies.decode_psps(psp_body(weight=weight))
    assert records["weight"][0] == weight


@pytest.mark.parametrize(
    ("body", "decode", "words"),
    [
        (spike_body(kind=3), bodies.decode_spikes, "SPIKES: unknown kind"),
        (spike_body(kind=255), bodies.decode_spikes, "SPIKES: unknown kind"),
        (psp_body(kind=3), bodies.decode_psps, "PSPS: unknown kind"),
        (psp_body(flags=3), bodies.decode_psps, "unknown provenance"),
        (psp_body(flags=0xFF), bodies.decode_psps, "unknown provenance"),
        (spike_body(amplitude_uv=math.inf), bodies.decode_spikes, "infinite amplitude"),
        (spike_body(amplitude_uv=-math.inf), bodies.decode_spikes, "infinite amplitude"),
        (spike_body(time_ns=-(2**63)), bodies.decode_spikes, "SPIKES: a time beyond"),
        (spike_body(time_ns=2**63 - 1), bodies.decode_spikes, "SPIKES: a time beyond"),
        (psp_body(pre_time_ns=2**63 - 1), bodies.decode_psps, "PSPS: a time beyond"),
        (struct.pack("<HHIq", 0, 0, 0, 2**63 - 1), bodies.decode_spikes, "complete until"),
        (struct.pack("<HHIq", 0, 0, 0, -(2**63)), bodies.decode_psps, "complete until"),
        (struct.pack("<QqqBxxxI", 1, 2**63 - 1, 0, 0, 0), bodies.decode_heartbeat, "HB: time"),
        (struct.pack("<QqqBxxxI", 1, 0, -(2**63), 0, 0), bodies.decode_heartbeat, "HB: time"),
        (struct.pack("<QqqBxxxI", 1, 0, 0, 4, 0), bodies.decode_heartbeat, "HB: arm state 4"),
        (struct.pack("<QqqBxxxI", 0, 0, 0, 1, 0), bodies.decode_heartbeat, "HB: nonce 0"),
        (struct.pack("<QQ", 0, 3), bodies.decode_gap, "GAP from 0 to 3"),
        (struct.pack("<QQ", 4, 3), bodies.decode_gap, "GAP from 4 to 3"),
        (struct.pack("<QQ", 1, 2**64 - 1), bodies.decode_gap, "GAP from 1"),
        (bytes(7), bodies.decode_ack, "ACK: 7 bytes, expected 8"),
        (bytes(31), bodies.decode_heartbeat, "HB: 31 bytes, expected 32"),
        (bytes(17), bodies.decode_gap, "GAP: 17 bytes, expected 16"),
    ],
)
def test_impossible_values_are_refused_by_name(body: bytes, decode, words: str) -> None:
    with pytest.raises(FrameError, match=words):
        decode(body)


GOOD = msgspec.json.encode(hello())
TWICE = msgspec.json.encode(hello().streams[0])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[" * 65_000,
        b'{"a":' * 10_000,
        GOOD[:-1],
        GOOD.replace(b"padova", b"\xff\xfe"),  # no UTF-8
        GOOD.replace(b"padova", b"\\ud800"),
        GOOD.replace(b'"site":"padova"', b'"site":null'),
        GOOD.replace(b'"site"', b'"place"'),
        GOOD.replace(b"0123456789abcdef", b"0123"),
        GOOD.replace(b"0123456789abcdef", b"0123456789abcdeg"),
        GOOD.replace(b'"streams":[', b'"streams":[' + TWICE + b","),
        GOOD.replace(b"mock", b"dream"),
        GOOD.replace(b":17}", b":-1}"),
        GOOD.replace(b":17}", b":281474976710656}"),
        GOOD.replace(b":17}", b":1e400}"),
        GOOD.replace(b"[63,1]", b"[-1]"),
        GOOD.replace(b"[63,1]", b"[4294967296]"),
        GOOD.replace(b'"stream":0', b'"stream":65536'),
        GOOD.replace(b'"max_version":1', b'"max_version":99999999999999999999999999'),
        GOOD.replace(b'"max_version":1', b'"max_version":1.5'),
    ],
)
def test_hello_that_is_none_is_refused(body: bytes) -> None:
    assert body != GOOD
    with pytest.raises(FrameError, match="HELLO"):
        bodies.decode_hello(body)


@given(
    st.sampled_from(
        [bodies.decode_hello, bodies.decode_heartbeat, bodies.decode_ack, bodies.decode_gap,
         bodies.decode_spikes, bodies.decode_psps]
    ),
    st.binary(max_size=200),
)  # fmt: skip
def test_any_bytes_are_a_body_or_a_frame_error(decode, body: bytes) -> None:
    with contextlib.suppress(FrameError):
        decode(body)


@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=3), st.integers(0, 3))
def test_damaged_hello_is_a_hello_or_a_frame_error(at: int, put: bytes, n_lost: int) -> None:
    with contextlib.suppress(FrameError):
        bodies.decode_hello(GOOD[:at] + put + GOOD[at + n_lost :])


@given(st.integers(0, 95), st.binary(min_size=1, max_size=8))
def test_damaged_psps_are_psps_or_a_frame_error(at: int, put: bytes) -> None:
    good = psp_body(2, weight=0.5)
    damaged = (good[:at] + put + good[at + len(put) :])[: len(good)]
    try:
        _, records, _ = bodies.decode_psps(damaged)
    except FrameError:
        return
    assert ((records["weight"] >= 0) & (records["weight"] <= 1)).all()


def judged(decode, body: bytes) -> str:
    try:
        decode(body)
    except FrameError as exc:
        return str(exc)
    return "sound"


EDGES = (0, 1, -1, 2**62, 2**62 + 1, -(2**62), -(2**62) - 1, 2**63 - 1, -(2**63))


@given(
    st.sampled_from(EDGES),
    st.floats(width=32),
    st.integers(0, 255),
    st.integers(0, 255),
)
def test_few_records_are_judged_as_many_are(
    time_ns: int, number: float, kind: int, flags: int
) -> None:
    def spikes(n: int) -> bytes:
        return spike_body(n, time_ns=time_ns, amplitude_uv=number, kind=kind, flags=flags)

    def psps(n: int) -> bytes:
        return psp_body(n, pre_time_ns=time_ns, weight=number, kind=kind, flags=flags)

    for make, decode in ((spikes, bodies.decode_spikes), (psps, bodies.decode_psps)):
        many = judged(decode, make(FEW_RECORDS + 1))
        assert [judged(decode, make(n)) for n in (1, FEW_RECORDS)] == [many, many]
