"""Where the simulated ArC ONE can be reached: a pseudo-terminal, a TCP port, a truth port.

All of them belong to the thread of their loop.
"""

import os
import socket
import tty
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mocks.event_loop import EventLoop
from mocks.rhx_sockets import LinePort

_MAX_READ_BYTES = 65_536
_RETRY_S = 0.05


class PtyPort:
    """A pseudo-terminal in raw mode; `name` is what a client opens as a serial port.

    Our own hold of the client's side keeps it alive while no client is there. Raises OSError if
    there is no pseudo-terminal, or if something is already where the link shall be.
    """

    def __init__(
        self, loop: EventLoop, on_data: Callable[[bytes], None], link: Path | None = None
    ) -> None:
        self._loop = loop
        self._on_data = on_data
        self._link = link
        self._queue = bytearray()
        self._is_gone = False
        self._fds: tuple[int, int] | None = None
        self._plug_in()

    def send(self, data: bytes) -> None:
        """Queue bytes for whoever reads; while the port is gone they are lost."""
        if not self._is_gone:
            self._queue += data
            self._flush()

    def discard(self) -> None:
        """Forget what is queued."""
        self._queue.clear()
        if self._fds is not None:
            self._loop.on_writable(self._fds[0], None)

    def disconnect(self, duration_s: float) -> None:
        """Be unplugged for a time.

        With a link, the pseudo-terminal goes away, and the link then leads to a new one. Without,
        nobody could find the new one: then bytes are lost in both directions, as on a cut wire.
        """
        self.discard()
        if not self._is_gone:
            self._is_gone = True
            if self._link is not None:
                self._unplug()
            self._loop.call_after_s(duration_s, self._come_back)

    def close(self) -> None:
        """Take the pseudo-terminal away; a client gets an input/output error."""
        self._unplug()

    def _come_back(self) -> None:
        if self._fds is None:
            self._plug_in()
        self._is_gone = False

    def _plug_in(self) -> None:
        board_fd, client_fd = os.openpty()
        self._fds = board_fd, client_fd
        try:
            tty.setraw(client_fd)
            os.set_blocking(board_fd, False)
            self.name = os.ttyname(client_fd)
            if self._link is not None:
                self._link.symlink_to(self.name)
                self.name = str(self._link)
        except OSError:
            os.close(board_fd)
            os.close(client_fd)
            raise
        self._loop.on_readable(board_fd, self._read)

    def _unplug(self) -> None:
        if self._fds is None:
            return
        if self._link is not None:
            self._link.unlink(missing_ok=True)
        self._loop.forget(self._fds[0])
        for fd in self._fds:
            os.close(fd)
        self._fds = None

    def _read(self) -> None:
        if self._fds is None:
            return
        try:
            data = os.read(self._fds[0], _MAX_READ_BYTES)
        except BlockingIOError:
            return
        if not self._is_gone:
            self._on_data(data)

    def _flush(self) -> None:
        if self._fds is None:
            return
        try:
            n_sent = os.write(self._fds[0], self._queue)
        except BlockingIOError:
            n_sent = 0
        del self._queue[:n_sent]
        self._loop.on_writable(self._fds[0], self._flush if self._queue else None)


class TcpPort:
    """A TCP port for one client at a time; the next one waits until it has left.

    Raises OSError if the address is taken.
    """

    def __init__(
        self, loop: EventLoop, address: tuple[str, int], on_data: Callable[[bytes], None]
    ) -> None:
        self._loop = loop
        self._on_data = on_data
        self._queue = bytearray()
        self._client: socket.socket | None = None
        self._listener = socket.create_server(address)
        self._listener.setblocking(False)
        self._address: tuple[str, int] = self._listener.getsockname()[:2]
        self.port = self._address[1]
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

    def disconnect(self, duration_s: float) -> None:
        """Drop the client, if there is one, and refuse clients for a time."""
        is_listening = self._listener.fileno() >= 0
        if is_listening:  # closed first, or the client might be back before it is
            self._loop.forget(self._listener)
            self._listener.close()
        self._drop_client()
        if is_listening:
            self._loop.call_after_s(duration_s, self._listen_again)

    def close(self) -> None:
        """Drop the client and give the port back."""
        self._drop_client()
        self._loop.forget(self._listener)
        self._listener.close()

    def _listen_again(self) -> None:
        try:
            self._listener = socket.create_server(self._address)
        except OSError:  # taken meanwhile; a mock that nobody can find is of no use, try on
            self._loop.call_after_s(_RETRY_S, self._listen_again)
            return
        self._listener.setblocking(False)
        self._loop.on_readable(self._listener, self._accept)

    def _drop_client(self) -> None:
        if self._client is not None:
            self._loop.forget(self._client)
            self._client.close()
            self._client = None
            self._queue.clear()

    def _let_next_in(self) -> None:
        self._drop_client()
        if self._listener.fileno() >= 0:
            self._loop.on_readable(self._listener, self._accept)

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
            self._let_next_in()

    def _flush(self) -> None:
        if self._client is None:
            return
        try:
            n_sent = self._client.send(self._queue)
        except BlockingIOError:
            n_sent = 0
        except OSError:
            self._let_next_in()
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
