"""One frame on the wire, between sites and between a console and its engine. No I/O in here.

Header, 28 bytes, little-endian: magic u32, version u8, type u8, flags u16, length u32, seq u64,
echo u64. The body follows. A length is judged before a byte of the body is awaited.
"""

import enum
import struct

import msgspec

HEADER = struct.Struct("<IBBHIQQ")
MAGIC = 0x4B425053
"""The bytes "SPBK"."""
VERSION = 1
_FLAGS_AT = 6
"""Offset of the flags in a header."""
MAX_BODY_BYTES = 65_536


class FrameError(Exception):
    """The peer sent bytes that are no frame; the connection cannot go on."""


class FrameType(enum.IntEnum):
    """What a body means."""

    HELLO = 1
    HELLO_OK = 2
    SPIKES = 3
    PSPS = 4
    ACK = 5
    HB = 6
    GAP = 7
    BYE = 8
    COMMAND = 32
    REPLY = 33
    STATUS = 34
    EVENT = 35
    FEED = 36


class FrameFlag(enum.IntFlag):
    """Bits of the header's flags; unknown ones close the connection."""

    NONE = 0
    RESEND = 1
    """Sent again or late: recorded and learned from, never the cause of anything live."""


_FLAGS = {int(flag): flag for flag in (FrameFlag.NONE, FrameFlag.RESEND)}
_TYPES = {int(t): t for t in FrameType}


class Frame(msgspec.Struct, frozen=True):
    """One frame. `seq` counts SPIKES and PSPS from 1; it is 0 in all others.

    `echo` is the newest heartbeat nonce of the other side that was known when the body was made.
    """

    type: FrameType
    body: bytes = b""
    flags: FrameFlag = FrameFlag.NONE
    seq: int = 0
    echo: int = 0


def encode_frame(frame: Frame) -> bytes:
    """Return the frame's bytes. Raises ValueError if the body is too long."""
    return encode_parts(frame.type, frame.body, frame.flags, frame.seq, frame.echo)


def encode_parts(
    kind: FrameType, body: bytes, flags: int = 0, seq: int = 0, echo: int = 0
) -> bytes:
    """Return the bytes of a frame that nobody needs as a `Frame`. Raises as `encode_frame`."""
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"frame body of {len(body)} bytes, at most {MAX_BODY_BYTES}")
    return HEADER.pack(MAGIC, VERSION, kind, flags, len(body), seq, echo) + body


def with_flags(frame: bytes, flags: FrameFlag) -> bytes:
    """Return an encoded frame with other flags."""
    return frame[:_FLAGS_AT] + flags.to_bytes(2, "little") + frame[_FLAGS_AT + 2 :]


class FrameDecoder:
    """Cuts a byte stream into frames. Holds at most one unfinished frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted = 0
        """Bytes that the buffer needs before it can hold another frame."""
        self._is_broken = False

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes as they came; return the frames that are complete now.

        Raises
        ------
        FrameError
            The bytes are no frames. The decoder stays broken: nothing after it can be trusted.
        """
        if self._is_broken:
            raise FrameError("the stream was already broken")
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._wanted:
                return []
            data = bytes(self._buffer)
        self._wanted = HEADER.size
        frames = []
        start, n_bytes = 0, len(data)
        try:
            while n_bytes - start >= HEADER.size:
                magic, version, kind, flags, length, seq, echo = HEADER.unpack_from(data, start)
                if (
                    magic != MAGIC
                    or version != VERSION
                    or kind not in _TYPES
                    or flags not in _FLAGS
                    or length > MAX_BODY_BYTES
                ):
                    raise _fault(magic, version, kind, flags, length)
                end = start + HEADER.size + length
                if n_bytes < end:
                    self._wanted = end - start
                    break
                body = data[start + HEADER.size : end]
                frames.append(Frame(_TYPES[kind], body, _FLAGS[flags], seq, echo))
                start = end
        except FrameError:
            self._is_broken = True
            self._buffer.clear()
            raise
        if start < n_bytes or self._buffer:
            self._buffer[:] = data[start:]
        return frames


def _fault(magic: int, version: int, kind: int, flags: int, length: int) -> FrameError:
    if magic != MAGIC:
        return FrameError(f"magic {magic:#010x}, expected {MAGIC:#010x}: not our protocol")
    if version != VERSION:
        return FrameError(f"frame version {version}, this program speaks {VERSION}")
    if kind not in _TYPES:
        return FrameError(f"unknown frame type {kind}")
    if flags not in _FLAGS:
        return FrameError(f"unknown flags {flags:#06x} on {_TYPES[kind].name}")
    return FrameError(f"body of {length} bytes, at most {MAX_BODY_BYTES}")
