"""The event log: what is committed, when, in which order, and what a reader gets back."""

import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from app.core.spikes import FEW_RECORDS, PSP_RECORD, SPIKE_RECORD
from app.recording.errors import RecordingError
from app.recording.event_log import COMMIT_ITEMS, EventLog
from app.recording.reader import open_session
from app.recording.received import last_seqs, last_seqs_of_site
from app.recording.rows import (
    ArmingRow,
    AuditRecordRow,
    DeliveryRow,
    InputRow,
    NoteRow,
    PspRow,
    PspRows,
    ReceivedFrameRow,
    SpikeRow,
    SpikeRows,
)
from app.recording.schema import SCHEMA_VERSION, TABLES
from app.recording.session import Session, create_session

DEADLINE_S = 5.0


def eventually(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "state not reached in time"
        time.sleep(0.002)


def session_in(root: Path, site: str = "site-a", session: str = "ab" * 16) -> Session:
    return create_session(
        root,
        site=site,
        session=session,
        config=b"config",
        experiment=b"experiment",
        experiment_sha256="00" * 32,
        software={"spikebridge": "0.1.0"},
        clock="test",
        anchor=(1, 1_930_000_000_000_000_000, 0),
        reserve_bytes=4096,
    )


def request(number: int) -> AuditRecordRow:
    return AuditRecordRow(
        "request", number, 5, "mea", "pattern 1", "psp", 1, "permit", "", "", "aa", "00", "11"
    )


DELIVERY = DeliveryRow(4, "stimulate", None, 17, "not delivered", "too late")


class Failures:
    def __init__(self) -> None:
        self.heard: list[tuple[str, BaseException]] = []

    def __call__(self, name: str, exc: BaseException) -> None:
        self.heard.append((name, exc))


def stop(log: EventLog) -> None:
    log.request_stop()
    assert log.join(DEADLINE_S)


@pytest.fixture
def failures() -> Failures:
    return Failures()


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return session_in(tmp_path)


@pytest.fixture
def event_log(session: Session, failures: Failures) -> Iterator[EventLog]:
    log = EventLog(session.events_path, on_failure=failures)
    log.start()
    yield log
    stop(log)
    assert failures.heard == []


def committed(path: Path, table: str) -> int:
    """Count with a connection of its own: it sees committed rows only."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        (count,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(count)


def test_every_table_has_the_columns_of_its_row_type_in_order(
    event_log: EventLog, session: Session
) -> None:
    assert event_log.append_durably(NoteRow(1, "a", "b")).wait(DEADLINE_S)
    with closing(sqlite3.connect(session.events_path)) as db:
        names = {
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")
        }
        assert names == {*TABLES.values(), "received_until"}
        for row_type, table in TABLES.items():
            columns = [info[1] for info in db.execute(f"PRAGMA table_info({table})")]
            assert columns == list(row_type._fields)
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_rows_come_back_as_they_were_given(event_log: EventLog, session: Session) -> None:
    spikes = [
        SpikeRow(10, "site-a", 1, 7, 2, -63.5, 200, 0, 0, 0),
        SpikeRow(11, "site-b", 2, 8, 1, math.nan, -1, 1500, 1, 99),
    ]
    event_log.append_many([*spikes, InputRow(1, 12, "tick", b"\x00\xff")])
    event_log.append(DELIVERY)
    event_log.append(ArmingRow(20, "ARMED", "ada", "two steps"))
    assert event_log.append_durably(request(4)).wait(DEADLINE_S)
    with open_session(session.folder) as reader:
        first, second = reader.rows(SpikeRow)
        assert first == spikes[0]
        assert math.isnan(second.amplitude_uv)
        assert second._replace(amplitude_uv=0.0) == spikes[1]._replace(amplitude_uv=0.0)
        assert reader.rows(InputRow) == [InputRow(1, 12, "tick", b"\x00\xff")]
        assert reader.rows(DeliveryRow) == [DELIVERY]
        assert reader.rows(AuditRecordRow) == [request(4)]
        assert reader.rows(ArmingRow, 20, 21) == [ArmingRow(20, "ARMED", "ada", "two steps")]
        assert reader.rows(ArmingRow, 21) == []
        assert reader.rows(ArmingRow, None, 20) == []
        with pytest.raises(RecordingError, match="no time_ns"):
            reader.rows(DeliveryRow, 1, 2)


def test_batches_of_records_become_rows(event_log: EventLog, session: Session) -> None:
    spikes = np.zeros(3, SPIKE_RECORD)
    spikes["time_ns"] = [30, 10, 20]
    spikes["neuron"] = [1, 2, 2]
    spikes["amplitude_uv"] = [np.nan, -50.25, -60.5]
    spikes["sample_index"] = [-1, 5, 6]
    spikes["kind"] = [2, 1, 0]
    psps = np.zeros(1, PSP_RECORD)
    psps["cause"] = 2**64 - 1
    psps["weight"] = 0.5
    psps["synapse"] = 3
    psps["pre_site"] = 9
    event_log.append(SpikeRows("site-b", 4, 17, spikes))
    event_log.append(SpikeRows("site-b", 4, 18, spikes[:0]))
    event_log.append(PspRows("sent", "site-c", 77, 5, psps))
    assert event_log.append_durably().wait(DEADLINE_S)
    with open_session(session.folder) as reader:
        back = reader.spikes()
        assert back["time_ns"].tolist() == [10, 20, 30]
        assert np.isnan(back["amplitude_uv"][2])
        assert back.tobytes() == np.sort(spikes, order="time_ns").tobytes()
        assert reader.spikes(10, 20, site="site-b")["neuron"].tolist() == [2]
        assert len(reader.spikes(site="site-b", neuron=2)) == 2
        assert len(reader.spikes(site="nowhere")) == 0
        assert {row.origin_seq for row in reader.rows(SpikeRow)} == {17}
        (psp,) = reader.rows(PspRow)
        assert (psp.direction, psp.site, psp.synapse, psp.weight) == ("sent", "site-c", 3, 0.5)
        assert (psp.cause, psp.pre_site, psp.time_ns, psp.seq) == (-1, 9, 77, 5)
    assert event_log.status().n_rows == 4


def test_spikes_of_batches_of_any_size_stand_in_the_order_in_which_they_came(
    event_log: EventLog, session: Session
) -> None:
    rng = np.random.default_rng(3)
    batches = []
    for seq, n in enumerate((1, 3, FEW_RECORDS + 1, 200, 1, 0, 500, FEW_RECORDS, 64, 2)):
        records = np.frombuffer(rng.bytes(n * SPIKE_RECORD.itemsize), SPIKE_RECORD).copy()
        records["amplitude_uv"] = rng.normal(size=n)
        batches.append(SpikeRows(f"site-{seq % 2}", seq, 100 + seq, records))
    for batch in batches:
        event_log.append_many([NoteRow(1, "a", ""), batch])
    assert event_log.append_durably(NoteRow(2, "a", "")).wait(DEADLINE_S)
    expected = [tuple(row) for batch in batches for row in batch.rows()]
    with closing(sqlite3.connect(session.events_path)) as db:
        assert db.execute("SELECT * FROM spikes ORDER BY rowid").fetchall() == expected
    assert event_log.status().n_rows == len(expected) + len(batches) + 1


def test_ordinary_rows_wait_for_company_and_durable_ones_do_not(
    session: Session, failures: Failures
) -> None:
    now_ns = [0]
    log = EventLog(session.events_path, on_failure=failures, clock_ns=lambda: now_ns[0])
    log.start()
    try:
        log.append(NoteRow(1, "a", "waits"))
        eventually(lambda: log.status().n_waiting == 0)
        assert committed(session.events_path, "notes") == 0
        now_ns[0] = 99_000_000
        log.append(NoteRow(2, "a", "waits too"))
        eventually(lambda: log.status().n_waiting == 0)
        assert committed(session.events_path, "notes") == 0
        now_ns[0] = 100_000_000
        eventually(lambda: committed(session.events_path, "notes") == 2)
        log.append(NoteRow(3, "a", "in company"))
        assert log.append_durably(request(1)).wait(DEADLINE_S)
        assert committed(session.events_path, "notes") == 3
        assert committed(session.events_path, "audit") == 1
    finally:
        stop(log)
    assert failures.heard == []


def test_callbacks_come_after_the_commit_in_order_in_the_logs_thread(
    event_log: EventLog, session: Session
) -> None:
    heard: list[tuple[int, int, str]] = []

    def hear(number: int) -> None:
        heard.append(
            (number, committed(session.events_path, "notes"), threading.current_thread().name)
        )

    for number in range(20):
        event_log.append(NoteRow(number, "a", ""), partial(hear), number)
    eventually(lambda: len(heard) == 20)
    assert [number for number, _, _ in heard] == list(range(20))
    assert all(n_committed > number for number, n_committed, _ in heard)
    assert {name for _, _, name in heard} == {"event log"}


def test_one_callback_hears_the_newest_of_its_numbers_once_a_commit(
    event_log: EventLog, session: Session
) -> None:
    of_a: list[tuple[int, int]] = []
    of_b: list[int] = []

    def hear(number: int) -> None:
        of_a.append((number, committed(session.events_path, "notes")))

    for number in range(20):
        event_log.append(NoteRow(number, "a", ""), hear, number)
        event_log.append_many([NoteRow(number, "b", "")], of_b.append, 100 + number)
    eventually(lambda: of_a[-1:] == [(19, 40)])
    eventually(lambda: of_b[-1:] == [119])
    # Told after each commit, of what is in it: at most one commit for each turn of the log.
    assert of_a == sorted(set(of_a))
    assert all(n_committed >= 2 * number + 1 for number, n_committed in of_a)


def test_a_pile_is_committed_before_its_time_is_up(session: Session, failures: Failures) -> None:
    log = EventLog(session.events_path, on_failure=failures, clock_ns=lambda: 0)
    for number in range(COMMIT_ITEMS + 1):
        log.append(NoteRow(number, "a", ""))
    log.start()
    try:
        eventually(lambda: log.status().n_rows == COMMIT_ITEMS)
        eventually(lambda: log.status().n_waiting == 0)
        assert committed(session.events_path, "notes") == COMMIT_ITEMS
    finally:
        stop(log)
    assert committed(session.events_path, "notes") == COMMIT_ITEMS + 1


def test_whoever_waits_finds_everything_up_to_his_rows_committed(
    event_log: EventLog, session: Session
) -> None:
    heard: list[int] = []
    event_log.append(NoteRow(1, "a", ""), heard.append, 1)
    assert event_log.append_durably(NoteRow(2, "a", "")).wait(DEADLINE_S)
    assert committed(session.events_path, "notes") == 2
    event_log.append(NoteRow(3, "a", ""), heard.append, 3)
    ticket = event_log.append_durably(NoteRow(4, "a", ""))
    event_log.append(NoteRow(5, "a", "came later"))
    assert ticket.wait(DEADLINE_S)
    assert committed(session.events_path, "notes") == 5
    assert heard == [1, 3]


def test_durable_rows_that_nobody_waits_for_are_committed_with_the_others(
    event_log: EventLog, session: Session
) -> None:
    eventually(lambda: event_log.is_writable)
    event_log.append_durably(NoteRow(1, "a", ""))
    eventually(lambda: committed(session.events_path, "notes") == 1)


def test_stop_commits_what_waits_and_leaves_one_file(session: Session, failures: Failures) -> None:
    log = EventLog(session.events_path, on_failure=failures)
    log.start()
    called: list[int] = []
    for number in range(1000):
        log.append(NoteRow(number, "a", "b"), partial(called.append), number)
    stop(log)
    assert called == list(range(1000))
    assert committed(session.events_path, "notes") == 1000
    assert [p.name for p in session.folder.glob("events*")] == ["events.sqlite"]
    assert not log.is_writable
    log.append(NoteRow(0, "late", ""))
    ticket = log.append_durably(NoteRow(0, "late", ""), NoteRow(0, "late", ""))
    assert not ticket.wait(0.0)
    assert log.status().n_rows_lost == 3
    assert log.status().n_rows == 1000


def test_many_givers_lose_nothing(event_log: EventLog, session: Session) -> None:
    def give(who: str) -> None:
        for number in range(500):
            event_log.append(NoteRow(number, who, ""))

    givers = [threading.Thread(target=give, args=(f"g{n}",)) for n in range(4)]
    for giver in givers:
        giver.start()
    for giver in givers:
        giver.join()
    assert event_log.append_durably().wait(DEADLINE_S)
    with open_session(session.folder) as reader:
        rows = reader.rows(NoteRow)
    for n in range(4):
        assert [row.time_ns for row in rows if row.who == f"g{n}"] == list(range(500))


def test_status_tells_commit_times(event_log: EventLog) -> None:
    assert math.isnan(event_log.status().commit_p99_s)
    assert event_log.append_durably(NoteRow(1, "a", "b")).wait(DEADLINE_S)
    status = event_log.status()
    assert status.is_writable
    assert status.failure == ""
    assert status.last_commit_ns is not None
    assert 0 < status.commit_p99_s <= status.durable_p99_s < DEADLINE_S


def frame(session: str, first: int, last: int | None = None) -> ReceivedFrameRow:
    kind = "SPIKES" if last is None else "GAP"
    return ReceivedFrameRow(1, "site-b", session, first, last or first, kind, 0, 0)


def test_last_seqs_stop_at_the_first_undeclared_break(
    event_log: EventLog, session: Session
) -> None:
    rows = [frame("whole", n) for n in range(1, 6)]
    rows += [frame("gap declared", 1), frame("gap declared", 2, 8), frame("gap declared", 9)]
    rows += [frame("broken", 1), frame("broken", 2), frame("broken", 4), frame("broken", 5)]
    rows += [frame("joined late", 50), frame("joined late", 51)]
    event_log.append_many(rows)
    assert event_log.append_durably().wait(DEADLINE_S)
    expected = {"whole": 5, "gap declared": 9, "broken": 2, "joined late": 51}
    assert last_seqs(session.folder) == expected
    assert last_seqs(session.events_path) == expected


def test_last_seqs_of_site_join_over_restarts(tmp_path: Path, failures: Failures) -> None:
    runs = [
        [frame("peer", 1), frame("peer", 2), frame("gone", 1)],
        [],
        [frame("peer", 3), frame("other", 5)],
        [frame("peer", 9)],
    ]
    for number, rows in enumerate(runs):
        folder = session_in(tmp_path, session=f"{number:032x}")
        log = EventLog(folder.events_path, on_failure=failures)
        log.start()
        log.append_many(rows)
        stop(log)
    elsewhere = session_in(tmp_path, site="site-z", session="ff" * 16)
    (elsewhere.folder / "events.sqlite").write_bytes(b"no database at all")
    session_in(tmp_path, session="ee" * 16)
    assert last_seqs_of_site(tmp_path, "site-a") == {"peer": 3, "gone": 1, "other": 5}
    assert last_seqs_of_site(tmp_path, "site-z") == {}
    assert failures.heard == []


def test_an_overlong_wait_is_not_a_commit(session: Session, failures: Failures) -> None:
    log = EventLog(session.events_path, on_failure=failures)
    ticket = log.append_durably(NoteRow(1, "a", "b"))
    assert not ticket.wait(0.01)
    log.start()
    assert ticket.wait(DEADLINE_S)
    stop(log)


def test_reader_refuses_what_is_not_ours(session: Session) -> None:
    with pytest.raises(RecordingError, match="cannot be read"):
        open_session(session.folder)
    with closing(sqlite3.connect(session.events_path)) as db:
        db.execute("CREATE TABLE foreign_thing (a)")
    with pytest.raises(RecordingError, match="not an event log"):
        open_session(session.folder)
    session.events_path.unlink()


def test_reader_refuses_another_version(
    event_log: EventLog, session: Session, tmp_path: Path
) -> None:
    assert event_log.append_durably().wait(DEADLINE_S)
    with closing(sqlite3.connect(session.events_path)) as db:
        db.execute("PRAGMA user_version = 7")
    with pytest.raises(RecordingError, match="version 7"):
        open_session(session.folder)
