"""Doses and budgets outlive sessions, crashes and deleted session folders."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from app.config.limits import DeviceLimits, StimulationLimits
from app.core.spikes import Provenance
from app.engine.past_doses import tell_past
from app.recording.errors import RecordingError
from app.recording.history import SLOT_NS, DoseHistory, PastDose
from app.recording.rows import DoseRow
from app.recording.schema import INSERTS, create_tables
from app.recording.session import Session, create_session, read_info
from app.safety.requests import CauseKind, RefusalReason
from drivers.permit import Stimulate
from tests.test_gate_rig import DEVICE, PULSE_DEVICE, SECOND, Rig, array, stimulator

UTC_NS = 1_764_000_000 * SECOND
START_NS = 5000 * SECOND
HOUR_NS = 3600 * SECOND


def session(root: Path, *doses: DoseRow, utc_ns: int = UTC_NS, mark: str = "1") -> Session:
    """A session on disk as a dead engine leaves it: some doses, not closed."""
    made = create_session(
        root,
        site="padova",
        session=mark * 32,
        config=b"",
        experiment=b"",
        experiment_sha256="",
        software={},
        clock="c",
        anchor=(START_NS, utc_ns, 0),
        provenance={"mea": "mock", "smu": "mock", "live": "live"},
        reserve_bytes=1,
    )
    with closing(sqlite3.connect(made.events_path)) as database:
        create_tables(database)
    add(made.folder, *doses)
    return made


def add(folder: Path, *doses: DoseRow) -> None:
    with closing(sqlite3.connect(folder / "events.sqlite")) as database, database:
        database.executemany(INSERTS[DoseRow], doses)


def dose(number: int, target: str = "A-000", after_ns: int = 0, instrument: str = "mea") -> DoseRow:
    charge_c = 0.0 if instrument == "smu" else 0.4e-9
    return DoseRow(number, START_NS + after_ns, instrument, target, 1, charge_c)


def history_of(root: Path) -> list[PastDose]:
    with DoseHistory(root / "history.sqlite") as history:
        assert history.take_in(root, "padova") == []
        return history.doses()


def test_doses_add_up_per_slot_and_are_taken_in_once(tmp_path: Path) -> None:
    session(
        tmp_path, dose(1), dose(2, after_ns=SECOND), dose(3, after_ns=SLOT_NS), dose(4, "A-001")
    )
    once = history_of(tmp_path)
    assert [(d.target, d.n_pulses) for d in once] == [("A-000", 2), ("A-001", 1), ("A-000", 1)]
    assert once[0].charge_c == pytest.approx(0.8e-9)
    assert all(d.provenance == "mock" and 0 < d.utc_ns - UTC_NS <= 2 * SLOT_NS for d in once)
    assert history_of(tmp_path) == once


def test_a_running_session_is_taken_in_as_far_as_it_is(tmp_path: Path) -> None:
    made = session(tmp_path, dose(1))
    assert sum(d.n_pulses for d in history_of(tmp_path)) == 1
    add(made.folder, dose(2), dose(3))
    assert sum(d.n_pulses for d in history_of(tmp_path)) == 3
    made.close((START_NS, UTC_NS, 0))
    assert read_info(made.folder).state == "closed"
    assert sum(d.n_pulses for d in history_of(tmp_path)) == 3


def test_a_deleted_session_still_counts(tmp_path: Path) -> None:
    made = session(tmp_path, dose(1))
    before = history_of(tmp_path)
    shutil.rmtree(made.folder)
    assert history_of(tmp_path) == before


def test_a_session_that_cannot_be_read_is_named_and_the_others_count(tmp_path: Path) -> None:
    bad = session(tmp_path, dose(1))
    session(tmp_path, dose(1), mark="2")
    (bad.folder / "events.sqlite").write_bytes(b"nothing of the kind" * 100)
    with DoseHistory(tmp_path / "history.sqlite") as history:
        (sentence,) = history.take_in(tmp_path, "padova")
        assert bad.folder.name in sentence
        assert sum(d.n_pulses for d in history.doses()) == 1


def test_a_session_that_died_before_its_event_log_gave_nothing(tmp_path: Path) -> None:
    (session(tmp_path).folder / "events.sqlite").unlink()
    assert history_of(tmp_path) == []


@pytest.mark.parametrize("content", [b"nonsense" * 100, b"SQLite format 3\0" + b"\0" * 2000])
def test_a_damaged_history_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "history.sqlite").write_bytes(content)
    with pytest.raises(RecordingError, match=r"history\.sqlite"):
        DoseHistory(tmp_path / "history.sqlite")


def test_another_database_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "history.sqlite")) as database:
        database.execute("CREATE TABLE something (a INTEGER)")
    with pytest.raises(RecordingError, match="not a dose history"):
        DoseHistory(tmp_path / "history.sqlite")


def told(doses: list[PastDose], utc_ns: int, **limits) -> Rig:
    """A Gate that was told the past, armed."""
    device = DeviceLimits(budget_pulses=limits.pop("budget_pulses", 1000))
    rig = Rig(
        stimulator(limits=StimulationLimits(**limits)), array(devices={DEVICE: ("m1", device)})
    )
    provenance = {"mea": Provenance.MOCK, "smu": Provenance.MOCK}
    tell_past(rig.gate, doses, provenance, now_ns=rig.now_ns, utc_ns=utc_ns)
    rig.gate.boot_done(rig.now_ns)
    assert rig.arm() is None
    rig.read()
    return rig


def test_the_hour_and_the_day_reach_back_and_end(tmp_path: Path) -> None:
    session(tmp_path, *(dose(n) for n in range(10)))
    doses = history_of(tmp_path)
    at = doses[0].utc_ns
    cases = [
        ("max_triggers_per_hour", RefusalReason.HOUR_DOSE, HOUR_NS),
        ("max_triggers_per_day", RefusalReason.DAY_DOSE, 24 * HOUR_NS),
    ]
    for field, reason, window_ns in cases:
        for age_ns, expected in ((0, reason), (window_ns - SECOND, reason), (2 * window_ns, None)):
            rig = told(doses, at + age_ns, **{field: 10})
            assert rig.reason(Stimulate(1), kind=CauseKind.OPERATOR) is expected, (field, age_ns)
        # UTC was set back: what seems to lie ahead has just been.
        assert told(doses, at - HOUR_NS, **{field: 10}).reason(Stimulate(1)) is reason
        assert told(doses, at, **{field: 11}).reason(Stimulate(1)) is None


def test_a_budget_counts_the_whole_life(tmp_path: Path) -> None:
    session(tmp_path, *(dose(n, "m1", instrument="smu") for n in range(3)))
    session(tmp_path, dose(1, "m1", instrument="smu"), utc_ns=UTC_NS + 100 * HOUR_NS, mark="2")
    doses = history_of(tmp_path)
    later = UTC_NS + 101 * HOUR_NS
    assert told(doses, later, budget_pulses=4).reason(PULSE_DEVICE) is RefusalReason.BUDGET
    rig = told(doses, later, budget_pulses=5)
    assert rig.reason(PULSE_DEVICE) is None
    assert rig.gate.snapshot().spent[0].n_pulses == 5


def test_what_a_mock_received_does_not_count_for_the_real_one() -> None:
    past = PastDose("live", "smu", "m1", UTC_NS, 1000, 0.0)
    of_no_site = PastDose("mock", "gone", "m1", UTC_NS, 1000, 0.0)
    assert told([past, of_no_site], UTC_NS, budget_pulses=1).reason(PULSE_DEVICE) is None
