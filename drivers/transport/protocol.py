"""The byte pipe that every stream instrument hangs on."""

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
