"""A TCP connection, as a byte pipe."""

import contextlib
import select
import socket

from drivers.errors import TransportError

WRITE_TIMEOUT_S = 0.25
"""A peer that takes no bytes for this long is as good as gone."""


class TcpConnection:
    """An open connection; small writes leave at once (TCP_NODELAY).

    One thread reads and one writes, which may be two threads. `close` may come from a third: a
    waiting `read` then raises.

    Raises
    ------
    TransportError
        Refused, unreachable, or no answer within `connect_timeout_s`; `advice` ends the message.
    """

    def __init__(
        self, host: str, port: int, *, connect_timeout_s: float = 2.0, advice: str = ""
    ) -> None:
        self.address = f"{host}:{port}"
        try:
            made = socket.create_connection((host, port), connect_timeout_s)
        except (OSError, OverflowError) as exc:
            ending = f"; {advice}" if advice else ""
            raise TransportError(f"{self.address} cannot be connected: {exc}{ending}") from exc
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.settimeout(WRITE_TIMEOUT_S)
        except OSError as exc:
            made.close()
            raise TransportError(f"{self.address} closed at once: {exc}") from exc
        self._socket = made

    def write(self, data: bytes) -> None:
        """Send all of `data`.

        Raises
        ------
        TransportError
            The connection is gone or took no bytes in time. Any part of `data` may have left.
        """
        try:
            self._socket.sendall(data)
        except OSError as exc:
            raise TransportError(f"{self.address}: writing failed: {exc}") from exc

    def read(self, max_bytes: int, timeout_s: float) -> bytes:
        """Return what has arrived, up to `max_bytes`; empty after `timeout_s` without any.

        A time-out of 0 returns at once.

        Raises
        ------
        TransportError
            The connection is gone, or the other end closed it.
        """
        buffer = bytearray(max_bytes)
        n_read = self.read_into(memoryview(buffer), timeout_s)
        return bytes(buffer[:n_read])

    def read_into(self, buffer: memoryview, timeout_s: float) -> int:
        """Read what has arrived into `buffer`; return the number of bytes, 0 after `timeout_s`.

        Raises as `read` does.
        """
        try:
            if not select.select([self._socket], [], [], timeout_s)[0]:
                return 0
            n_read = self._socket.recv_into(buffer)
        except TimeoutError:
            return 0  # the kernel withdrew what select had announced
        except (OSError, ValueError) as exc:
            raise TransportError(f"{self.address}: reading failed: {exc}") from exc
        if not n_read:
            raise TransportError(f"{self.address}: the other end closed the connection")
        return n_read

    def close(self) -> None:
        """Close the connection; idempotent, never raises."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
