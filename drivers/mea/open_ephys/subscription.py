"""One ZeroMQ subscription, as a pipe of messages."""

import threading
from collections.abc import Callable

import zmq

from drivers.errors import TransportError

POLL_S = 0.02
"""How long `close` may have to wait for a reader."""
MAX_WAITING_MESSAGES = 200
"""About four seconds of the GUI's blocks. ZeroMQ drops what is beyond, without a word."""


class Subscription:
    """Everything that one publisher sends. One thread receives; any thread may close.

    A publisher that is not there, or goes away, is no error: ZeroMQ connects when it comes.

    Raises
    ------
    TransportError
        The address cannot be.
    """

    def __init__(self, address: str, clock_ns: Callable[[], int]) -> None:
        self._address = address
        self._clock_ns = clock_ns
        self._lock = threading.Lock()  # a ZeroMQ socket is for one thread at a time
        self._is_closing = threading.Event()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.SUB)
        try:
            self._socket.set(zmq.RCVHWM, MAX_WAITING_MESSAGES)
            self._socket.connect(f"tcp://{address}")
            self._socket.subscribe(b"")
        except zmq.ZMQError as exc:
            self.close()
            raise TransportError(f"{address}: cannot subscribe: {exc}") from exc

    def receive(self, timeout_s: float) -> list[bytes] | None:
        """Return the frames of the next message; None after the time-out, or at `close`.

        Raises
        ------
        TransportError
            The socket is broken.
        """
        deadline_ns = self._clock_ns() + round(timeout_s * 1e9)
        while not self._is_closing.is_set():
            left_s = max(0.0, (deadline_ns - self._clock_ns()) / 1e9)
            with self._lock:
                if self._socket.closed:
                    return None
                try:
                    if self._socket.poll(round(1000 * min(left_s, POLL_S))):
                        return self._socket.recv_multipart()
                except zmq.ZMQError as exc:
                    raise TransportError(f"{self._address}: reading failed: {exc}") from exc
            if not left_s > 0:
                return None
        return None

    def drain(self) -> None:
        """Throw away what waits."""
        while self.receive(0.0) is not None:
            pass

    def close(self) -> None:
        """Close; idempotent, never raises. A waiting `receive` returns."""
        self._is_closing.set()
        with self._lock:
            self._socket.close(linger=0)
            self._context.term()
