"""A network that can be told to misbehave: a TCP relay in user space, between two programs."""

import random
import selectors
import socket
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType

LOOP_S = 0.001
RESET = struct.pack("ii", 1, 0)


@dataclass(eq=False)
class _Half:
    """One direction of one connection."""

    source: socket.socket
    sink: socket.socket
    waiting: deque[tuple[float, bytes]] = field(default_factory=deque)
    unsent: bytes = b""
    last_s: float = 0.0


class Relay:
    """Carries connections to `target`. What it does to them is set by attributes, at any time.

    Use it as a context manager: its thread and sockets end with it.
    """

    def __init__(self, target: int, seed: int = 0) -> None:
        self._target = target
        self._rng = random.Random(seed)
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self.port: int = self._listener.getsockname()[1]
        self._halves: dict[socket.socket, _Half] = {}
        self._orders: deque[str] = deque()
        self._is_ending = False
        self.n_accepted = 0
        """Connections carried so far."""
        self.is_black_hole = False
        """Nothing passes, nothing is closed, nobody is let in."""
        self.slice_bytes = 0
        """At most so many bytes at a time; 0: as they come."""
        self.delay_s = (0.0, 0.0)
        """Mean and spread, each way."""
        self.loss = 0.0
        """Share of pieces that stall their direction, as a lost packet does until it is resent."""
        self.stall_s = 0.2
        self._thread = threading.Thread(target=self._run, name="relay")

    def __enter__(self) -> "Relay":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_ending = True
        self._thread.join(5)
        if self._thread.is_alive():
            raise RuntimeError("the relay did not end")

    def cut(self) -> None:
        """Close every connection in order."""
        self._orders.append("cut")

    def reset(self) -> None:
        """Reset every connection."""
        self._orders.append("reset")

    def calm(self) -> None:
        """Behave again."""
        self.is_black_hole, self.slice_bytes, self.delay_s, self.loss = False, 0, (0.0, 0.0), 0.0

    def _run(self) -> None:
        while not self._is_ending:
            for key, _ in self._selector.select(LOOP_S):
                if self.is_black_hole:
                    time.sleep(LOOP_S)
                elif key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj in self._halves:
                    self._read(self._halves[key.fileobj])
            while self._orders:
                self._close_all(is_reset=self._orders.popleft() == "reset")
            if not self.is_black_hole:
                for half in list(self._halves.values()):
                    self._write(half)
        self._close_all(is_reset=False)
        self._listener.close()
        self._selector.close()

    def _accept(self) -> None:
        try:
            outer, _ = self._listener.accept()
        except OSError:
            return
        try:
            inner = socket.create_connection(("127.0.0.1", self._target), 2.0)
        except OSError:
            outer.close()  # nobody is there
            return
        self.n_accepted += 1
        for source, sink in ((outer, inner), (inner, outer)):
            source.setblocking(False)
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._halves[source] = _Half(source, sink)
            self._selector.register(source, selectors.EVENT_READ)

    def _read(self, half: _Half) -> None:
        try:
            data = half.source.recv(self.slice_bytes or 65_536)
        except OSError:
            data = b""
        if not data:
            self._close(half)
            return
        mean_s, spread_s = self.delay_s
        due_s = time.monotonic() + mean_s + self._rng.uniform(-spread_s, spread_s)
        if self.loss and self._rng.random() < self.loss:
            due_s += self.stall_s
        half.last_s = max(half.last_s, due_s)  # bytes keep their order
        half.waiting.append((half.last_s, data))

    def _write(self, half: _Half) -> None:
        while half.waiting and half.waiting[0][0] <= time.monotonic():
            half.unsent += half.waiting.popleft()[1]
        if half.unsent:
            try:
                half.unsent = half.unsent[half.sink.send(half.unsent) :]
            except BlockingIOError:
                return
            except OSError:
                self._close(half)

    def _close(self, half: _Half) -> None:
        for sock in (half.source, half.sink):
            if self._halves.pop(sock, None) is not None:
                self._selector.unregister(sock)
            sock.close()

    def _close_all(self, *, is_reset: bool) -> None:
        for sock in list(self._halves):
            if is_reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            del self._halves[sock]
            self._selector.unregister(sock)
            sock.close()
