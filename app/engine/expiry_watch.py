"""Warns of certificates that end soon: at the start of an engine, and then once a day."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from app.console.status_text import certificate_lines
from app.core.clock import ClockNs

log = logging.getLogger(__name__)

INTERVAL_NS = 24 * 3600 * 1_000_000_000


class ExpiryWatch:
    """An engine runs for weeks: nobody may look at `check` or `status` before a key is over.

    What it warns of stands in the log, in the record, and on every console.
    """

    def __init__(self, ends: Callable[[], Mapping[str, Any]], clock_ns: ClockNs) -> None:
        """Take what returns `certificate_days_left` and `links` as status has them."""
        self._ends = ends
        self._clock_ns = clock_ns
        self._next_ns: int | None = None

    def look(self) -> None:
        """Warn, unless that was less than a day ago. One thread at a time calls it."""
        now_ns = self._clock_ns()
        if self._next_ns is not None and now_ns < self._next_ns:
            return
        self._next_ns = now_ns + INTERVAL_NS
        for sentence in certificate_lines(self._ends()):
            log.warning("%s", sentence)
