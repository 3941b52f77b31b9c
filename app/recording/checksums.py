"""`CHECKSUMS.sha256` of a session: one line a file, as `sha256sum -c` reads it."""

import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from app.recording.errors import RecordingError
from app.recording.files import Files, read_small, replace_file
from app.recording.session_lock import LOCK_NAME

NAME = "CHECKSUMS.sha256"
PIECE_BYTES = 4 * 2**20
AT_ONCE_BYTES = 256 * 2**20
"""What is hashed when a session ends; larger files are hashed later, in the background."""
LARGE_BYTES = 32 * 2**20
_LINE = re.compile(r"(?P<digest>[0-9a-f]{64})  (?P<name>.+)")
_LEFT_OUT = {NAME, NAME + ".tmp", LOCK_NAME, "reserve.bin", "ARCHIVED.json"}

OnBytes = Callable[[int], None]
"""Called with the number of bytes hashed since the last call; raise in it to stop."""


def summed_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a session that belong into its checksums, in order of name."""
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if inner.parts[0] == "export" or path.is_symlink() or not path.is_file():
            continue
        # SQLite's helpers come and go with whoever reads.
        if inner.name not in _LEFT_OUT and not inner.name.endswith(("-wal", "-shm", "-journal")):
            yield path


def read_checksums(folder: Path) -> dict[str, str]:
    """Return file name (relative, with `/`) to SHA-256 in hex; empty without a list.

    Raises
    ------
    RecordingError
        The list is damaged.
    """
    path = folder / NAME
    if not path.exists():
        return {}
    try:
        lines = read_small(path).decode().splitlines()
    except (OSError, ValueError) as exc:
        raise RecordingError(f"{path}: cannot be read: {exc}") from exc
    sums: dict[str, str] = {}
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise RecordingError(
                f"{path}: damaged at {line[:80]!r}; compare with the archived copy"
            )
        sums[match["name"]] = match["digest"]
    return sums


def write_checksums(
    folder: Path,
    files: Files,
    *,
    max_bytes: int | None = AT_ONCE_BYTES,
    anew: bool = False,
    changed: Collection[str] = (),
    on_bytes: OnBytes = lambda _n: None,
) -> list[str]:
    """Hash what is not listed yet, smallest first; return the files left for later.

    `max_bytes` bounds the work (None: all of it); `anew` forgets what is listed, `changed` names
    files that are to be hashed again. The list is written after each large file, so an interrupted
    run goes on with the next. Raises OSError as the operating system does.
    """
    sums = {} if anew else read_checksums(folder)
    names = {
        path.relative_to(folder).as_posix(): path.stat().st_size for path in summed_files(folder)
    }
    sums = {name: digest for name, digest in sums.items() if name in names and name not in changed}
    left = []

    def write() -> None:
        text = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
        replace_file(files, folder / NAME, text.encode())

    budget = float("inf") if max_bytes is None else max_bytes
    for name in sorted(names.keys() - sums.keys(), key=lambda name: (names[name], name)):
        if names[name] > budget:
            left.append(name)
            continue
        budget -= names[name]
        sums[name] = sha256_of(folder / name, on_bytes)
        if names[name] > LARGE_BYTES:
            write()
    write()
    return left


def sha256_of(path: Path, on_bytes: OnBytes = lambda _n: None) -> str:
    """Return a file's SHA-256 in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
            on_bytes(len(piece))
            # Nobody reads it soon, and hours of it would push all else out of memory.
            os.posix_fadvise(file.fileno(), 0, file.tell(), os.POSIX_FADV_DONTNEED)
    return digest.hexdigest()


def verify(folder: Path, on_bytes: OnBytes = lambda _n: None) -> list[str]:
    """Return what is wrong with the files listed, one sentence each; empty: nothing."""
    wrong = []
    for name, digest in read_checksums(folder).items():
        path = folder / name
        if not path.is_file():
            wrong.append(f"{name}: missing")
        elif sha256_of(path, on_bytes) != digest:
            wrong.append(f"{name}: differs from what was recorded")
    return wrong
