"""What makes an engine a process: signals, and the supervisor's death."""

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.core.worker import OnFailure, Worker


class ParentWatch(Worker):
    """Notices the supervisor's death: our standard input ends with it."""

    def __init__(self, on_end: Callable[[], None], on_failure: OnFailure) -> None:
        super().__init__("parent watch", on_failure)
        self._on_end = on_end
        self._fd = sys.stdin.fileno()

    def step(self) -> None:
        """Wait a moment for the end of standard input; what is written there is of no account."""
        if select.select([self._fd], [], [], 0.1)[0] and not os.read(self._fd, 4096):
            self._on_end()
            self.request_stop()


@contextmanager
def ended_by_signals(request_exit: Callable[[], None]) -> Iterator[None]:
    """Turn SIGTERM, SIGINT and SIGHUP into a request to end in order."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    old = {n: signal.signal(n, lambda _number, _frame: request_exit()) for n in numbers}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
