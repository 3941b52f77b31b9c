"""`spikebridge engine` on a disk that stands still from SIGUSR1 to SIGUSR2. Takes its arguments.

Whatever the recorder asks of the disk through its seams waits meanwhile: writes, syncs, names, and
SQLite's transactions.
"""

import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import app.run_engine
from app.cli import main
from app.recording.disk import Disk
from app.recording.files import DiskFile, DiskFiles, RecordFile

LIMIT_S = 30.0
WAITING_STATEMENTS = ("BEGIN", "COMMIT", "PRAGMA wal_checkpoint")


class Stall:
    """Whether the disk answers."""

    def __init__(self) -> None:
        self._answers = threading.Event()
        self._answers.set()

    def begin(self, *_: object) -> None:
        self._answers.clear()

    def end(self, *_: object) -> None:
        self._answers.set()

    def wait(self) -> None:
        self._answers.wait(LIMIT_S)


class SlowFile(DiskFile):
    def __init__(self, path: Path, flags: int, stall: Stall) -> None:
        super().__init__(path, flags)
        self._stall = stall

    def append(self, data: bytes | memoryview) -> int:
        self._stall.wait()
        return super().append(data)

    def append_all(self, pieces: Sequence[memoryview]) -> int:
        self._stall.wait()
        return super().append_all(pieces)

    def write_at(self, data: bytes, offset: int) -> int:
        self._stall.wait()
        return super().write_at(data, offset)

    def sync_data(self) -> None:
        self._stall.wait()
        super().sync_data()


class SlowFiles(DiskFiles):
    def __init__(self, stall: Stall) -> None:
        self._stall = stall

    def create(self, path: Path) -> RecordFile:
        self._stall.wait()
        return SlowFile(path, os.O_CREAT | os.O_EXCL, self._stall)

    def open(self, path: Path) -> RecordFile:
        self._stall.wait()
        return SlowFile(path, 0, self._stall)


def slow_database(stall: Stall, path: Path) -> sqlite3.Connection:
    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *args: object) -> sqlite3.Cursor:  # type: ignore[override]
            if sql.startswith(WAITING_STATEMENTS):
                stall.wait()
            return super().execute(sql, *args)  # type: ignore[arg-type]

    return sqlite3.connect(path, timeout=1.0, isolation_level=None, factory=Connection)


if __name__ == "__main__":
    stall = Stall()
    signal.signal(signal.SIGUSR1, stall.begin)
    signal.signal(signal.SIGUSR2, stall.end)
    disk = Disk(SlowFiles(stall), partial(slow_database, stall))
    app.run_engine.run_engine = partial(app.run_engine.run_engine, disk=disk)
    sys.exit(main(["engine", *sys.argv[1:]]))
