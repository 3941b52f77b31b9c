"""Emergency stops on their way through the sites: each is obeyed and passed on once."""

import threading
from collections.abc import Callable


class StopRelay:
    """Knows every emergency stop that this engine has heard of, by its mark. Any thread may call.

    Sites form any graph: a stop comes back to where it was pressed, and may come twice. Its mark,
    a random number, tells a stop that is known from one that is new.
    """

    def __init__(self, new_mark: Callable[[], int]) -> None:
        self._new_mark = new_mark
        self._known: set[int] = set()
        self._newest = 0
        self._lock = threading.Lock()

    @property
    def newest(self) -> int:
        """Get the mark that our heartbeats carry; 0: no stop yet."""
        return self._newest

    def press(self) -> None:
        """Note a stop that was pressed here."""
        self.hear(self._new_mark())

    def hear(self, mark: int) -> bool:
        """Take a mark; return whether it is a stop not known here, which must be obeyed."""
        with self._lock:
            if mark in self._known:
                return False
            self._known.add(mark)
            self._newest = mark
            return True
