"""What somebody holds who must not go on before his rows are committed."""

import threading
import time
from collections.abc import Callable

CommitNow = Callable[["CommitTicket", float], None]
"""Commits what the ticket stands for on the caller's thread, if it can within so many seconds."""


class CommitTicket:
    """Somebody's wait for the commit of his rows. He commits them himself if he can."""

    __slots__ = ("_commit_now", "_is_committed", "_is_settled")

    def __init__(self, commit_now: CommitNow | None = None) -> None:
        self._is_settled = threading.Event()
        self._is_committed = False
        self._commit_now = commit_now

    @property
    def is_settled(self) -> bool:
        """Say whether it is known what became of the rows."""
        return self._is_settled.is_set()

    def settle(self, *, is_committed: bool) -> None:
        """Say what became of the rows; the event log calls this, once."""
        self._is_committed = is_committed
        self._is_settled.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait; return whether the rows are committed. False: they are not, or not yet."""
        deadline_s = time.monotonic() + timeout_s
        if self._commit_now is not None and not self.is_settled:
            self._commit_now(self, timeout_s)
        self._is_settled.wait(max(0.0, deadline_s - time.monotonic()))
        return self._is_committed
