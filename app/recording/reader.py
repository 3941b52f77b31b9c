"""Reading a session back: tables, spikes as records, times on one clock. Never writes."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from app.core.spikes import SPIKE_RECORD, SpikeRecords
from app.recording.errors import RecordingError
from app.recording.raw_reader import RawSamples, read_raw
from app.recording.rows import SpikeRow
from app.recording.schema import TABLES, check_version
from app.recording.session import SessionInfo, read_info

RowT = TypeVar("RowT", bound=NamedTuple)

_SPIKE_COLUMNS = "time_ns, sample_index, neuron, amplitude_uv, age_bound_us, kind, flags, 0"


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
        found = self.query(f"SELECT * FROM {TABLES[row_type]}{where} ORDER BY rowid", *values)
        return [_as_row(row_type, values) for values in found]

    def each(self, row_type: type[RowT]) -> Iterator[RowT]:
        """Yield a table's rows in the order of writing, without holding them all."""
        with named_errors(self.folder):
            text = f"SELECT * FROM {TABLES[row_type]} ORDER BY rowid"
            for values in self._connection.execute(text):
                yield _as_row(row_type, values)

    def last_time_ns(self, row_type: type[NamedTuple]) -> int:
        """Return the time of the last row written into a table; 0 if it is empty."""
        found = self.query(f"SELECT time_ns FROM {TABLES[row_type]} ORDER BY rowid DESC LIMIT 1")
        return int(found[0][0]) if found else 0

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
        found = self.query(
            f"SELECT {_SPIKE_COLUMNS} FROM spikes{where} ORDER BY time_ns, rowid", *values
        )
        nan = float("nan")
        rows = [(*r[:3], nan if r[3] is None else r[3], *r[4:]) for r in found]
        try:
            return np.array(rows, SPIKE_RECORD)
        except OverflowError as exc:
            raise RecordingError(f"{self.folder}: a spike with impossible numbers: {exc}") from exc

    def table(
        self, name: str, from_ns: int | None = None, to_ns: int | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        """Return a table's columns as arrays, by name, with `from_ns <= time_ns < to_ns`.

        A REAL that is NULL is NaN; a whole number or text that is NULL is masked
        (`numpy.ma.MaskedArray`).

        Raises
        ------
        RecordingError
            There is no such table, or times are given for one without `time_ns`.
        """
        row_type = next((t for t, known in TABLES.items() if known == name), None)
        if row_type is None:
            raise RecordingError(f"no table {name!r}; there are {', '.join(TABLES.values())}")
        rows = self.rows(row_type, from_ns, to_ns)
        columns = zip(*rows, strict=True) if rows else [()] * len(row_type._fields)
        return {
            field: _as_array(list(column))
            for field, column in zip(row_type._fields, columns, strict=True)
        }

    def query(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of an SQL query. Raises `RecordingError` for what SQLite refuses."""
        with named_errors(self.folder):
            return self._connection.execute(text, values).fetchall()

    def to_utc_ns(self, time_ns: int) -> int:
        """Return UTC of a moment on this site's clock, by the nearest recorded anchor."""
        anchor = min(self.info.anchors, key=lambda a: abs(a.monotonic_ns - time_ns))
        return anchor.utc_ns + time_ns - anchor.monotonic_ns

    def to_own_ns(self, site: str, times_ns: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return moments on another site's clock on this one's, by the recorded link offsets.

        Before the first estimate of an offset the first one is used; without any, the times stay.
        """
        times: npt.NDArray[np.int64] = np.asarray(times_ns, np.int64)
        found = self.query(
            "SELECT time_ns, offset_ns FROM clock_mappings WHERE kind = 'link' AND source = ? "
            "ORDER BY rowid",
            site,
        )
        if not found or site == self.info.site:
            return times
        known = np.array(found, np.int64)
        own = times - known[0, 1]
        at = np.clip(np.searchsorted(known[:, 0], own, "right") - 1, 0, len(known) - 1)
        offsets: npt.NDArray[np.int64] = known[at, 1]
        return times - offsets

    def count(self, row_type: type[NamedTuple]) -> int:
        """Return how many rows a table has."""
        return int(self.query(f"SELECT count(*) FROM {TABLES[row_type]}")[0][0])

    def integrity(self) -> str:
        """Return SQLite's own verdict on the event log: "ok", or what is wrong."""
        return str(self.query("PRAGMA integrity_check")[0][0])

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


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open an event log of this version for reading. Raises `RecordingError`."""
    with named_errors(path):
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)
    try:
        with named_errors(path):
            check_version(connection, path)
    except RecordingError:
        connection.close()
        raise
    return connection


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite says into an error that names the file."""
    try:
        yield
    except sqlite3.Error as exc:
        raise RecordingError(f"{path}: event log cannot be read: {exc}") from exc


def _between(from_ns: int | None, to_ns: int | None) -> tuple[str, list[int | str]]:
    bounds = [("time_ns >= ?", from_ns), ("time_ns < ?", to_ns)]
    given = [(text, bound) for text, bound in bounds if bound is not None]
    where = " WHERE " + " AND ".join(text for text, _ in given) if given else ""
    return where, [bound for _, bound in given]


def _as_array(values: list[Any]) -> npt.NDArray[Any]:
    known = [value for value in values if value is not None]
    if len(known) == len(values):
        kind: Any = object if known and isinstance(known[0], bytes) else None
        return np.array(values, kind)
    if not known or isinstance(known[0], float):
        return np.array([np.nan if value is None else value for value in values], float)
    filler = type(known[0])()
    filled = np.array([filler if value is None else value for value in values])
    return np.ma.MaskedArray(filled, [value is None for value in values])


def _as_row(row_type: type[RowT], values: tuple[object, ...]) -> RowT:
    row = row_type._make(values)
    if isinstance(row, SpikeRow) and row.amplitude_uv is None:
        return row._replace(amplitude_uv=float("nan"))
    return row
