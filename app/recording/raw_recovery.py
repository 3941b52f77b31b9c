"""One raw recording folder after a crash: whole frames, complete arrays, its proper name.

Only cuts what is torn and completes what is short; every sample that reached the disk stays.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.recording.files import Files, RecordFile, write_all
from app.recording.npy_file import HEADER_BYTES, npy_header

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


def recover_raw(folder: Path, first_sample: int | None, files: Files) -> list[str]:
    """Repair one folder; return what was done, one sentence each.

    `first_sample` is what the event log says, for a recording whose own word is lost.

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
    done += _same_length(
        events / stream.folder_name / "TTL",
        {"sample_numbers": "<i8", "timestamps": "<f8", "full_words": "<u8", "states": "<i2"},
        files,
        multiple=2,
    )
    done += _same_length(
        events / "MessageCenter",
        {"sample_numbers": "<i8", "timestamps": "<f8", "text": "|S512"},
        files,
    )
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
        n_in_header = _rows_in_header(file, descr)
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


def _same_length(
    folder: Path, descriptions: dict[str, str], files: Files, multiple: int = 1
) -> list[str]:
    """Let the headers of arrays that belong together count the rows that all of them have."""
    opened = {name: files.open(folder / f"{name}.npy") for name in descriptions}
    try:
        there = {
            name: max(0, (file.size() - HEADER_BYTES) // np.dtype(descriptions[name]).itemsize)
            for name, file in opened.items()
        }
        counted = {name: _rows_in_header(file, descriptions[name]) for name, file in opened.items()}
        n_rows = min(there.values()) // multiple * multiple
        if set(counted.values()) == {n_rows}:
            return []
        for name, file in opened.items():
            header = npy_header(descriptions[name], n_rows)
            if file.size() < HEADER_BYTES:
                file.truncate(0)
                write_all(file, header)
            else:
                file.write_at(header, 0)
            file.sync_data()
    finally:
        for file in opened.values():
            file.close()
    return [f"{_short(folder)}: headers counted {sorted(set(counted.values()))}, now {n_rows}"]


def _rows_in_header(file: RecordFile, descr: str) -> int:
    """Return what the header counts; -1 if it is not one of ours."""
    header = file.read_at(HEADER_BYTES, 0)
    digits = header.partition(b"'shape': (")[2].partition(b",")[0]
    n_rows = int(digits) if digits.isdigit() and len(digits) < 19 else -1
    return n_rows if header == npy_header(descr, max(0, n_rows)) else -1


def _short(path: Path) -> str:
    return "/".join(path.parts[-2:])
