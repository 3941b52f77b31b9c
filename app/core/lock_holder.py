"""Who holds a lock file. The kernel frees the lock with its process; the file tells whose it is."""

import fcntl
import os

ID_BYTES = 32
"""Room for a process id in text."""


def told_by(descriptor: int) -> str:
    """Return the process id that a lock file's holder wrote into it, or "unknown"."""
    return os.pread(descriptor, ID_BYTES, 0).decode("ascii", "replace").strip() or "unknown"


def holder_of(descriptor: int) -> str | None:
    """Return who holds an open lock file, or None if nobody does. Closes it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return told_by(descriptor)
    finally:
        os.close(descriptor)
    return None
