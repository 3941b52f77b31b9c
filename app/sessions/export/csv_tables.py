"""A session's tables as CSV files, one a table; taken up again row by row if interrupted."""

import csv
import os
from collections.abc import Callable
from pathlib import Path

from app.recording.errors import RecordingError
from app.recording.reader import SessionReader
from app.recording.schema import TABLES

LEFT_OUT = ("inputs",)
"""Binary bodies; what they led to stands in the other tables."""
ROWS_AT_ONCE = 10_000


def export_csv(
    session: SessionReader, folder: Path, on_rows: Callable[[int], None] = lambda _n: None
) -> list[Path]:
    """Write every table that has rows into `folder`; return the files.

    The first column `row` is the row's number in the session, by which an interrupted export goes
    on. Raises RecordingError if the disk refuses.
    """
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for row_type, table in TABLES.items():
            path = folder / f"{table}.csv"
            if table in LEFT_OUT or path.exists() or not session.count(row_type):
                written += [path] if path.exists() else []
                continue
            part = path.with_name(path.name + ".part")
            _write(session, table, row_type._fields, part, on_rows)
            part.replace(path)
            written.append(path)
    except OSError as exc:
        raise RecordingError(f"{folder}: export failed: {exc}; start it again to go on") from exc
    return written


def _write(
    session: SessionReader,
    table: str,
    fields: tuple[str, ...],
    part: Path,
    on_rows: Callable[[int], None],
) -> None:
    last = _last_row(part)
    with part.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if last is None:
            writer.writerow(("row", *fields))
            last = 0
        while True:
            rows = session.query(
                f"SELECT rowid, {', '.join(fields)} FROM {table} WHERE rowid > ? "
                f"ORDER BY rowid LIMIT {ROWS_AT_ONCE}",
                last,
            )
            if not rows:
                break
            writer.writerows(rows)
            last = int(rows[-1][0])
            on_rows(len(rows))
        file.flush()
        os.fsync(file.fileno())


def _last_row(part: Path) -> int | None:
    """Cut a torn last line off; return the number of the last whole row, None without a header."""
    if not part.exists():
        return None
    # A quoted text may hold line ends, so the file is read as CSV, not from its end.
    last, end = None, 0
    with part.open("rb+") as file:
        open_quotes = 0
        line = b""
        for piece in file:
            line += piece
            open_quotes += piece.count(b'"')
            if not piece.endswith(b"\n") or open_quotes % 2:
                continue
            end += len(line)
            first = line.split(b",", 1)[0]
            last = int(first) if first.isdigit() else 0
            line = b""
        file.truncate(end)
    return last
