"""Who writes a session: a lock that the kernel frees with the process, however that ends."""

import fcntl
import os
from pathlib import Path

from app.core.lock_holder import holder_of

LOCK_NAME = "in-use.lock"


class SessionLock:
    """An exclusive hold on a session folder. A crash leaves the file, never the lock."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go; idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def writer_of(folder: Path) -> str | None:
    """Return the process that writes a session, or None if nobody does."""
    path = folder / LOCK_NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    return holder_of(descriptor)
