"""Frames one behind the other, in memory that is used again for every display frame."""

import numpy as np

from app.core.frames import HEADER, MAGIC, MAX_BODY_BYTES, VERSION, FrameType, encode_parts

MAX_FRAME_BYTES = HEADER.size + MAX_BODY_BYTES


class FrameBuffer:
    """What one console gets at once. One thread calls it; `filled` is valid until `clear`.

    A large block of new memory costs more than what is written into it, 30 times a second.
    """

    def __init__(self, n_bytes: int) -> None:
        self._bytes = bytearray(n_bytes)
        self._view = memoryview(self._bytes)
        self.words = np.frombuffer(self._bytes, np.int16)
        """The same memory, for kernels."""
        self._end = 0

    @property
    def end(self) -> int:
        """Get how many bytes are filled."""
        return self._end

    @property
    def n_left(self) -> int:
        """Get how many bytes are free."""
        return len(self._bytes) - self._end

    @property
    def filled(self) -> memoryview:
        """Get all frames."""
        return self._view[: self._end]

    def clear(self, end: int = 0) -> None:
        """Forget everything, or what came after `end`."""
        self._end = end

    def add(self, kind: FrameType, body: bytes, seq: int = 0) -> None:
        """Append a frame."""
        frame = encode_parts(kind, body, seq=seq)
        end = self._end + len(frame)
        self._view[self._end : end] = frame
        self._end = end

    def begin(self, kind: FrameType, n_bytes: int, seq: int = 0) -> memoryview:
        """Append a frame whose body of `n_bytes` the caller fills in, or has filled in."""
        HEADER.pack_into(self._bytes, self._end, MAGIC, VERSION, kind, 0, n_bytes, seq, 0)
        start = self._end + HEADER.size
        self._end = start + n_bytes
        return self._view[start : self._end]

    def next_body(self) -> memoryview:
        """Get the room for the body of a frame that has not begun yet."""
        return self._view[self._end + HEADER.size :]
