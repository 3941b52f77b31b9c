"""`log.jsonl`: what the program had to say, one JSON object a line, in files of bounded size."""

import datetime as dt
import json
import logging
from contextlib import suppress
from pathlib import Path

from app.core.clock import ClockNs, monotonic_ns
from app.core.inbox import Inbox, Overflow
from app.core.worker import OnFailure, Worker
from app.recording.files import DiskFiles, Files, RecordFile, write_all

NAME = "log.jsonl"
MAX_BYTES = 16 * 2**20
N_KEPT = 10
"""Older ones beside the present one: `log.1.jsonl` is the newest of them."""
CAPACITY = 10_000


class SessionLog(Worker):
    """Writes the log. Whoever logs never waits for the disk: lines beyond ten thousand are counted.

    `handler` is what the program's entry point adds to its loggers. A disk that refuses costs
    lines, which are counted too, and nothing else.
    """

    def __init__(
        self,
        folder: Path,
        *,
        on_failure: OnFailure,
        files: Files | None = None,
        max_bytes: int = MAX_BYTES,
        clock_ns: ClockNs = monotonic_ns,
    ) -> None:
        super().__init__("session log", on_failure)
        self._folder = folder
        self._files = files or DiskFiles()
        self._max_bytes = max_bytes
        self._inbox: Inbox[bytes] = Inbox(self.name, CAPACITY, Overflow.DROP_OLDEST)
        self.handler: logging.Handler = _Handler(self._inbox, clock_ns)
        self._file: RecordFile | None = None
        self._n_unwritten = 0

    @property
    def n_lost(self) -> int:
        """Get how many lines were not written."""
        return self._inbox.n_dropped + self._n_unwritten

    def step(self) -> None:
        """Write what has come."""
        lines = self._inbox.take_all(0.1)
        if lines:
            self._write(lines)

    def finish(self) -> None:
        """Write what still waits, and how much was lost."""
        lines = self._inbox.take_all(0.0)
        if self.n_lost:
            lines.append(json.dumps({"lines_lost": self.n_lost}).encode() + b"\n")
        if lines:
            self._write(lines)
        if self._file is not None:
            self._file.close()

    def _write(self, lines: list[bytes]) -> None:
        try:
            if self._file is not None and self._file.size() >= self._max_bytes:
                self._rotate()
            if self._file is None:
                self._file = self._files.create(self._folder / NAME)
            write_all(self._file, b"".join(lines))
        except OSError:
            # To log that the log cannot be written would come back here.
            self._n_unwritten += len(lines)

    def _rotate(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._files.remove(self._folder / f"log.{N_KEPT}.jsonl")
        for number in range(N_KEPT - 1, -1, -1):
            name = f"log.{number}.jsonl" if number else NAME
            with suppress(FileNotFoundError):
                self._files.rename(self._folder / name, self._folder / f"log.{number + 1}.jsonl")


class _Handler(logging.Handler):
    def __init__(self, inbox: Inbox[bytes], clock_ns: ClockNs) -> None:
        super().__init__(logging.INFO)
        self._inbox = inbox
        self._clock_ns = clock_ns
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Hand over one record as a line of JSON."""
        said: dict[str, object] = {
            "utc": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat("T", "milliseconds"),
            "monotonic_ns": self._clock_ns(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "thread": record.threadName,
            "message": record.getMessage(),
        }
        if record.exc_info:
            said["exception"] = self._formatter.formatException(record.exc_info)
        self._inbox.put(json.dumps(said, default=str).encode() + b"\n", wakes=False)
