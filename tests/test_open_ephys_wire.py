"""Messages of the Open Ephys GUI against literal bytes, for driver and mock alike.

The FlatBuffers messages were made by Google's own encoder (flatbuffers 25.12 for Python) from the
schema of the Falcon Output: samples, event_codes, stream, n_channels, n_samples, sample_num,
timestamp, message_id, sample_rate. A field that has its default, 0, is not in the bytes.
"""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InstrumentProtocolError
from drivers.mea.open_ephys import wire
from mocks import open_ephys_wire

MESSAGE = bytes.fromhex(
    "1c000000000016003800040008000c00100014001c0024002c001800160000005400000044000000"
    "2c0000000200000003000000204e00009b9c00000000000000000000000004400700000000000000"
    "000000000c0000006578616d706c655f646174610000000003000000000000000100000006000000"
    "14ae473e14aec7be713d22410000000014aec7c585acc745"
)
FIRST_MESSAGE = bytes.fromhex(
    "1c000000000016001c00040008000c0010001400000000000000180016000000280000001c000000"
    "100000000200000001000000204e000001000000730000000100000000000000020000000000803f"
    "00000040"
)
MOCK_MESSAGE = bytes.fromhex(  # laid out otherwise; Google's decoder reads the same values in it
    "1c00000016003400040008000c00100014001c0024002c001800000018000000500000002c000000"
    "340000000200000003000000204e00009b9c00000000000000000000000004400700000000000000"
    "0300000000000000000000000c0000006578616d706c655f64617461000000000600000014ae473e"
    "14aec7be713d22410000000014aec7c585acc745"
)
SPIKE = (
    b'{"event_type":"spike","stream":"example_data","source_node":102,"electrode":"Electrode 3",'
    b'"num_channels":2,"sample_rate":40000,"sample_number":40123,"sorted_id":0,'
    b'"amp1":61.5,"amp2":48.25}'
)
TTL = (
    b'{"event_type":"ttl","stream":"example_data","source_node":100,"sample_rate":40000,'
    b'"channel_name":"TTL","sample_number":40130,"line":1,"state":true}'
)


def test_a_message_is_read_as_it_was_encoded() -> None:
    data = wire.decode_continuous(MESSAGE)
    assert data.stream == "example_data"
    assert (data.sample_number, data.message_id, data.sample_rate_hz) == (40091, 7, 20_000)
    assert data.samples.shape == (2, 3)
    assert data.samples[0].tolist() == np.float32([0.195, -0.39, 10.14]).tolist()
    assert data.samples[1].tolist() == np.float32([0.0, -6389.76, 6389.565]).tolist()


def test_fields_that_are_absent_are_zero() -> None:
    data = wire.decode_continuous(FIRST_MESSAGE)
    assert (data.sample_number, data.message_id) == (0, 0)
    assert data.samples.tolist() == [[1.0], [2.0]]


def test_microvolts_become_counts_by_row() -> None:
    counts = wire.to_counts(wire.decode_continuous(MESSAGE).samples, 0.195)
    assert counts.tolist() == [[1, 0], [-2, -32768], [52, 32767]]
    assert counts.flags.c_contiguous


def test_what_is_no_sample_ends_at_the_rails() -> None:
    samples = np.float32([[np.nan, np.inf, -np.inf, 1e9, -1e9, 0.3]])
    found = wire.to_counts(samples, 0.195).ravel().tolist()
    assert found == [32767, 32767, -32768, 32767, -32768, 2]


@given(counts=st.lists(st.integers(-32768, 32767), min_size=1, max_size=40))
def test_the_steps_of_the_amplifier_survive_the_way_over_microvolts(counts: list[int]) -> None:
    microvolts = (np.array([counts], np.float32) * np.float32(0.195)).astype(np.float32)
    assert wire.to_counts(microvolts, 0.195).ravel().tolist() == counts


def test_a_spike_and_a_ttl_event_are_told_apart() -> None:
    spike = wire.decode_event([b"\x01\x00", SPIKE])
    assert spike == wire.GuiSpike("example_data", "Electrode 3", 40123, (61.5, 48.25))
    assert wire.decode_event([b"\x00\x00", TTL]) is None


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"\x01\x00"],
        [b"\x01", SPIKE],
        [b"\x02\x00", SPIKE],
        [b"spike", SPIKE],
        [b"\x01\x00", SPIKE[:-9]],
        [b"\x01\x00", b"[]"],
        [b"\x01\x00", SPIKE.replace(b"40123", b'"x"')],
        [b"\x01\x00", SPIKE.replace(b"61.5", b"NaN")],
        [b"\x01\x00", SPIKE.replace(b"amp2", b"amp3")],
        [b"\x01\x00", SPIKE, b"more"],
    ],
)
def test_events_that_are_none_are_named(frames: list[bytes]) -> None:
    with pytest.raises(InstrumentProtocolError, match="Event Broadcaster"):
        wire.decode_event(frames)


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b'{"mode": 1}', b'{"mode": "RUN"}', b"\xff"])
def test_answers_without_a_mode_are_named(body: bytes) -> None:
    with pytest.raises(InstrumentProtocolError, match="HTTP server"):
        wire.decode_mode(body)
    assert wire.decode_mode(b'{"mode":"RECORD"}') == "RECORD"
    assert wire.mode_request("ACQUIRE") == b'{"mode": "ACQUIRE"}'


def test_counts_that_contradict_each_other_are_named() -> None:
    at = MESSAGE.index(struct.pack("<II", 2, 3))
    spoilt = MESSAGE[:at] + struct.pack("<II", 3, 3) + MESSAGE[at + 8 :]
    with pytest.raises(InstrumentProtocolError, match="6 samples for 3 channels of 3"):
        wire.decode_continuous(spoilt)


def test_every_message_that_was_cut_off_is_named() -> None:
    for n_bytes in range(len(MESSAGE)):
        with pytest.raises(InstrumentProtocolError):
            wire.decode_continuous(MESSAGE[:n_bytes])


@given(data=st.data())
def test_spoilt_bytes_raise_nothing_but_the_named_error(data: st.DataObject) -> None:
    spoilt = bytearray(MESSAGE)
    for _ in range(data.draw(st.integers(1, 4))):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = wire.decode_continuous(bytes(spoilt))
    except InstrumentProtocolError:
        return
    assert found.samples.size * 4 <= len(MESSAGE)


@given(st.binary(max_size=200))
def test_any_bytes_raise_nothing_but_the_named_error(junk: bytes) -> None:
    try:
        wire.decode_continuous(junk)
    except InstrumentProtocolError:
        return


def test_the_mock_says_the_same_in_its_own_bytes() -> None:
    told = wire.decode_continuous(MESSAGE)
    made = open_ephys_wire.continuous_data(told.samples, told.stream, 40091, 7, 20_000, 2.5)
    assert made == MOCK_MESSAGE
    again = wire.decode_continuous(made)
    assert np.array_equal(again.samples, told.samples)
    assert (again.stream, again.sample_number, again.message_id) == ("example_data", 40091, 7)
    frames = open_ephys_wire.spike_event("s", "Electrode 1", 99, 20_000, 50.0)
    assert frames[0] == b"\x01\x00"
    assert wire.decode_event(frames) == wire.GuiSpike("s", "Electrode 1", 99, (50.0,))
    assert wire.decode_event(open_ephys_wire.ttl_event("s", 1, True, 99)) is None
