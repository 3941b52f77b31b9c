"""One TLS connection on a non-blocking socket: bytes to frames and back, no waiting."""

import enum
import socket
import ssl

from app.core.frames import Frame, FrameDecoder

READ_BYTES = 65_536
MAX_READS = 16
"""Reads per turn: one busy peer must not starve the others."""


class Stage(enum.Enum):
    """How far a connection has come."""

    CONNECTING = "connecting"
    HANDSHAKE = "handshake"
    OPEN = "open"


class ClosedError(Exception):
    """The other end closed the connection."""


class Connection:
    """A TCP connection, then TLS, then frames. Only the bridge's thread touches it.

    OpenSSL lets one thread at a time use a connection; two corrupt it.
    """

    def __init__(self, sock: socket.socket, *, is_server: bool, now_ns: int) -> None:
        self.socket: socket.socket | ssl.SSLSocket = sock
        self.is_server = is_server
        self.since_ns = now_ns
        self.stage = Stage.HANDSHAKE if is_server else Stage.CONNECTING
        self.wants_write = not is_server
        self._decoder = FrameDecoder()
        self._unsent = bytearray()

    def handshake(self) -> bool:
        """Go on with the TLS handshake; return whether it is done. Raises OSError, SSLError."""
        tls = self.socket
        if not isinstance(tls, ssl.SSLSocket):
            raise ClosedError("no TLS on this connection yet")
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            self.wants_write = False
            return False
        except ssl.SSLWantWriteError:
            self.wants_write = True
            return False
        self.stage = Stage.OPEN
        self.wants_write = False
        return True

    def read_frames(self) -> list[Frame]:
        """Return the frames that have arrived.

        Raises `ClosedError`, `FrameError`, OSError or SSLError: the connection is then useless;
        frames before the fault in the same turn are lost with it and come again after reconnect.
        """
        frames: list[Frame] = []
        for _ in range(MAX_READS):
            try:
                data = self.socket.recv(READ_BYTES)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                break
            if not data:
                raise ClosedError("closed by the peer")
            frames += self._decoder.feed(data)
        return frames

    @property
    def has_unread(self) -> bool:
        """Say whether decrypted bytes wait in TLS, which no selector can see."""
        return isinstance(self.socket, ssl.SSLSocket) and self.socket.pending() > 0

    @property
    def n_unsent(self) -> int:
        """Get how many bytes wait for the other end to read."""
        return len(self._unsent)

    def write(self, data: bytes = b"") -> bool:
        """Send what was left over and then `data`; return whether all of it has gone."""
        self._unsent += data
        while self._unsent:
            try:
                n_sent = self.socket.send(self._unsent)
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError, BlockingIOError):
                self.wants_write = True
                return False
            del self._unsent[:n_sent]
        self.wants_write = False
        return True

    def close(self) -> None:
        """Close the socket; never raises."""
        try:
            self.socket.close()
        except OSError:
            return
