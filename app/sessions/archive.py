"""A checksummed copy of a session in another place, verified by reading it back, then marked."""

import datetime as dt
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.recording.checksums import read_checksums, sha256_of, verify, write_checksums
from app.recording.errors import RecordingError
from app.recording.files import DiskFiles, replace_file
from app.recording.session import read_info
from app.recording.session_lock import writer_of

MARK = "ARCHIVED.json"
PIECE_BYTES = 4 * 2**20

OnBytes = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Archived:
    """What was done."""

    target: Path
    n_files: int
    n_bytes: int


def archive(session: Path, root: Path, on_bytes: OnBytes = lambda _n: None) -> Archived:
    """Copy a session below `root`, verify the copy and mark the session as archived.

    Nothing is deleted. Files that are there already and have the right checksum are not copied
    again, so an interrupted copy goes on.

    Raises
    ------
    RecordingError
        The session is being written, needs recovery, or does not match its own checksums; the copy
        does not match; the disk refuses.
    """
    writer = writer_of(session)
    if writer is not None:
        raise RecordingError(f"{session}: process {writer} is writing it; archive it afterwards")
    if read_info(session).state == "recording":
        raise RecordingError(f"{session}: cut off by a crash; run `spikebridge recover` first")
    target = root / session.name
    try:
        write_checksums(session, DiskFiles(), max_bytes=None, on_bytes=on_bytes)
        _must_match(session, on_bytes)
        n_bytes = _copy_all(session, target, on_bytes)
        _must_match(target, on_bytes)
        sums = read_checksums(target)
        mark = {
            "target": str(target.resolve()),
            "utc": dt.datetime.now(dt.UTC).isoformat("T", "seconds"),
            "n_files": len(sums),
            "checksums_sha256": sha256_of(target / "CHECKSUMS.sha256"),
        }
        text = json.dumps(mark, indent=1).encode() + b"\n"
        replace_file(DiskFiles(), session / MARK, text)
    except OSError as exc:
        raise RecordingError(f"{target}: archiving failed: {exc}; start it again to go on") from exc
    return Archived(target, len(sums), n_bytes)


def _must_match(folder: Path, on_bytes: OnBytes) -> None:
    wrong = verify(folder, on_bytes)
    if wrong:
        raise RecordingError(f"{folder}: {'; '.join(wrong[:5])}; nothing was marked as archived")


def _copy_all(session: Path, target: Path, on_bytes: OnBytes) -> int:
    n_bytes = 0
    for name, digest in read_checksums(session).items():
        source, copy = session / name, target / name
        n_bytes += source.stat().st_size
        if copy.is_file() and sha256_of(copy) == digest:
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        part = copy.with_name(copy.name + ".part")
        with source.open("rb") as reader, part.open("wb") as writer:
            while piece := reader.read(PIECE_BYTES):
                writer.write(piece)
                on_bytes(len(piece))
            writer.flush()
            os.fsync(writer.fileno())
        shutil.copystat(source, part)
        part.replace(copy)
    listed = (session / "CHECKSUMS.sha256").read_bytes()
    replace_file(DiskFiles(), target / "CHECKSUMS.sha256", listed)
    return n_bytes
