"""Where the simulated ArC ONE can be reached: a pseudo-terminal, a TCP port, a truth port.

All of them belong to the thread of their loop.
"""

import os
import socket
import tty
from collections.abc import Callable
from functools import partial

from mocks.event_loop import EventLoop
from mocks.rhx_sockets import LinePort

_MAX_READ_BYTES = 65_536


class PtyPort:
    """A pseudo-terminal in raw mode; `name` is the device that a client opens as a serial port.

    Our own hold of the client's side keeps it alive while no client is there. Opening a serial
    port discards what came before, as a client does with a real one.
    """

    def __init__(self, loop: EventLoop, on_data: Callable[[bytes], None]) -> None:
        self._loop = loop
        self._on_data = on_data
        self._queue = bytearray()
        self._board_fd, self._client_fd = os.openpty()
        tty.setraw(self._client_fd)
        os.set_blocking(self._board_fd, False)
        self.name = os.ttyname(self._client_fd)
        loop.on_readable(self._board_fd, self._read)

    def send(self, data: bytes) -> None:
        """Queue bytes for whoever reads."""
        self._queue += data
        self._flush()

    def discard(self) -> None:
        """Forget what is queued."""
        self._queue.clear()
        self._loop.on_writable(self._board_fd, None)

    def disconnect(self) -> None:
        """Do as if the cable were pulled: a pseudo-terminal can only lose what is queued."""
        self.discard()

    def close(self) -> None:
        """Take the pseudo-terminal away; a client gets an input/output error."""
        self._loop.forget(self._board_fd)
        os.close(self._board_fd)
        os.close(self._client_fd)

    def _read(self) -> None:
        try:
            data = os.read(self._board_fd, _MAX_READ_BYTES)
        except BlockingIOError:
            return
        self._on_data(data)

    def _flush(self) -> None:
        try:
            n_sent = os.write(self._board_fd, self._queue)
        except BlockingIOError:
            n_sent = 0
        del self._queue[:n_sent]
        self._loop.on_writable(self._board_fd, self._flush if self._queue else None)


class TcpPort:
    """A TCP port for one client at a time; the next one waits until it has left."""

    def __init__(
        self, loop: EventLoop, address: tuple[str, int], on_data: Callable[[bytes], None]
    ) -> None:
        self._loop = loop
        self._on_data = on_data
        self._queue = bytearray()
        self._client: socket.socket | None = None
        self._listener = socket.create_server(address)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        loop.on_readable(self._listener, self._accept)

    def send(self, data: bytes) -> None:
        """Queue bytes for the client; without one they are lost."""
        if self._client is not None:
            self._queue += data
            self._flush()

    def discard(self) -> None:
        """Forget what is queued."""
        self._queue.clear()
        if self._client is not None:
            self._loop.on_writable(self._client, None)

    def disconnect(self) -> None:
        """Drop the client, if there is one, and wait for the next."""
        if self._client is not None:
            self._loop.forget(self._client)
            self._client.close()
            self._client = None
            self._queue.clear()
            self._loop.on_readable(self._listener, self._accept)

    def close(self) -> None:
        """Drop the client and give the port back."""
        self.disconnect()
        self._loop.forget(self._listener)
        self._listener.close()

    def _accept(self) -> None:
        try:
            self._client, _ = self._listener.accept()
        except OSError:  # it has left again
            return
        self._client.setblocking(False)
        self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop.forget(self._listener)
        self._loop.on_readable(self._client, self._read)

    def _read(self) -> None:
        if self._client is None:
            return
        try:
            data = self._client.recv(_MAX_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._on_data(data)
        else:
            self.disconnect()

    def _flush(self) -> None:
        if self._client is None:
            return
        try:
            n_sent = self._client.send(self._queue)
        except BlockingIOError:
            n_sent = 0
        except OSError:
            self.disconnect()
            return
        del self._queue[:n_sent]
        self._loop.on_writable(self._client, self._flush if self._queue else None)


class TruthPort:
    """A TCP port that answers each line with one line, for any number of clients."""

    def __init__(
        self, loop: EventLoop, address: tuple[str, int], answer: Callable[[bytes], bytes]
    ) -> None:
        self._loop = loop
        self._answer = answer
        self._lines = LinePort(*address)
        self.port = self._lines.port
        self._watched: set[socket.socket] = set()
        self._watch()

    def close(self) -> None:
        """Drop all clients and give the port back."""
        for one in self._watched:
            self._loop.forget(one)
        self._lines.close()

    def _watch(self) -> None:
        open_now = set(self._lines.readers())
        for gone in self._watched - open_now:
            self._loop.forget(gone)
        for new in open_now - self._watched:
            self._loop.on_readable(new, partial(self._serve, new))
        self._watched = open_now

    def _serve(self, ready: socket.socket) -> None:
        for line in self._lines.on_readable(ready):
            self._lines.answer(ready, self._answer(line))
        self._watch()
