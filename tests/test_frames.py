"""The frame codec: golden bytes, any split, any damage."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.frames import (
    HEADER,
    MAX_BODY_BYTES,
    Frame,
    FrameDecoder,
    FrameError,
    FrameFlag,
    FrameType,
    encode_frame,
)

SPIKES = Frame(FrameType.SPIKES, b"abc", FrameFlag.RESEND, seq=0x0102, echo=0x0A0B0C)
SPIKES_HEX = (
    "53 50 42 4b 01 03 01 00 03 00 00 00 02 01 00 00 00 00 00 00 0c 0b 0a 00 00 00 00 00 61 62 63"
)

frames = st.builds(
    Frame,
    type=st.sampled_from(FrameType),
    body=st.binary(max_size=300),
    flags=st.sampled_from([FrameFlag.NONE, FrameFlag.RESEND]),
    seq=st.integers(0, 2**64 - 1),
    echo=st.integers(0, 2**64 - 1),
)


def test_golden_bytes() -> None:
    assert encode_frame(SPIKES) == bytes.fromhex(SPIKES_HEX)
    assert FrameDecoder().feed(bytes.fromhex(SPIKES_HEX)) == [SPIKES]
    assert HEADER.size == 28


@given(st.lists(frames, max_size=5), st.lists(st.integers(1, 60), max_size=80))
def test_any_split_gives_the_same_frames(sent: list[Frame], cuts: list[int]) -> None:
    data = b"".join(map(encode_frame, sent))
    decoder, got = FrameDecoder(), []
    for cut in cuts:
        got += decoder.feed(data[:cut])
        data = data[cut:]
    assert got + decoder.feed(data) == sent


@given(st.binary(max_size=400))
def test_any_bytes_are_frames_or_a_frame_error(data: bytes) -> None:
    with contextlib.suppress(FrameError):
        FrameDecoder().feed(data)


@pytest.mark.parametrize(
    ("offset", "value", "word"),
    [(0, 0, "magic"), (4, 0, "version"), (4, 255, "version"), (5, 0, "type"), (5, 200, "type"),
     (7, 1, "flags"), (10, 0xFF, "body of")],
)  # fmt: skip
def test_wrong_header_is_refused_by_name(offset: int, value: int, word: str) -> None:
    data = bytearray(encode_frame(SPIKES))
    data[offset] = value
    decoder = FrameDecoder()
    with pytest.raises(FrameError, match=word):
        decoder.feed(bytes(data))
    with pytest.raises(FrameError, match="already broken"):
        decoder.feed(encode_frame(SPIKES))


def test_length_is_judged_before_the_body_is_awaited() -> None:
    header = bytearray(encode_frame(Frame(FrameType.HB)))
    header[8:12] = (MAX_BODY_BYTES + 1).to_bytes(4, "little")
    with pytest.raises(FrameError, match="at most"):
        FrameDecoder().feed(bytes(header))
    with pytest.raises(ValueError, match="at most"):
        encode_frame(Frame(FrameType.SPIKES, bytes(MAX_BODY_BYTES + 1)))
    whole = encode_frame(Frame(FrameType.SPIKES, bytes(MAX_BODY_BYTES)))
    assert len(FrameDecoder().feed(whole)[0].body) == MAX_BODY_BYTES
