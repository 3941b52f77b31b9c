"""What was left for later when a session ended: sums and checks of large files, many spikes.

Another process does it, at its leisure. After each file the list is written, so that whoever takes
it up again goes on with the next one.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from app.recording.checksums import read_checksums, summed_files, write_checksums
from app.recording.errors import RecordingError
from app.recording.event_store import connect
from app.recording.files import Files, replace_file
from app.recording.reader import SessionReader
from app.recording.recovery import CHECK_LEFT
from app.recording.session import encode_info, read_info, session_folders
from app.recording.session_lock import writer_of
from app.recording.sorting import FOLDER, lacks_sorting, write_sorting

STEPS_BETWEEN_LOOKS = 1_000_000
"""Of SQLite's machine, some milliseconds."""

OnBytes = Callable[[int], None]
"""Called often, with the bytes done since; raise in it to stop."""


@dataclass(frozen=True, slots=True)
class Left:
    """What one session still lacks."""

    folder: Path
    n_files: int
    n_bytes: int
    """Of files that are in no list of checksums."""
    is_unchecked: bool
    """Its event log was too large to be checked when it was recovered."""
    is_unsorted: bool
    """It has more spikes than were sorted when it ended."""


def left_in(folder: Path) -> Left | None:
    """Return what a session lacks; None: nothing, or it is being written, or not yet recovered."""
    try:
        info = read_info(folder)
        if info.state == "recording" or writer_of(folder) is not None:
            return None
        listed = read_checksums(folder)
        sizes = [
            path.stat().st_size
            for path in summed_files(folder)
            if path.relative_to(folder).as_posix() not in listed
        ]
    except (OSError, RecordingError):
        return None  # its own words are said by recovery and by `info`
    is_unchecked, is_unsorted = CHECK_LEFT in info.recovered, lacks_sorting(folder)
    if not (sizes or is_unchecked or is_unsorted):
        return None
    return Left(folder, len(sizes), sum(sizes), is_unchecked, is_unsorted)


def all_left(root: Path, site: str | None = None) -> Iterator[Left]:
    """Yield what the sessions below a folder (of one site) lack, oldest first."""
    for folder in session_folders(root, site):
        left = left_in(folder)
        if left is not None:
            yield left


def complete(left: Left, files: Files, on_bytes: OnBytes = lambda _n: None) -> None:
    """Do what one session lacks.

    Raises
    ------
    RecordingError
        Its list or its description is damaged.
    OSError
        The disk refuses.
    """
    changed = set()
    if left.is_unchecked:
        verdict = _verdict_on(left.folder / "events.sqlite", on_bytes)
        info = read_info(left.folder)
        said = tuple(
            f"events.sqlite: large; checked later: {verdict}"
            if sentence == CHECK_LEFT
            else sentence
            for sentence in info.recovered
        )
        told = msgspec.structs.replace(info, recovered=said)
        replace_file(files, left.folder / "session.json", encode_info(told))
        changed.add("session.json")
    if left.is_unsorted:
        with SessionReader(left.folder) as session:
            write_sorting(session, left.folder / FOLDER, files)
    write_checksums(left.folder, files, max_bytes=None, changed=changed, on_bytes=on_bytes)


def _verdict_on(path: Path, on_bytes: OnBytes) -> str:
    stop: list[BaseException] = []

    def look() -> int:
        try:
            on_bytes(0)
        except BaseException as exc:  # noqa: BLE001 - taken through SQLite, which knows no exceptions
            stop.append(exc)
        return len(stop)

    try:
        with closing(connect(path)) as database:
            database.set_progress_handler(look, STEPS_BETWEEN_LOOKS)
            return str(database.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except sqlite3.Error as exc:
        if stop:
            raise stop[0] from exc
        return f"DAMAGED: {exc}; keep a copy"
