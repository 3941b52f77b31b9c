"""What a site does when its disk fails: recording ended in order, disarmed, events intact."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from faulty_files import DEADLINE_S, Faults, FaultyFiles, eventually
from small_session import START_NS, UTC_NS, new_session

from app.engine.ledger import Ledger
from app.engine.record_faults import RecordFaults
from app.recording.event_log import EventLog
from app.recording.event_store import connect
from app.recording.raw_reader import RawSamples, read_raw
from app.recording.raw_status import RawState
from app.recording.raw_writer import RawWriter
from app.recording.reader import open_session
from app.recording.recovery import recover_session
from drivers.mea.protocol import SampleBlock, StimMark, StreamFormat
from tests.test_gate_rig import armed_rig

FORMAT = StreamFormat(("A", "B", "C"), 20_000.0, 0.195)
N_BLOCK = 100
POINTS = sorted({*range(0, 45, 3), *range(15, 23)})
"""Twenty: every third write or sync from the first folder on, and each one of the first block."""


class Site:
    """An armed Gate, an event log and a raw writer, joined as the engine joins them."""

    def __init__(self, root: Path) -> None:
        self.faults = Faults()
        self.rig = armed_rig()
        self.engine_failures: list[str] = []
        self.session = new_session(root)
        self.max_pages: int | None = None
        self.log = EventLog(
            self.session.events_path,
            on_failure=lambda name, exc: self.engine_failures.append(f"{name}: {exc}"),
            release_reserve=self.release_reserve,
            on_room_ran_out=self.room_ran_out,
            open_database=self.open_database,
        )
        ledger = Ledger(self.log, "padova", lambda: self.rig.now_ns)
        self.record_faults = RecordFaults(
            ledger, self.rig.gate, lambda: None, lambda: self.rig.now_ns
        )
        self.raw = self.record_faults.raw_writer = RawWriter(
            self.session.node_folder(),
            on_failure=self.record_faults.failed,
            record=ledger.raw_recording,
            files=FaultyFiles(self.faults),
            sync_period_s=0.002,
        )
        self.ledger = ledger
        self.end_sample = 0
        self.log.start()
        self.raw.start()

    def open_database(self, path: Path) -> sqlite3.Connection:
        self.database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        return self.database

    def release_reserve(self) -> bool:
        self.database.execute("PRAGMA max_page_count = 100000")
        return self.session.release_reserve()

    def room_ran_out(self, sentence: str) -> None:
        self.record_faults.room_ran_out(sentence)

    def offer(self) -> None:
        first = self.end_sample
        self.end_sample += N_BLOCK
        marks = (StimMark(first, 1, 1e-6),) if first % 300 == 0 else ()
        self.raw.offer(SampleBlock(samples_from(first), first, 0, 0, marks))

    def end(self) -> None:
        for worker in (self.raw, self.log):
            worker.request_stop()
            assert worker.join(DEADLINE_S)


def samples_from(first: int, n_samples: int = N_BLOCK) -> np.ndarray:
    return np.arange(first * 3, (first + n_samples) * 3).astype(np.int16).reshape(-1, 3)


@contextmanager
def running(root: Path) -> Iterator[Site]:
    site = Site(root)
    try:
        yield site
    finally:
        site.faults.syncs_until_eio = site.faults.writes_until_eio = None
        site.end()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running(tmp_path) as site:
        yield site


@pytest.mark.parametrize("is_transient", [False, True])
@pytest.mark.parametrize("kind", ["write", "sync"])
def test_an_input_output_error_at_any_point_disarms_and_leaves_a_good_session(
    tmp_path: Path, kind: str, is_transient: bool
) -> None:
    def fail_at(point: int) -> str:
        try:
            with running(tmp_path / str(point)) as site:
                site.faults.is_transient = is_transient
                fail_once(site, kind, point)
        except AssertionError as exc:
            return f"{kind} {point}: {exc}"
        return ""

    with ThreadPoolExecutor(4) as pool:  # most of their time is waiting
        assert [said for said in pool.map(fail_at, POINTS) if said] == []


def fail_once(site: Site, kind: str, point: int) -> None:
    setattr(site.faults, f"{kind}s_until_eio", point)
    site.raw.start_recording(FORMAT)

    def is_disarmed() -> bool:
        site.offer()
        return site.rig.state == "disarmed"

    eventually(is_disarmed)
    eventually(lambda: site.raw.status().state is RawState.FAILED or kind == "sync")
    site.ledger.note("ada", "after the error")
    site.end()
    assert site.engine_failures == [], "events go on, and so does the engine"
    for raw in read_raw(site.session.node_folder()):  # what has its name opens as it is
        must_agree(raw)
    is_whole = not site.raw.is_incomplete
    site.session.close((START_NS + 1, UTC_NS + 1, 40), is_whole=is_whole)
    if not is_whole:
        assert recover_session(site.session.folder).state == "recovered"
    must_be_good(site.session.folder, site.raw.status().n_samples)


def must_agree(raw: RawSamples) -> None:
    """What there is of a recording is right: samples, their numbers, own stimuli."""
    np.testing.assert_array_equal(raw.samples, samples_from(raw.first_sample, len(raw.samples)))
    (numbers,) = (np.load(path) for path in raw.folder.glob("continuous/*/sample_numbers.npy"))
    np.testing.assert_array_equal(numbers, raw.first_sample + np.arange(len(numbers)))
    (pulses,) = (np.load(path) for path in raw.folder.glob("events/*/TTL/sample_numbers.npy"))
    rises = -(-raw.first_sample // 300) * 300 + 300 * np.arange(len(pulses) // 2)
    np.testing.assert_array_equal(pulses, np.column_stack([rises, rises + 1]).ravel())


def must_be_good(session: Path, n_samples_of_last: int) -> None:
    assert recover_session(session).state == "whole"
    with open_session(session) as reader:
        recordings = reader.raw()
        assert n_samples_of_last == (len(recordings[-1].samples) if recordings else 0)
        for raw in recordings:
            n_bytes = sum(p.stat().st_size for p in raw.folder.rglob("continuous.dat"))
            assert n_bytes == raw.samples.nbytes, "a whole frame is the last thing in the file"
            must_agree(raw)
    with closing(connect(session / "events.sqlite")) as events:
        assert events.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        notes = [text for (text,) in events.execute("SELECT text FROM notes")]
        arming = events.execute("SELECT state, who, reason FROM arming").fetchall()
    assert "after the error" in notes
    assert any("Input/output error" in note for note in notes)
    assert {row[:2] for row in arming} == {("disarmed", "recorder")}
    assert "Input/output error" in arming[0][2]


def test_an_event_log_that_takes_the_reserve_ends_the_recording_and_disarms(site: Site) -> None:
    site.raw.start_recording(FORMAT)
    site.offer()
    eventually(lambda: site.raw.status().is_recording)
    eventually(lambda: site.log.status().n_rows > 0)
    site.database.execute("PRAGMA max_page_count = 200")
    for number in range(50):
        site.ledger.note("ada", f"{number} " + "x" * 40_000)
    eventually(lambda: site.rig.state == "disarmed")
    eventually(lambda: site.raw.status().state is RawState.FAILED)
    site.end()
    assert site.engine_failures == []
    assert "the reserve is used" in site.raw.status().failure
    with closing(connect(site.session.events_path)) as events:
        (n_notes,) = events.execute("SELECT count(*) FROM notes WHERE who = 'ada'").fetchone()
        ended = [e for (e,) in events.execute("SELECT event FROM raw_recordings ORDER BY rowid")]
        arming = events.execute("SELECT state, who FROM arming").fetchall()
    assert n_notes == 50
    assert ended == ["started", "disk full"]
    assert set(arming) == {("disarmed", "recorder")}


def test_without_an_amplifier_the_site_is_disarmed_all_the_same(site: Site) -> None:
    site.record_faults.raw_writer = None
    site.record_faults.room_ran_out("events.sqlite: disk full; the reserve is used")
    assert site.rig.state == "disarmed"
