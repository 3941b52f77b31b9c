"""Sessions that a crash left open: made whole, checked, and marked, without losing anything."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from app.core.spikes import EventKind
from app.recording.checksums import write_checksums
from app.recording.errors import RecordingError
from app.recording.event_recovery import Stimulus
from app.recording.event_store import connect
from app.recording.files import DiskFiles, Files, replace_file
from app.recording.raw_recovery import raw_folders, recover_raw
from app.recording.schema import check_version
from app.recording.session import encode_info, read_info, session_folders
from app.recording.session_lock import SessionLock, writer_of
from app.recording.sorting import sort_at_once

CHECK_AT_ONCE_BYTES = 256 * 2**20
"""A larger event log is checked later, in the background."""
BEFORE_START_NS = 3600 * 1_000_000_000
"""A recording begins with what was remembered before."""
CHECK_LEFT = "events.sqlite: large; its check is left for later"


@dataclass(slots=True)
class Recovery:
    """What was found in one session and done about it."""

    folder: Path
    state: str = ""
    """"whole" (nothing to do), "recovered", "in use" or "damaged"."""
    said: list[str] = field(default_factory=list)


def recover_all(root: Path, site: str | None = None, files: Files | None = None) -> list[Recovery]:
    """Recover every session below `root` that needs it, oldest first."""
    return [recover_session(folder, files) for folder in session_folders(root, site)]


def recover_session(folder: Path, files: Files | None = None) -> Recovery:
    """Make one session whole. Doing it again changes nothing; nothing is ever deleted.

    What cannot be made whole is said, and the session then stays as it is, to be tried again.
    """
    files = files or DiskFiles()
    recovery = Recovery(folder)
    writer = writer_of(folder)
    if writer is not None:
        recovery.state, recovery.said = "in use", [f"process {writer} is writing it"]
        return recovery
    try:
        if read_info(folder).state != "recording":
            recovery.state = "whole"
            return recovery
        lock = SessionLock(folder)
    except BlockingIOError:
        recovery.state, recovery.said = "in use", ["another process recovers it"]
        return recovery
    except (RecordingError, OSError) as exc:
        recovery.state, recovery.said = "damaged", [str(exc)]
        return recovery
    try:
        _recover(recovery, files)
    finally:
        lock.release()
    return recovery


def _recover(recovery: Recovery, files: Files) -> None:
    folder, said = recovery.folder, recovery.said
    is_well = True
    told = _Told()
    try:
        told = _recover_events(folder, said)
    except RecordingError as exc:
        said.append(str(exc))
        is_well = False
    for raw in raw_folders(folder):
        inner = raw.relative_to(folder).as_posix()
        try:
            stimuli = () if inner in told.closed else told.stimuli
            said += recover_raw(raw, told.starts.get(inner), files, stimuli)
        except (OSError, ValueError) as exc:
            said.append(f"{inner}: {exc}")
            is_well = False
    recovery.state = "recovered" if is_well else "damaged"
    if not is_well:
        return
    try:
        _give_back_reserve(folder, said, files)
        info = read_info(folder)
        if not sort_at_once(folder, files):
            said.append("sorting: more spikes than can be sorted at once; left for later")
        marked = msgspec.structs.replace(info, state="recovered", recovered=tuple(said))
        replace_file(files, folder / "session.json", encode_info(marked))
        left = write_checksums(folder, files, anew=True)
    except (OSError, RecordingError) as exc:
        said.append(f"not marked as recovered: {exc}")
        recovery.state = "damaged"
        return
    if left:
        said.append(f"checksums of {len(left)} large files are left for later")


@dataclass(frozen=True, slots=True)
class _Told:
    """What the event log knows of raw recordings."""

    starts: dict[str, int] = field(default_factory=dict)
    """First sample by folder."""
    closed: frozenset[str] = frozenset()
    """Folders that were whole before the crash."""
    stimuli: Sequence[Stimulus] = ()
    """From shortly before the newest recording on; by the counter that ran at the end."""


def _recover_events(folder: Path, said: list[str]) -> _Told:
    """Empty the write-ahead log, check the database; return what it tells of raw recordings."""
    path = folder / "events.sqlite"
    if not path.exists():
        said.append("events.sqlite: not there; the engine ended before it could be made")
        return _Told()
    wal = path.with_name(path.name + "-wal")
    n_wal = wal.stat().st_size if wal.exists() else 0
    try:
        with closing(connect(path)) as database:
            check_version(database, path)
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            if path.stat().st_size <= CHECK_AT_ONCE_BYTES:
                verdict = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
                if verdict != "ok":
                    raise RecordingError(f"{path}: {verdict}; keep a copy before anything else")
            else:
                said.append(CHECK_LEFT)
            told = _told(database)
            with suppress(sqlite3.OperationalError):
                database.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as exc:
        raise RecordingError(f"{path}: cannot be read: {exc}; keep a copy") from exc
    if n_wal:
        said.append(f"events.sqlite: {n_wal} bytes of its write-ahead log moved into it")
    return told


def _told(database: sqlite3.Connection) -> _Told:
    starts = database.execute(
        "SELECT folder, sample_index FROM raw_recordings WHERE event = 'started'"
    ).fetchall()
    ends = database.execute(
        "SELECT folder FROM raw_recordings WHERE event != 'started' "
        "AND detail NOT LIKE '%closing failed%'"
    ).fetchall()
    stimuli = database.execute(
        "SELECT sample_index, neuron FROM spikes WHERE kind = ? AND origin_seq = 0 AND time_ns > "
        "max((SELECT coalesce(max(time_ns), 0) FROM raw_recordings WHERE event = 'started') - ?,"
        " (SELECT coalesce(max(time_ns), 0) FROM gaps WHERE n_lost = -1)) ORDER BY sample_index",
        (EventKind.PSP_DELIVERED, BEFORE_START_NS),
    ).fetchall()
    return _Told(
        dict(starts),
        frozenset(folder for (folder,) in ends),
        [Stimulus(sample_index, neuron) for sample_index, neuron in stimuli],
    )


def _give_back_reserve(folder: Path, said: list[str], files: Files) -> None:
    """Free the reserved room, which holds no data; the empty file stays."""
    path = folder / "reserve.bin"
    if not path.exists() or path.stat().st_size == 0:
        return
    reserve = files.open(path)
    try:
        n_bytes = reserve.size()
        reserve.truncate(0)
    finally:
        reserve.close()
    said.append(f"reserve.bin: {n_bytes} bytes of reserved room given back")
