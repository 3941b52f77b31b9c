"""What every electrode and device of a site received, over all sessions: outlives each of them.

The truth stands in each session's `doses` table, committed with the audit before anything moves.
This file sums it up, so that a session may be moved away or deleted once it has been taken in. A
session that ended by a crash is taken in at the next start.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.recording.errors import RecordingError
from app.recording.reader import open_read_only
from app.recording.session import read_info, session_folders

SLOT_NS = 600 * 1_000_000_000
"""Doses are kept in slots of 10 min and count as given at a slot's end: errs high."""
APPLICATION_ID = 0x53704269
"""PRAGMA application_id: "SpBi"."""

_SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = 1;
CREATE TABLE sessions (      -- which sessions were taken in, and how far
    session TEXT PRIMARY KEY, folder TEXT NOT NULL,
    last_rowid INTEGER NOT NULL, is_complete INTEGER NOT NULL
) STRICT;
CREATE TABLE doses (
    provenance TEXT NOT NULL,      -- live, mock
    instrument TEXT NOT NULL, target TEXT NOT NULL, -- channel or device name
    slot_end_utc_ns INTEGER NOT NULL,
    n_pulses INTEGER NOT NULL, charge_c REAL NOT NULL,
    PRIMARY KEY (provenance, instrument, target, slot_end_utc_ns)
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class PastDose:
    """What one electrode or device received in one slot."""

    provenance: str
    instrument: str
    target: str
    utc_ns: int
    """The slot's end."""
    n_pulses: int
    charge_c: float


class DoseHistory:
    """The history file of one site. One thread at a time; several processes may.

    Raises
    ------
    RecordingError
        The file is not what it should be, or the disk refuses.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._named_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=5.0)
        try:
            with self._named_errors():
                self._prepare()
        except RecordingError:
            self._database.close()
            raise

    def __enter__(self) -> "DoseHistory":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def take_in(self, root: Path, site: str) -> list[str]:
        """Take in what is new in a site's sessions; return a sentence on each that cannot be."""
        failures = []
        for folder in session_folders(root, site):
            try:
                self.take_session(folder)
            except RecordingError as exc:
                failures.append(f"doses of {folder.name} are not known: {exc}")
        return failures

    def take_session(self, folder: Path) -> None:
        """Take in what is new in one session, also in one that still runs.

        Raises
        ------
        RecordingError
            The session cannot be read.
        """
        info = read_info(folder)
        with self._named_errors():
            known = self._database.execute(
                "SELECT last_rowid, is_complete FROM sessions WHERE session = ?", (info.session,)
            ).fetchone()
        last_rowid, is_complete = (0, False) if known is None else known
        events = folder / "events.sqlite"
        if is_complete or not events.exists():
            return  # a session that died before its event log was there gave nothing
        anchor = info.anchors[0]
        to_utc_ns = anchor.utc_ns - anchor.monotonic_ns
        rows, newest = _read_doses(events, last_rowid)
        with self._named_errors(), self._database as database:
            for time_ns, instrument, target, n_pulses, charge_c in rows:
                utc_ns = time_ns + to_utc_ns
                slot_end_ns = utc_ns - utc_ns % SLOT_NS + SLOT_NS
                word = info.provenance.get(instrument, "live")
                database.execute(
                    "INSERT INTO doses VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                    "n_pulses = n_pulses + excluded.n_pulses, "
                    "charge_c = charge_c + excluded.charge_c",
                    (word, instrument, target, slot_end_ns, n_pulses, charge_c),
                )
            database.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "last_rowid = excluded.last_rowid, is_complete = excluded.is_complete",
                (info.session, folder.name, newest, info.state != "recording"),
            )

    def doses(self) -> list[PastDose]:
        """Return everything, oldest first."""
        with self._named_errors():
            rows = self._database.execute("SELECT * FROM doses ORDER BY slot_end_utc_ns, rowid")
            return [PastDose(*row) for row in rows.fetchall()]

    def _prepare(self) -> None:
        (application,) = self._database.execute("PRAGMA application_id").fetchone()
        (n_tables,) = self._database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if n_tables == 0:
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        elif application != APPLICATION_ID:
            raise RecordingError(f"{self._path}: not a dose history of SpikeBridge")

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as exc:
            raise RecordingError(
                f"{self._path}: the dose history cannot be used: {exc}; put it right, or move it "
                "away to have it made again from the session folders"
            ) from exc


def _read_doses(
    events: Path, last_rowid: int
) -> tuple[list[tuple[int, str, str, int, float]], int]:
    with closing(open_read_only(events)) as connection:
        try:
            found = connection.execute(
                "SELECT time_ns, instrument, target, n_pulses, charge_c, rowid FROM doses "
                "WHERE rowid > ? ORDER BY rowid",
                (last_rowid,),
            ).fetchall()
        except sqlite3.Error as exc:
            raise RecordingError(f"{events}: {exc}") from exc
    return [row[:5] for row in found], max((row[5] for row in found), default=last_rowid)
