"""What somebody holds who must not go on before his rows are committed."""

import threading


class CommitTicket:
    """Somebody's wait for the commit of his rows."""

    __slots__ = ("_is_committed", "_is_settled")

    def __init__(self) -> None:
        self._is_settled = threading.Event()
        self._is_committed = False

    def settle(self, *, is_committed: bool) -> None:
        """Say what became of the rows; the event log calls this, once."""
        self._is_committed = is_committed
        self._is_settled.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait; return whether the rows are committed. False: they are not, or not yet."""
        self._is_settled.wait(timeout_s)
        return self._is_committed
