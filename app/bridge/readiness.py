"""Which sockets are ready: epoll itself. `selectors` around it costs a waking thread 10 us."""

import select
import socket
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_READY = 256
"""So many are told of in one turn; the others in the next."""


class Readiness(Generic[T]):
    """Watches sockets, each with a value that says whose it is. One thread at a time calls it."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._values: dict[int, T] = {}

    def watch(self, sock: socket.socket, value: T, *, reads: bool, writes: bool) -> None:
        """Watch a socket, or watch it for something else from now on; for nothing: no more."""
        if not reads and not writes:
            self.forget(sock)
            return
        number = sock.fileno()
        events = (select.EPOLLIN if reads else 0) | (select.EPOLLOUT if writes else 0)
        if number in self._values:
            self._epoll.modify(number, events)
        else:
            self._epoll.register(number, events)
        self._values[number] = value

    def forget(self, sock: socket.socket) -> None:
        """Watch a socket no more, if it was; call it before the socket is closed."""
        if self._values.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock.fileno())

    def wait(self, timeout_s: float) -> list[tuple[T, bool]]:
        """Return the values of those that are ready, and whether there is something to read.

        A hang-up counts as something to read: whoever reads hears of it.
        """
        return [
            (self._values[number], events != select.EPOLLOUT)
            for number, events in self._epoll.poll(timeout_s, MAX_READY)
        ]

    def close(self) -> None:
        """Watch nothing any more."""
        self._epoll.close()
        self._values.clear()
