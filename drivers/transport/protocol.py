"""The pipes that instruments hang on: of bytes, or of lines."""

from typing import Protocol


class Transport(Protocol):
    """Bytes in, bytes out. Owned by one thread unless the class says otherwise."""

    def write(self, data: bytes) -> None:
        """Send all of `data`, or raise `TransportError`."""

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        """Return what has arrived, up to `max_bytes`; empty bytes after `timeout_s` without any.

        Raises `TransportError` when the pipe is gone.
        """

    def close(self) -> None:
        """Close the pipe; idempotent, never raises."""


class LinePort(Protocol):
    """Messages in, messages out, each one line. Used by one thread at a time."""

    def write_line(self, line: str) -> None:
        """Send one line and its LF, or raise `TransportError`."""

    def read_line(self, timeout_s: float) -> str:
        """Return the next line without its end.

        Raises `InstrumentTimeoutError` if no whole line came (a part of one is dropped),
        `InstrumentProtocolError` for bytes that are no text, `TransportError` when the pipe is
        gone.
        """

    def close(self) -> None:
        """Close the pipe; idempotent, never raises."""
