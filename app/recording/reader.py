"""Reading a session back: tables, spikes as records, raw samples as memory maps. Never writes."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from app.core.spikes import SPIKE_RECORD, SpikeRecords
from app.recording.errors import RecordingError
from app.recording.rows import SpikeRow
from app.recording.schema import TABLES, check_version
from app.recording.session import SessionInfo, read_info, session_folders
from drivers.mea.protocol import StreamFormat

RowT = TypeVar("RowT", bound=NamedTuple)

_SPIKE_COLUMNS = "time_ns, sample_index, neuron, amplitude_uv, age_bound_us, kind, flags, 0"


@dataclass(frozen=True, slots=True, eq=False)
class RawSamples:
    """One recordingN; `samples` is int16 `(n_samples, n_channels)`, mapped, whole frames only."""

    folder: Path
    stream_format: StreamFormat
    first_sample: int
    samples: npt.NDArray[np.int16]


class SessionReader:
    """A session folder opened for reading, also one that is still being written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.info: SessionInfo = read_info(folder)
        self._connection = open_read_only(folder / "events.sqlite")

    def close(self) -> None:
        """Close the event log."""
        self._connection.close()

    def __enter__(self) -> "SessionReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def rows(
        self, row_type: type[RowT], from_ns: int | None = None, to_ns: int | None = None
    ) -> list[RowT]:
        """Return a table's rows in the order of writing, with `from_ns <= time_ns < to_ns`.

        Raises
        ------
        RecordingError
            Times are given for a table without `time_ns`.
        """
        if (from_ns, to_ns) != (None, None) and "time_ns" not in row_type._fields:
            raise RecordingError(f"table {TABLES[row_type]} has no time_ns to select by")
        where, values = _between(from_ns, to_ns)
        found = self._connection.execute(
            f"SELECT * FROM {TABLES[row_type]}{where} ORDER BY rowid", values
        )
        return [_as_row(row_type, values) for values in found]

    def each(self, row_type: type[RowT]) -> Iterator[RowT]:
        """Yield a table's rows in the order of writing, without holding them all."""
        found = self._connection.execute(f"SELECT * FROM {TABLES[row_type]} ORDER BY rowid")
        return (_as_row(row_type, values) for values in found)

    def last_time_ns(self, row_type: type[NamedTuple]) -> int:
        """Return the time of the last row written into a table; 0 if it is empty."""
        found = self._connection.execute(
            f"SELECT time_ns FROM {TABLES[row_type]} ORDER BY rowid DESC LIMIT 1"
        ).fetchone()
        return 0 if found is None else int(found[0])

    def spikes(
        self,
        from_ns: int | None = None,
        to_ns: int | None = None,
        *,
        site: str | None = None,
        neuron: int | None = None,
    ) -> SpikeRecords:
        """Return spikes with `from_ns <= time_ns < to_ns` as records, in order of firing time.

        Times of different sites are on different clocks: name the site, or know what you do.
        """
        where, values = _between(from_ns, to_ns)
        for column, value in (("site", site), ("neuron", neuron)):
            if value is not None:
                where += f"{' AND' if where else ' WHERE'} {column} = ?"
                values.append(value)
        found = self._connection.execute(
            f"SELECT {_SPIKE_COLUMNS} FROM spikes{where} ORDER BY time_ns, rowid", values
        ).fetchall()
        nan = float("nan")
        return np.array(
            [(*r[:3], nan if r[3] is None else r[3], *r[4:]) for r in found], SPIKE_RECORD
        )

    def count(self, row_type: type[NamedTuple]) -> int:
        """Return how many rows a table has."""
        (n_rows,) = self._connection.execute(f"SELECT count(*) FROM {TABLES[row_type]}").fetchone()
        return int(n_rows)

    def integrity(self) -> str:
        """Return SQLite's own verdict on the event log: "ok", or what is wrong."""
        (verdict,) = self._connection.execute("PRAGMA integrity_check").fetchone()
        return str(verdict)

    def raw(self) -> list[RawSamples]:
        """Return every raw recording of the session; see `read_raw`."""
        return [raw for node in sorted(self.folder.glob("Record Node *")) for raw in read_raw(node)]


def open_session(folder: Path) -> SessionReader:
    """Open a session folder for reading; close it, or use it as a context manager.

    Raises
    ------
    RecordingError
        No session, no event log, or another version.
    """
    return SessionReader(folder)


def read_raw(node_folder: Path) -> list[RawSamples]:
    """Return every recordingN under one record node, in the order in which they were written.

    Raises
    ------
    RecordingError
        One of them cannot be read; its path is in the message.
    """
    found = node_folder.glob("experiment*/recording*/structure.oebin")
    return [_read_raw(path) for path in sorted(found, key=_numbers_in)]


def last_seqs(path: Path) -> dict[str, int]:
    """Return, per sender session (hex), the last seq received or declared missing without a break.

    `path` is a session folder or its event log; raises RecordingError if there is none.
    """
    return {session: until for session, _, until in _received(path)}


def last_seqs_of_site(root: Path, site: str, n_newest: int = 20) -> dict[str, int]:
    """Return `last_seqs` over the newest sessions of a site; unreadable ones are left out.

    A restart may have been followed by another before any peer came back, so the newest session
    alone is not enough.
    """
    last: dict[str, int] = {}
    for folder in session_folders(root, site)[-n_newest:]:
        try:
            received = _received(folder)
        except RecordingError:
            # Then its frames are sent again and recorded twice rather than missed.
            continue
        for session, first, until in received:
            known = last.get(session)
            if known is None or first <= known + 1:
                last[session] = max(until, known or 0)
    return last


def _received(path: Path) -> list[tuple[str, int, int]]:
    connection = open_read_only(path / "events.sqlite" if path.is_dir() else path)
    try:
        with _named_errors(path):
            found = connection.execute("SELECT session, from_seq, until_seq FROM received_until")
            return [(str(session), int(first), int(until)) for session, first, until in found]
    finally:
        connection.close()


def open_read_only(path: Path) -> sqlite3.Connection:
    """Return a connection to an event log that cannot write. Raises RecordingError."""
    with _named_errors(path):
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)
    try:
        with _named_errors(path):
            check_version(connection, path)
    except RecordingError:
        connection.close()
        raise
    return connection


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise RecordingError(f"{path}: event log cannot be read: {exc}") from exc


def _between(from_ns: int | None, to_ns: int | None) -> tuple[str, list[int | str]]:
    bounds = [("time_ns >= ?", from_ns), ("time_ns < ?", to_ns)]
    given = [(text, bound) for text, bound in bounds if bound is not None]
    where = " WHERE " + " AND ".join(text for text, _ in given) if given else ""
    return where, [bound for _, bound in given]


def _as_row(row_type: type[RowT], values: tuple[object, ...]) -> RowT:
    row = row_type._make(values)
    if isinstance(row, SpikeRow) and row.amplitude_uv is None:
        return row._replace(amplitude_uv=float("nan"))
    return row


def _read_raw(oebin: Path) -> RawSamples:
    try:
        stream = json.loads(oebin.read_bytes())["continuous"][0]
        channels = stream["channels"]
        stream_format = StreamFormat(
            channel_names=tuple(channel["channel_name"] for channel in channels),
            sample_rate_hz=float(stream["sample_rate"]),
            microvolts_per_count=float(channels[0]["bit_volts"]),
        )
        folder = oebin.parent / "continuous" / stream["folder_name"]
        first_sample = int(np.load(folder / "sample_numbers.npy", mmap_mode="r")[0])
        samples = _map_frames(folder / "continuous.dat", len(channels))
    except (OSError, ValueError, LookupError, TypeError) as exc:
        raise RecordingError(f"{oebin}: raw recording cannot be read: {exc}") from exc
    return RawSamples(oebin.parent, stream_format, first_sample, samples)


def _map_frames(path: Path, n_channels: int) -> npt.NDArray[np.int16]:
    n_samples = path.stat().st_size // (2 * n_channels)
    if n_samples == 0:
        return np.empty((0, n_channels), np.int16)
    return np.memmap(path, "<i2", "r", shape=(n_samples, n_channels))


def _numbers_in(path: Path) -> list[int]:
    parts = path.parts[-3:-1]
    return [int("".join(c for c in part if c.isdigit())) for part in parts]
