"""One TLS connection on a non-blocking socket: bytes to frames and back, no waiting.

TLS runs on buffers in memory, so that one system call carries all that has come or has to go:
OpenSSL on a socket needs three to read one short record.
"""

import enum
import socket
import ssl

from app.bridge.tls import TlsPipe
from app.core.frames import Frame, FrameDecoder

READ_BYTES = 65_536
RECORD_BYTES = 16_384
"""TLS hands over one record at a time, of at most this length."""
MAX_READS = 4
"""Reads per turn: one busy peer must not starve the others."""


class Stage(enum.Enum):
    """How far a connection has come."""

    CONNECTING = "connecting"
    HANDSHAKE = "handshake"
    OPEN = "open"


class ClosedError(Exception):
    """The other end closed the connection."""


class Connection:
    """A connection, then TLS on it, then frames. One thread at a time touches it.

    A local one (`is_plain`) has no TLS and is open from the start.
    """

    def __init__(
        self,
        sock: socket.socket,
        now_ns: int,
        pipe: TlsPipe | None = None,
        *,
        is_plain: bool = False,
    ) -> None:
        self.socket = sock
        self.since_ns = now_ns
        self.stage = Stage.OPEN if is_plain else Stage.CONNECTING
        self.wants_write = not is_plain
        self.wants_read = True
        self._pipe: TlsPipe | None = None
        self._decoder = FrameDecoder()
        self._unsent = b""
        if pipe is not None:
            self.begin_tls(pipe, now_ns)

    def begin_tls(self, pipe: TlsPipe, now_ns: int) -> None:
        """Begin the handshake, now that TCP is connected."""
        self._pipe = pipe
        self.stage = Stage.HANDSHAKE
        self.since_ns = now_ns
        self.wants_write = False

    @property
    def tls(self) -> ssl.SSLObject:
        """Get the TLS side, which knows who the other end is once the handshake is done.

        Raises `ClosedError` while there is none.
        """
        if self._pipe is None:
            raise ClosedError("no TLS on this connection")
        return self._pipe.tls

    @property
    def n_unsent(self) -> int:
        """Get how many bytes wait for the other end to read."""
        return len(self._unsent)

    def handshake(self) -> bool:
        """Go on with the TLS handshake; return whether it is done.

        Raises `ClosedError`, OSError or SSLError: the other end is gone, or is no peer.
        """
        tls = self.tls
        self._receive()
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            self._transmit()
            return False
        except ssl.SSLError:
            self._transmit()  # the alert that tells the other end why
            raise
        self._transmit()
        self.stage = Stage.OPEN
        return True

    def read_frames(self) -> list[Frame]:
        """Return the frames that have arrived.

        Raises `ClosedError`, `FrameError`, OSError or SSLError: the connection is then useless;
        frames before the fault in the same turn are lost with it and come again after reconnect.
        """
        frames: list[Frame] = []
        pipe = self._pipe
        for _ in range(MAX_READS):
            raw = self._receive()
            frames += self._decoder.feed(raw if pipe is None else _decrypted(pipe))
            if len(raw) < READ_BYTES:
                break
        return frames

    def write(self, data: bytes = b"") -> bool:
        """Send what was left over and then `data`; return whether all of it has gone."""
        if self._pipe is None:
            self._unsent += data
        elif data:
            self._pipe.tls.write(data)
        return self._transmit()

    def close(self) -> None:
        """Close the socket; never raises."""
        try:
            self.socket.close()
        except OSError:
            return

    def _receive(self) -> bytes:
        try:
            raw = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return b""
        if not raw:
            raise ClosedError("closed by the peer")
        if self._pipe is not None:
            self._pipe.incoming.write(raw)
        return raw

    def _transmit(self) -> bool:
        unsent = self._unsent
        if self._pipe is not None:
            unsent += self._pipe.outgoing.read()
        try:
            while unsent:
                unsent = unsent[self.socket.send(unsent) :]
        except BlockingIOError:
            self._unsent = unsent
            self.wants_write = True
            return False
        self._unsent = b""
        self.wants_write = False
        return True


def _decrypted(pipe: TlsPipe) -> bytes:
    """Return what the records that are complete hold."""
    tls, incoming = pipe.tls, pipe.incoming
    plain: list[bytes] = []
    # To ask for no more than there can be spares a large buffer for every small record.
    while n_bytes := incoming.pending or tls.pending():
        try:
            data = tls.read(min(n_bytes, RECORD_BYTES))
        except ssl.SSLWantReadError:
            break  # the rest of a record is still under way
        if not data:
            raise ClosedError("closed by the peer")
        plain.append(data)
    return b"".join(plain)
