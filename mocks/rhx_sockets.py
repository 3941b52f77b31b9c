"""Listening ports as RHX has them: one client, and the listener closes when it is accepted.

While nobody is awaited the port is only reserved: bound, so that its number stays ours, but not
listening, so that a client is refused. All sockets are non-blocking and belong to one thread.
"""

import contextlib
import socket

_MAX_READ_BYTES = 65_536


class OneClientPort:
    """A port that waits for one client, serves it, and then is Disconnected until told again.

    `host` and `port` may be changed with `move`; port 0 takes a free one at once. Raises OSError
    if the first address cannot be had. Attributes:
    `n_clients` accepted so far, `n_bytes_dropped` that were queued when a client left.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.n_clients = 0
        self.n_bytes_dropped = 0
        self._is_listening = False
        self._client: socket.socket | None = None
        self._queue = bytearray()
        self._bound: socket.socket | None = self._bind()

    @property
    def status(self) -> str:
        """Return Connected, Pending or Disconnected."""
        if self._client is not None:
            return "Connected"
        return "Pending" if self._is_listening else "Disconnected"

    @property
    def n_queued_bytes(self) -> int:
        """Return the bytes the client has not taken yet."""
        return len(self._queue)

    def listen(self) -> None:
        """Wait for a client; no effect while one is connected or awaited."""
        if self._client is None and not self._is_listening:
            self._reserve()
            if self._bound is not None:
                self._bound.listen(1)
                self._is_listening = True

    def disconnect(self) -> None:
        """Drop the client and what it has not taken, or stop waiting for one."""
        if self._client is not None:
            self._client.close()
            self._client = None
            self.n_bytes_dropped += len(self._queue)
            self._queue.clear()
        if self._is_listening:
            self._close_bound()
        self._reserve()

    def move(self, host: str, port: int) -> None:
        """Use another address from the next `listen` on; a present client stays."""
        if (host, port) == (self.host, self.port):
            return
        self._close_bound()
        self.host, self.port = host, port

    def close(self) -> None:
        """Drop everything and give the port back."""
        self.disconnect()
        self._close_bound()

    def readers(self) -> list[socket.socket]:
        """Return the sockets to watch for reading."""
        if self._client is not None:
            return [self._client]
        return [self._bound] if self._is_listening and self._bound is not None else []

    def writers(self) -> list[socket.socket]:
        """Return the sockets to watch for writing: the client, while something is queued."""
        return [self._client] if self._client is not None and self._queue else []

    def on_readable(self) -> bytes:
        """Accept a waiting client or read from the present one; return what was read.

        A client that has left makes the port Disconnected.
        """
        if self._client is None:
            self._accept()
            return b""
        try:
            data = self._client.recv(_MAX_READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self.disconnect()
        return data

    def send(self, data: bytes) -> None:
        """Queue bytes for the client and send what it takes; without a client they vanish."""
        if self._client is not None and data:
            self._queue += data
            self.flush()

    def flush(self) -> None:
        """Send queued bytes as far as the client takes them."""
        if self._client is None or not self._queue:
            return
        try:
            n_sent = self._client.send(self._queue)
        except BlockingIOError:
            return
        except OSError:
            self.disconnect()
            return
        del self._queue[:n_sent]

    def _accept(self) -> None:
        if self._bound is None:
            return
        try:
            client, _ = self._bound.accept()
        except OSError:
            return
        client.setblocking(False)
        with contextlib.suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = client
        self.n_clients += 1
        self._close_bound()
        self._reserve()

    def _reserve(self) -> None:
        """Take the port again; if somebody else has it, the port stays Disconnected."""
        if self._bound is None:
            with contextlib.suppress(OSError):
                self._bound = self._bind()

    def _bind(self) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            bound.setblocking(False)
            if self.port:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((self.host, self.port))
            # after a bind to port 0, or the system might hand out a port that is reserved
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        except OSError:
            bound.close()
            raise
        self.port = bound.getsockname()[1]
        return bound

    def _close_bound(self) -> None:
        if self._bound is not None:
            self._bound.close()
            self._bound = None
        self._is_listening = False


class LinePort:
    """A port for any number of clients that speak lines; each line gets an answer line."""

    def __init__(self, host: str, port: int) -> None:
        self._listener = socket.create_server((host, port))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._pending: dict[socket.socket, bytearray] = {}

    def readers(self) -> list[socket.socket]:
        """Return the sockets to watch for reading."""
        return [self._listener, *self._pending]

    def on_readable(self, ready: socket.socket) -> list[bytes]:
        """Accept or read; return the complete lines that came on this socket."""
        if ready is self._listener:
            client, _ = self._listener.accept()
            client.settimeout(2.0)  # answers are long: this port may block, it is not for timing
            self._pending[client] = bytearray()
            return []
        try:
            data = ready.recv(_MAX_READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self._drop(ready)
            return []
        pending = self._pending[ready]
        pending += data
        *lines, rest = pending.split(b"\n")
        self._pending[ready] = bytearray(rest)
        return [bytes(line) for line in lines if line.strip()]

    def answer(self, client: socket.socket, line: bytes) -> None:
        """Send one answer line."""
        try:
            client.sendall(line + b"\n")
        except OSError:
            self._drop(client)

    def close(self) -> None:
        """Close the listener and all clients."""
        self._listener.close()
        for client in list(self._pending):
            self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        client.close()
        self._pending.pop(client, None)
