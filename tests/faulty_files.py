"""A disk that fails on demand, under the recorder's file seam. No tests in here."""

import errno
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from app.recording.files import DiskFile, DiskFiles, RecordFile

DEADLINE_S = 5.0


def eventually(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "state not reached in time"
        time.sleep(0.002)


class Faults:
    """What is wrong with the disk at the moment."""

    def __init__(self) -> None:
        self.room_bytes: int | None = None
        """For appends; None: enough."""
        self.sync_errno = 0
        self.create_errno = 0
        self.is_lying = False
        """Reads give something else than was written."""
        self.writes_until_eio: int | None = None
        self.syncs_until_eio: int | None = None
        """So many go well, all later ones fail; None: all go well."""
        self.is_transient = False
        """Only one fails, the next goes well again."""

    def must_fail(self, kind: str) -> bool:
        """Count one write or sync; say whether it fails."""
        left = getattr(self, f"{kind}s_until_eio")
        if left is None:
            return False
        setattr(self, f"{kind}s_until_eio", max(0, left - 1))
        if left == 0 and self.is_transient:
            setattr(self, f"{kind}s_until_eio", None)
        return bool(left == 0)


class FaultyFile(DiskFile):
    def __init__(self, path: Path, flags: int, faults: Faults) -> None:
        super().__init__(path, flags)
        self.faults = faults

    def append(self, data: bytes | memoryview) -> int:
        if self.faults.must_fail("write"):
            super().append(data[: len(data) // 2])  # what had reached the disk before the error
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if self.faults.room_bytes is None:
            return super().append(data)
        n_taken = min(len(data), self.faults.room_bytes)
        if n_taken == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.faults.room_bytes -= n_taken
        return super().append(data[:n_taken])

    def append_all(self, pieces: Sequence[memoryview]) -> int:
        return self.append(b"".join(pieces))

    def write_at(self, data: bytes, offset: int) -> int:
        if self.faults.must_fail("write"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().write_at(data, offset)

    def sync_data(self) -> None:
        if self.faults.must_fail("sync"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if self.faults.sync_errno and self.path.suffix != ".tmp":
            raise OSError(self.faults.sync_errno, os.strerror(self.faults.sync_errno))
        super().sync_data()

    def read_at(self, n_bytes: int, offset: int) -> bytes:
        data = super().read_at(n_bytes, offset)
        return bytes(len(data)) if self.faults.is_lying else data


class FaultyFiles(DiskFiles):
    def __init__(self, faults: Faults) -> None:
        self.faults = faults

    def create(self, path: Path) -> RecordFile:
        if self.faults.create_errno:
            raise OSError(self.faults.create_errno, os.strerror(self.faults.create_errno))
        return FaultyFile(path, os.O_CREAT | os.O_EXCL, self.faults)

    def open(self, path: Path) -> RecordFile:
        return FaultyFile(path, 0, self.faults)

    def sync_folder(self, path: Path) -> None:
        if self.faults.must_fail("sync"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync_folder(path)
