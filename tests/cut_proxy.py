"""A TCP relay that can cut every connection through it, or stall them. No tests in here."""

import selectors
import socket
import threading
from types import TracebackType
from typing import Self


class CutProxy:
    """Listens on a free port and relays to `target_port`, both on loopback."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.n_accepted = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._other: dict[socket.socket, socket.socket] = {}
        self._wants_cut = threading.Event()
        self._wants_end = threading.Event()
        self.is_stalled = threading.Event()
        """While set, nothing is read from either side: buffers fill, and nobody is told."""
        self._thread = threading.Thread(target=self._run, name="cut proxy")

    def cut(self) -> None:
        """End all present connections; new ones are relayed again."""
        self._wants_cut.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._wants_end.set()
        self._thread.join(5.0)
        self._listener.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._wants_end.is_set():
            for key, _ in self._selector.select(0.02):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj in self._other and not self.is_stalled.is_set():
                    self._relay(key.fileobj)
            if self.is_stalled.is_set():
                self._wants_end.wait(0.02)
            if self._wants_cut.is_set():
                self._wants_cut.clear()
                self._end_all()
        self._end_all()

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        try:
            far = socket.create_connection(("127.0.0.1", self._target_port), 5.0)
        except OSError:
            near.close()
            return
        self.n_accepted += 1
        self._other.update({near: far, far: near})
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(end, selectors.EVENT_READ)

    def _relay(self, source: socket.socket) -> None:
        try:
            data = source.recv(65536)
            if data:
                self._other[source].sendall(data)
                return
        except OSError:
            pass
        self._end(source)

    def _end(self, end: socket.socket) -> None:
        other = self._other.pop(end)
        self._other.pop(other)
        for one in (end, other):
            self._selector.unregister(one)
            one.close()

    def _end_all(self) -> None:
        while self._other:
            self._end(next(iter(self._other)))
