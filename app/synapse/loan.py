"""An instrument lent by the worker that owns it to another one, while that one works."""

import logging
import threading

from app.core.worker import Worker

log = logging.getLogger(__name__)

JOIN_LIMIT_S = 2.0


class Loan:
    """One borrower at a time. `offer` from any thread; the rest from the owner's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._borrower: Worker | None = None
        self._has_begun = False

    @property
    def is_lent(self) -> bool:
        """Say whether somebody has the instrument, or is promised it. Any thread."""
        return self._borrower is not None

    @property
    def borrower(self) -> Worker | None:
        """Get who has the instrument or is promised it. Any thread."""
        return self._borrower

    @property
    def name(self) -> str:
        """Get the borrower's name."""
        return "nobody" if self._borrower is None else self._borrower.name

    def offer(self, borrower: Worker) -> bool:
        """Promise the instrument; False: somebody has it."""
        with self._lock:
            if self._borrower is not None:
                return False
            self._borrower, self._has_begun = borrower, False
            return True

    def look(self) -> bool:
        """Start the borrower if it has not been; say whether the instrument is still lent."""
        borrower = self._borrower
        if borrower is None:
            return False
        if not self._has_begun:
            self._has_begun = True
            borrower.start()
            return True
        if borrower.is_alive:
            return True
        self._borrower = None
        return False

    def call_in(self) -> None:
        """Ask for the instrument back and wait for it; a borrower never started never will be."""
        borrower = self._borrower
        if borrower is None or not self._has_begun:
            return
        borrower.request_stop()
        if not borrower.join(JOIN_LIMIT_S):
            log.error("%s did not give its instrument back", borrower.name)
