"""The open `events.sqlite`: rows in, transactions committed. Used by one thread at a time."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from app.core.spikes import FEW_RECORDS
from app.recording.errors import RecordingError
from app.recording.rows import (
    SPIKE_FIELDS,
    Entry,
    PspRow,
    PspRows,
    Row,
    SpikeRow,
    SpikeRows,
    n_rows_of,
)
from app.recording.schema import create_tables
from app.recording.statements import ROWS, ROWS_PER_STATEMENT, SPIKE_BATCH

Connect = Callable[[Path], sqlite3.Connection]
"""Opens the database; a test gives one that fails."""


def connect(path: Path) -> sqlite3.Connection:
    """Open a database whose transactions we begin and end ourselves, on one thread at a time."""
    return sqlite3.connect(
        path,
        timeout=1.0,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=len(ROWS) + len(SPIKE_BATCH) + 16,
    )


def wal_of(path: Path) -> Path:
    """Return the name of the write-ahead log that SQLite keeps beside the database."""
    return path.with_name(path.name + "-wal")


class EventStore:
    """A new event log, WAL mode, checkpointed only on request.

    synchronous NORMAL: a commit is in the hands of the operating system, it survives the death of
    this process; `is_strict` (FULL): it is on the disk, for some milliseconds each. When the disk
    is full, `release_reserve` is asked for room once, and the transaction is repeated.
    """

    def __init__(
        self,
        path: Path,
        *,
        is_strict: bool,
        release_reserve: Callable[[], bool],
        open_database: Connect = connect,
    ) -> None:
        self.path = path
        self._release_reserve = release_reserve
        self._uncommitted: list[Sequence[Entry]] = []
        try:
            self._connection = open_database(path)
        except sqlite3.Error as exc:
            raise RecordingError(f"{path}: event log cannot be created: {exc}") from exc
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if is_strict else 'NORMAL'}")
            self._connection.execute("PRAGMA wal_autocheckpoint = 0")
            # Cut the write-ahead log when it begins anew, so that its size says what is in it.
            self._connection.execute("PRAGMA journal_size_limit = 0")
            create_tables(self._connection)
        except sqlite3.Error as exc:
            self._connection.close()
            raise RecordingError(f"{path}: event log cannot be created: {exc}") from exc

    def insert(self, entries: Sequence[Entry]) -> int:
        """Insert rows into the open transaction, beginning one if there is none; return how many.

        Raises
        ------
        RecordingError
            The database refused them; nothing since the last commit is in it.
        """
        self._uncommitted.append(entries)
        try:
            return self._write(entries)
        except (sqlite3.Error, OverflowError) as exc:
            self._make_room_for(exc)
        return sum(map(n_rows_of, entries))

    def commit(self) -> None:
        """End the transaction: what was inserted is now committed. Raises as `insert` does."""
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as exc:
            self._make_room_for(exc)
            self._commit_again()
        self._uncommitted.clear()

    def checkpoint(self) -> None:
        """Move the rest of the write-ahead log into the database, so that it begins anew.

        Waits for the disk twice. Another thread's `checkpoint` should have moved most of it, but
        under steady load never the last commit; only here, between two transactions, is an end.
        """
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error as exc:
            raise RecordingError(f"{self.path}: checkpoint failed: {exc}") from exc

    def close(self) -> None:
        """Move what is committed from the write-ahead log into the database and close it.

        Raises
        ------
        RecordingError
            It could not be moved; it is still in the write-ahead log, which readers look at too.
        """
        try:
            self._roll_back()
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            # One plain file, readable from a read-only medium; refused while somebody reads.
            with suppress(sqlite3.OperationalError):
                self._connection.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error as exc:
            raise RecordingError(
                f"{self.path}: last checkpoint failed: {exc}; keep {wal_of(self.path).name} beside "
                "it, committed rows are in there"
            ) from exc
        finally:
            self._connection.close()

    def _write(self, entries: Sequence[Entry]) -> int:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")
        n_rows = 0
        # sqlite3 binds lists twice as fast as named tuples, and a list per table is made faster
        # than one tuple per row.
        tables: dict[type[Row], list[object]] = {}
        for entry in entries:
            if isinstance(entry, SpikeRows):
                if len(entry.records) > FEW_RECORDS:
                    n_rows += self._write_rows(SpikeRow, tables.pop(SpikeRow, []))
                    n_rows += self._write_batch(entry)
                else:
                    tables.setdefault(SpikeRow, []).extend(entry.values())
            elif isinstance(entry, PspRows):
                tables.setdefault(PspRow, []).extend(entry.values())
            else:
                tables.setdefault(type(entry), []).extend(entry)
        return n_rows + sum(self._write_rows(*table) for table in tables.items())

    def _write_rows(self, row_type: type[Row], values: list[object]) -> int:
        n_fields = len(row_type._fields)
        first = 0
        for n_rows in ROWS_PER_STATEMENT:
            n_values = n_rows * n_fields
            while len(values) - first >= n_values:
                self._connection.execute(ROWS[row_type, n_rows], values[first : first + n_values])
                first += n_values
        return len(values) // n_fields

    def _write_batch(self, batch: SpikeRows) -> int:
        shared = [batch.site, batch.stream, batch.origin_seq]
        values = batch.record_values()
        first = 0
        for n_rows in ROWS_PER_STATEMENT:
            n_values = n_rows * len(SPIKE_FIELDS)
            while len(values) - first >= n_values:
                own = values[first : first + n_values]
                self._connection.execute(SPIKE_BATCH[n_rows], shared + own)
                first += n_values
        return len(batch.records)

    def _make_room_for(self, exc: Exception) -> None:
        self._roll_back()
        code = getattr(exc, "sqlite_errorcode", None)
        if code != sqlite3.SQLITE_FULL or not self._release_reserve():
            raise RecordingError(f"{self.path}: event log cannot be written: {exc}") from exc
        try:
            for entries in self._uncommitted:
                self._write(entries)
        except sqlite3.Error as again:
            self._roll_back()
            raise RecordingError(
                f"{self.path}: event log cannot be written, also without the reserve: {again}"
            ) from again

    def _commit_again(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as exc:
            self._roll_back()
            raise RecordingError(f"{self.path}: event log cannot be committed: {exc}") from exc

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def checkpoint(path: Path, open_database: Connect = connect) -> None:
    """Move committed rows from the write-ahead log into the database, from another thread.

    Raises
    ------
    RecordingError
        The database could not be opened or written.
    """
    try:
        connection = open_database(path)
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            connection.close()
    except sqlite3.Error as exc:
        raise RecordingError(f"{path}: checkpoint failed: {exc}") from exc
