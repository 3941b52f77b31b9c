"""The spine of a session: everything that a decision rests on, numbered when it is decided upon."""

import threading
from collections.abc import Callable

Write = Callable[[int, int, str, bytes], None]
"""Takes (number, time_ns, kind, body) without waiting; the event log's table of inputs."""


class InputLog:
    """Gives numbers. Any thread may call it; a component calls it in its own order of decisions.

    The synapse network and the Gate are each a pure function of their numbered inputs, so a
    recorded session can be decided again and compared.
    """

    def __init__(self, write: Write, first_number: int = 1) -> None:
        self._write = write
        self._next = first_number
        self._lock = threading.Lock()

    def record(self, kind: str, body: bytes, time_ns: int) -> int:
        """Give one input its number and hand it to the event log; return the number."""
        with self._lock:
            number = self._next
            self._next += 1
            self._write(number, time_ns, kind, body)
        return number
