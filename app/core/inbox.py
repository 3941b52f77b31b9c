"""The only hand-over between threads: bounded, and it never makes the giver wait."""

import enum
import threading
import time
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class InboxOverflowError(Exception):
    """An inbox whose items must not be lost is full: its owner has fallen behind."""


class Overflow(enum.Enum):
    """What a full inbox does."""

    DROP_OLDEST = "drop oldest"
    """For what is only shown, or worthless when late. Drops are counted."""
    FAIL = "fail"
    """For what must not be lost: the giver gets `InboxOverflowError`."""


class Inbox(Generic[T]):
    """A bounded queue with one named owner that takes, and any number of givers."""

    def __init__(self, name: str, capacity: int, overflow: Overflow) -> None:
        self.name = name
        self.capacity = capacity
        self.overflow = overflow
        self._items: deque[T] = deque()
        self._ready = threading.Condition(threading.Lock())
        self._n_dropped = 0
        self._is_closed = False
        self._is_woken = False

    @property
    def n_dropped(self) -> int:
        """Get how many items were given up to make room."""
        return self._n_dropped

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T, *, wakes: bool = True) -> None:
        """Hand over one item without waiting. After `close` items are counted as dropped.

        Without `wakes` a sleeping owner finds the item at the end of its wait: a woken thread
        competes with its giver for the interpreter, so what is not urgent wakes nobody.

        Raises
        ------
        InboxOverflowError
            Full, and the policy is FAIL.
        """
        with self._ready:
            if self._is_closed:
                self._n_dropped += 1
                return
            if len(self._items) >= self.capacity:
                if self.overflow is Overflow.FAIL:
                    raise InboxOverflowError(
                        f"inbox {self.name}: full with {self.capacity} items, "
                        "its owner has fallen behind"
                    )
                self._items.popleft()
                self._n_dropped += 1
            self._items.append(item)
            if wakes:
                self._is_woken = True
                self._ready.notify()

    def wait(self, timeout_s: float) -> None:
        """Wait, taking nothing, until an item that wakes has come since the last wait.

        For an owner that lets others take in its place: it must take only when it has the turn.
        """
        with self._ready:
            deadline_s = time.monotonic() + timeout_s
            while not self._is_woken and not self._is_closed:
                left_s = deadline_s - time.monotonic()
                if not left_s > 0:
                    break
                self._ready.wait(left_s)
            self._is_woken = False

    def take_all(self, timeout_s: float) -> list[T]:
        """Return everything that waits, oldest first; wait up to `timeout_s` for the first."""
        with self._ready:
            deadline_s = time.monotonic() + timeout_s
            while not self._items and not self._is_closed:
                left_s = deadline_s - time.monotonic()
                if not left_s > 0:
                    return []
                self._ready.wait(left_s)
            items = list(self._items)
            self._items.clear()
            return items

    def close(self) -> None:
        """Wake the owner for good; what still waits can still be taken."""
        with self._ready:
            self._is_closed = True
            self._ready.notify_all()
