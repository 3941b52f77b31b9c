"""A week of spikes and device events in one event log: how long any minute of it takes to read.

Spikes come at 20 per second without a pause (12 million; --quick: 2 per second), a device is read
every 2 s and pulsed every 20 s. Minutes are chosen at random; each is asked for as a user would,
through `app.recording`. Beside it, the same question put to a table without its index.
"""

import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from app import recording
from app.recording.event_store import connect
from app.recording.reader import SessionReader
from app.recording.schema import create_tables
from app.recording.session import create_session
from benchmarks import report

WEEK_S = 7 * 86_400
S = 1_000_000_000
N_MINUTES = 30


def spikes(rate_hz: int) -> Iterator[tuple[object, ...]]:
    step_ns = S // rate_hz
    for number in range(WEEK_S * rate_hz):
        neuron = 256 + number % 60
        yield number * step_ns, "site-a", 0, neuron, 2, -61.5, number * 1000, 0, 0, 0


def device_rows() -> Iterator[tuple[object, ...]]:
    for second in range(0, WEEK_S, 2):
        yield second * S, "smu1", 1, 1 + second % 8, 5000.0 + second % 97, 0.2, "idle"


def pulses() -> Iterator[tuple[object, ...]]:
    for second in range(0, WEEK_S, 20):
        yield (
            second * S, second * S, "smu1", "w1b1", 1, 1, 1, 1.5, 1e-4, "LTP", 5000.0, 5100.0,
            "moved", "", second,
        )  # fmt: skip


def make_week(root: Path, rate_hz: int) -> Path:
    session = create_session(
        root, site="site-a", session="0f" * 16, config=b"", experiment=b"", experiment_sha256="",
        software={}, clock="c", anchor=(0, 1_900_000_000_000_000_000, 0), reserve_bytes=4096,
    )  # fmt: skip
    with closing(connect(session.events_path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        create_tables(database)
        for table, n_columns, rows in (
            ("spikes", 10, spikes(rate_hz)),
            ("device_reads", 7, device_rows()),
            ("device_pulses", 15, pulses()),
        ):
            database.execute("BEGIN")
            database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * n_columns)})", rows)
            database.execute("COMMIT")
    session.close((1, 1, 1))
    return session.folder


def minute_s(session: SessionReader, from_ns: int) -> float:
    began_s = time.perf_counter()
    to_ns = from_ns + 60 * S
    found = session.spikes(from_ns, to_ns)
    reads = session.table("device_reads", from_ns, to_ns)
    pulsed = session.table("device_pulses", from_ns, to_ns)
    elapsed_s = time.perf_counter() - began_s
    if not (len(found) and len(reads["time_ns"]) == 30 and len(pulsed["time_ns"]) == 3):
        raise SystemExit(f"minute at {from_ns}: not all there")
    return elapsed_s


def without_index_s(path: Path, from_ns: int) -> float:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        began_s = time.perf_counter()
        database.execute(
            "SELECT count(*) FROM spikes NOT INDEXED WHERE time_ns >= ? AND time_ns < ?",
            (from_ns, from_ns + 60 * S),
        ).fetchone()
        return time.perf_counter() - began_s


def main() -> int:
    options = report.parser(__doc__.splitlines()[0]).parse_args()
    rate_hz = 2 if options.quick else 20
    root = Path(tempfile.mkdtemp(prefix="week-"))
    try:
        folder = make_week(root, rate_hz)
        rng = np.random.default_rng(1)
        starts = (rng.integers(0, WEEK_S // 60 - 1, N_MINUTES) * 60 * S).tolist()
        with recording.open(folder) as session:
            taken_s = [minute_s(session, start) for start in starts]
        scan_s = without_index_s(folder / "events.sqlite", starts[0])
        n_bytes = (folder / "events.sqlite").stat().st_size
    finally:
        shutil.rmtree(root)
    row = {
        "n_spikes": WEEK_S * rate_hz,
        "file_mb": n_bytes / 1e6,
        "minute_p50_ms": 1e3 * float(np.median(taken_s)),
        "minute_max_ms": 1e3 * max(taken_s),
        "without_index_ms": 1e3 * scan_s,
    }
    goals = [
        report.Goal("longest of 30 minutes (s)", max(taken_s), 1.0, "lower"),
        report.Goal("minute / the same without index", max(taken_s) / scan_s, 1.0, "lower"),
    ]
    return report.publish([row], goals, as_json=options.json, title="A week in one event log")


if __name__ == "__main__":
    sys.exit(main())
