"""The one seam between the recorder and the file system, so that tests can make a disk fail.

SQLite does its own file operations; its faults are injected through a connection (`EventStore`).
"""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

MAX_SMALL_BYTES = 32 * 2**20
"""A description of 100,000 channels has less."""
MAX_PIECES = 512
"""POSIX lets one call take 1024 at most (IOV_MAX)."""


class RecordFile(Protocol):
    """An open file with one writer; `sync_data` and `size` may be called from another thread.

    All raise OSError as the operating system does.
    """

    path: Path

    def append(self, data: bytes | memoryview) -> int:
        """Write at the end; return how many bytes were taken: fewer means a full disk."""

    def append_all(self, pieces: Sequence[memoryview]) -> int:
        """Write pieces at the end, one after the other; return how many bytes were taken."""

    def write_at(self, data: bytes, offset: int) -> int:
        """Overwrite in place; return how many bytes were taken."""

    def read_at(self, n_bytes: int, offset: int) -> bytes:
        """Read up to `n_bytes`."""

    def truncate(self, n_bytes: int) -> None:
        """Cut to `n_bytes`; the next `append` goes there."""

    def size(self) -> int:
        """Return the length in bytes that the operating system knows."""

    def sync_data(self) -> None:
        """Wait until what was written is on the disk. After an error it may never get there."""

    def forget_cached(self, n_bytes: int) -> None:
        """Let the operating system's cache forget the first `n_bytes`, which are on the disk."""

    def close(self) -> None:
        """Close; once."""


class Files(Protocol):
    """What the recorder asks of a file system; raises OSError as the operating system does."""

    def create(self, path: Path) -> RecordFile:
        """Create a file that does not exist yet."""

    def open(self, path: Path) -> RecordFile:
        """Open an existing file, to append at its end."""

    def make_folder(self, path: Path) -> None:
        """Create a folder that does not exist yet, in one that does."""

    def sync_folder(self, path: Path) -> None:
        """Wait until the folder's entries are on the disk."""

    def rename(self, source: Path, target: Path) -> None:
        """Give a file or folder its name, in one step."""

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there."""

    def allocate(self, path: Path, n_bytes: int) -> None:
        """Create a file that really occupies `n_bytes`."""

    def free_bytes(self, folder: Path) -> int:
        """Return how many bytes may still be written there."""


class DiskFile:
    """A file of the operating system.

    Not opened with O_APPEND: Linux appends even what `pwrite` should have put elsewhere (pwrite(2),
    BUGS).
    """

    def __init__(self, path: Path, flags: int) -> None:
        self.path = path
        self._descriptor = os.open(path, flags | os.O_RDWR | os.O_CLOEXEC, 0o644)
        os.lseek(self._descriptor, 0, os.SEEK_END)

    def append(self, data: bytes | memoryview) -> int:
        """Write at the end; see `RecordFile`."""
        return os.write(self._descriptor, data)

    def append_all(self, pieces: Sequence[memoryview]) -> int:
        """Write pieces at the end; see `RecordFile`."""
        n_taken = 0
        for first in range(0, len(pieces), MAX_PIECES):
            some = pieces[first : first + MAX_PIECES]
            n_now = os.writev(self._descriptor, some)
            n_taken += n_now
            if n_now < sum(map(len, some)):
                break
        return n_taken

    def write_at(self, data: bytes, offset: int) -> int:
        """Overwrite in place; see `RecordFile`."""
        return os.pwrite(self._descriptor, data, offset)

    def read_at(self, n_bytes: int, offset: int) -> bytes:
        """Read up to `n_bytes`; see `RecordFile`."""
        return os.pread(self._descriptor, n_bytes, offset)

    def truncate(self, n_bytes: int) -> None:
        """Cut to `n_bytes`; see `RecordFile`."""
        os.ftruncate(self._descriptor, n_bytes)
        os.lseek(self._descriptor, n_bytes, os.SEEK_SET)

    def size(self) -> int:
        """Return the length in bytes; see `RecordFile`."""
        return os.fstat(self._descriptor).st_size

    def sync_data(self) -> None:
        """Wait for the disk; see `RecordFile`."""
        os.fdatasync(self._descriptor)

    def forget_cached(self, n_bytes: int) -> None:
        """Let the cache forget what is on the disk; see `RecordFile`."""
        os.posix_fadvise(self._descriptor, 0, n_bytes, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Close; see `RecordFile`."""
        os.close(self._descriptor)


class DiskFiles:
    """The operating system's own file system (POSIX)."""

    def create(self, path: Path) -> RecordFile:
        """Create a file; see `Files`."""
        return DiskFile(path, os.O_CREAT | os.O_EXCL)

    def open(self, path: Path) -> RecordFile:
        """Open an existing file; see `Files`."""
        return DiskFile(path, 0)

    def make_folder(self, path: Path) -> None:
        """Create a folder; see `Files`."""
        path.mkdir()

    def sync_folder(self, path: Path) -> None:
        """Wait for the folder's entries; see `Files`."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Rename in one step; see `Files`."""
        source.rename(target)

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there; see `Files`."""
        path.unlink(missing_ok=True)

    def allocate(self, path: Path, n_bytes: int) -> None:
        """Occupy `n_bytes`; see `Files`."""
        file = DiskFile(path, os.O_CREAT | os.O_EXCL)
        try:
            os.posix_fallocate(file._descriptor, 0, n_bytes)  # noqa: SLF001 - own class
        finally:
            file.close()

    def free_bytes(self, folder: Path) -> int:
        """Return what may still be written; see `Files`."""
        volume = os.statvfs(folder)
        return volume.f_bavail * volume.f_frsize


def write_all(file: RecordFile, data: bytes) -> None:
    """Append all of `data`.

    Raises
    ------
    OSError
        As the operating system does; ENOSPC if only a part was taken, which then stays in the file.
    """
    n_taken = file.append(data)
    if n_taken < len(data):
        raise short_write(file.path, n_taken, len(data))


def short_write(path: Path, n_taken: int, n_given: int) -> OSError:
    """Return the error that a short write is: the disk is full, and the next write would say so."""
    return OSError(errno.ENOSPC, f"only {n_taken} of {n_given} bytes were written", str(path))


def write_file(files: Files, path: Path, data: bytes) -> None:
    """Create a file with this content and wait until it is on the disk."""
    file = files.create(path)
    try:
        write_all(file, data)
        file.sync_data()
    finally:
        file.close()


def replace_file(files: Files, path: Path, data: bytes) -> None:
    """Give a file new content in one step: after a crash it holds the old or the new one, whole."""
    temporary = path.with_name(path.name + ".tmp")
    files.remove(temporary)
    write_file(files, temporary, data)
    files.rename(temporary, path)
    files.sync_folder(path.parent)


def make_folders(files: Files, path: Path) -> None:
    """Create a folder and what is missing above it, each entry on the disk before the next."""
    missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
    for folder in reversed(missing):
        files.make_folder(folder)
        files.sync_folder(folder.parent)


def read_small(path: Path) -> bytes:
    """Return the bytes of a description; raises OSError, also for what is no small plain file."""
    if not path.is_file() or path.stat().st_size > MAX_SMALL_BYTES:
        raise OSError(errno.EFBIG, f"no file of at most {MAX_SMALL_BYTES} bytes", str(path))
    return path.read_bytes()
