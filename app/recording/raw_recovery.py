"""One raw recording folder after a crash: whole frames, complete arrays, its proper name.

Only cuts what is torn and completes what is short; every sample that reached the disk stays.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.recording.event_recovery import Stimulus, recover_event_arrays
from app.recording.files import Files, RecordFile, write_all
from app.recording.npy_file import HEADER_BYTES, npy_header, rows_in_header

DRAFT_PREFIX = ".creating-"
TAIL_ROWS = 4_000_000
"""How far back rows are compared with what they must be: minutes, while a disk loses a second."""
PIECE_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class _Stream:
    folder_name: str
    n_channels: int
    rate_hz: float


def raw_folders(session: Path) -> list[Path]:
    """Return the folders of raw recordings, also those that a crash left without a name."""
    return sorted(
        folder
        for node in session.glob("Record Node *")
        for folder in node.glob("experiment*/*recording*")
        if folder.is_dir() and not folder.is_symlink()
    )


def recover_raw(
    folder: Path, first_sample: int | None, files: Files, stimuli: Iterable[Stimulus] = ()
) -> list[str]:
    """Repair one folder; return what was done, one sentence each.

    `first_sample` and `stimuli` are what the event log says, for what is lost here.

    Raises
    ------
    OSError
        The disk refuses.
    ValueError
        The folder's description is damaged; nothing was changed then.
    """
    done: list[str] = []
    if folder.name.startswith(DRAFT_PREFIX):
        if not any(path.stat().st_size for path in folder.rglob("continuous.dat")):
            return []
        named = folder.with_name(folder.name.removeprefix(DRAFT_PREFIX))
        if named.exists():
            raise ValueError(f"{folder}: its name {named.name} is taken; look at both")
        files.rename(folder, named)
        done.append(f"{named.name}: given its name")
        folder = named
    oebin = folder / "structure.oebin"
    if not oebin.exists():
        if not (folder / "structure.oebin.tmp").exists():
            raise ValueError(f"{folder}: its description never reached the disk")
        files.rename(folder / "structure.oebin.tmp", oebin)
        done.append(f"{folder.name}: description given its name")
    stream = _stream(oebin)
    data = folder / "continuous" / stream.folder_name
    n_samples, sentences = _whole_frames(data / "continuous.dat", stream.n_channels, files)
    done += sentences
    start = _first_sample(data / "sample_numbers.npy", first_sample)
    for name, descr, per_row in (
        ("sample_numbers", "<i8", 0.0),
        ("timestamps", "<f8", stream.rate_hz),
    ):
        done += _complete(data / f"{name}.npy", descr, start, max(1, n_samples), per_row, files)
    events = folder / "events"
    span = start, start + n_samples
    done += recover_event_arrays(events, stream.folder_name, span, stream.rate_hz, stimuli, files)
    for place in (data, events / stream.folder_name / "TTL", events / "MessageCenter", folder):
        files.sync_folder(place)
    return done


def _stream(oebin: Path) -> _Stream:
    try:
        stream = json.loads(oebin.read_bytes())["continuous"][0]
        name, n_channels = str(stream["folder_name"]).strip("/"), len(stream["channels"])
        rate_hz = float(stream["sample_rate"])
    except (ValueError, LookupError, TypeError, RecursionError) as exc:
        raise ValueError(f"{oebin}: description is damaged: {exc!r}") from exc
    if not name or "/" in name or name == ".." or not (n_channels > 0 and rate_hz > 0):
        raise ValueError(f"{oebin}: description makes no sense")
    return _Stream(name, n_channels, rate_hz)


def _whole_frames(path: Path, n_channels: int, files: Files) -> tuple[int, list[str]]:
    frame = 2 * n_channels
    file = files.open(path)
    try:
        n_samples, n_torn = divmod(file.size(), frame)
        if n_torn:
            file.truncate(n_samples * frame)
            file.sync_data()
    finally:
        file.close()
    said = [f"{_short(path)}: a torn frame of {n_torn} bytes cut off"] if n_torn else []
    return n_samples, said


def _first_sample(path: Path, told: int | None) -> int:
    with path.open("rb") as file:
        file.seek(HEADER_BYTES)
        data = file.read(8)
    if len(data) == 8:
        return int.from_bytes(data, "little", signed=True)
    if told is None:
        raise ValueError(f"{path}: number of the first sample is lost")
    return told


def _complete(
    path: Path, descr: str, start: int, n_rows: int, rate_hz: float, files: Files
) -> list[str]:
    """Give an array exactly `n_rows`: sample numbers, or seconds if there is a rate."""

    def expected(first: int, end: int) -> npt.NDArray[np.generic]:
        numbers = np.arange(start + first, start + end, dtype=np.int64)
        return numbers if not rate_hz else numbers / rate_hz

    file = files.open(path)
    try:
        n_there = max(0, (file.size() - HEADER_BYTES) // 8)
        n_good = _n_good(file, np.dtype(descr), min(n_there, n_rows), expected)
        n_in_header = rows_in_header(file.read_at(HEADER_BYTES, 0), descr)
        if n_good == n_rows == n_there == n_in_header:
            return []
        if file.size() < HEADER_BYTES:
            file.truncate(0)
            write_all(file, npy_header(descr, 0))
        else:
            file.write_at(npy_header(descr, min(n_good, n_rows)), 0)
        file.truncate(HEADER_BYTES + 8 * n_good)
        for first in range(n_good, n_rows, PIECE_ROWS):
            write_all(file, expected(first, min(first + PIECE_ROWS, n_rows)).tobytes())
        file.sync_data()
        file.write_at(npy_header(descr, n_rows), 0)
        file.sync_data()
    finally:
        file.close()
    return [f"{_short(path)}: {n_in_header} rows in its header, {n_there} there, now {n_rows}"]


def _n_good(file: RecordFile, dtype: np.dtype[np.generic], n_rows: int, expected) -> int:  # type: ignore[no-untyped-def]
    first = max(0, n_rows - TAIL_ROWS)
    data = file.read_at(8 * (n_rows - first), HEADER_BYTES + 8 * first)
    wrong = np.flatnonzero(np.frombuffer(data, dtype) != expected(first, n_rows))
    return first + int(wrong[0]) if len(wrong) else n_rows


def _short(path: Path) -> str:
    return "/".join(path.parts[-2:])
