"""One thread that waits for sockets and moments, and never in vain."""

import heapq
import itertools
import selectors
import socket
import time
from collections.abc import Callable
from typing import Any

Action = Callable[[], None]


class EventLoop:
    """Calls back when something can be read or written, or a moment has come.

    Everything but `stop` belongs to the thread that runs the loop.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.clock_ns = clock_ns
        # Not epoll: it rounds waits up to whole milliseconds, and a board's read takes 1.55 ms.
        self._selector = selectors.SelectSelector()
        self._moments: list[tuple[int, int, Action]] = []
        self._ids = itertools.count()
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._is_stopping = False
        self.on_readable(self._woken, self._be_woken)

    def on_readable(self, source: Any, action: Action) -> None:
        """Call `action` whenever `source` (a socket or descriptor) has something to read."""
        self._watch(source, selectors.EVENT_READ, action)

    def on_writable(self, source: Any, action: Action | None) -> None:
        """Call `action` whenever `source` takes bytes; None ends that."""
        self._watch(source, selectors.EVENT_WRITE, action)

    def forget(self, source: Any) -> None:
        """Watch `source` no longer; no effect if it was not watched. Call it before closing."""
        if source in (self._selector.get_map() or {}):  # none after the end of `run`
            self._selector.unregister(source)

    def call_after_s(self, delay_s: float, action: Action) -> None:
        """Call `action` once, so much later."""
        self.call_at_ns(self.clock_ns() + round(delay_s * 1e9), action)

    def call_at_ns(self, when_ns: int, action: Action) -> None:
        """Call `action` once, when the clock has come to `when_ns`."""
        heapq.heappush(self._moments, (when_ns, next(self._ids), action))

    def run(self) -> None:
        """Serve until `stop`; then close what the loop itself opened."""
        try:
            while not self._is_stopping:
                for key, events in self._selector.select(self._wait_s()):
                    self._call(key, events)
                self._run_due()
        finally:
            self._selector.close()
            self._waker.close()
            self._woken.close()

    def stop(self) -> None:
        """End `run` soon. Any thread and any signal handler may call it, also twice."""
        self._is_stopping = True
        try:
            self._waker.send(b"\0")
        except OSError:  # full: awake anyway; closed: has ended
            return

    def _watch(self, source: Any, event: int, action: Action | None) -> None:
        known = self._selector.get_map().get(source)
        actions: dict[int, Action] = dict(known.data) if known is not None else {}
        if action is None:
            actions.pop(event, None)
        else:
            actions[event] = action
        if known is not None:
            self._selector.unregister(source)
        if actions:
            self._selector.register(source, sum(actions), actions)

    def _call(self, key: selectors.SelectorKey, events: int) -> None:
        for event, action in key.data.items():
            # An earlier callback of this turn may have closed what this one is about.
            if events & event and self._selector.get_map().get(key.fd) is key:
                action()

    def _be_woken(self) -> None:
        self._woken.recv(64)

    def _wait_s(self) -> float | None:
        if not self._moments:
            return None
        return max(0.0, (self._moments[0][0] - self.clock_ns()) * 1e-9)

    def _run_due(self) -> None:
        while self._moments and self._moments[0][0] <= self.clock_ns() and not self._is_stopping:
            heapq.heappop(self._moments)[2]()
