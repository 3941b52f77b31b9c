"""What the program itself has to say, for consoles and for the record."""

import logging
from collections.abc import Callable
from typing import Literal

from app.console.happenings import LogLine
from app.console.live_feed import LiveFeed
from app.core.clock import ClockNs
from app.recording.rows import LogRow


class ProgramLogHandler(logging.Handler):
    """Shows consoles the program's warnings and errors, and puts them into the event log.

    `append` must not wait. What else consoles show as lines are rows of other tables, and all that
    the program says stands in the session's `log.jsonl`.
    """

    def __init__(self, feed: LiveFeed, append: Callable[[LogRow], None], clock_ns: ClockNs) -> None:
        super().__init__(logging.WARNING)
        self._feed = feed
        self._append = append
        self._clock_ns = clock_ns

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record; what the engine itself warns of is noted in the record as well."""
        if record.name == "app.engine.engine" and record.levelno < logging.ERROR:
            return
        time_ns = self._clock_ns()
        level: Literal["warning", "error"] = "warning"
        if record.levelno >= logging.ERROR:
            level = "error"
        source, text = record.name.removeprefix("app."), record.getMessage()
        self._append(LogRow(time_ns, level, source, text))
        self._feed.happened(LogLine(time_ns=time_ns, level=level, source=source, text=text))
