"""`spikebridge audit` and `history`: what they find in a session, and what in a forged one."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import one_site
import pytest
from test_dose_history import UTC_NS, dose, session

from app.cli import main
from app.core.clock import utc_anchor
from app.exit_codes import ExitCode
from app.recording.rows import AuditRecordRow, DeliveryRow, DevicePulseRow
from app.recording.schema import INSERTS
from app.safety.audit import GENESIS, DeliveryOutcome
from drivers.permit import DriveNeuron, Permit
from tests.test_gate_rig import MS, armed_rig


def write(folder: Path, statement: str, *rows: tuple) -> None:
    with closing(sqlite3.connect(folder / "events.sqlite")) as database, database:
        database.executemany(statement, rows or [()])


@pytest.fixture
def audited(tmp_path: Path) -> Path:
    """A session with ten permits, nine of them reported on, and some refusals."""
    rig = armed_rig()
    for n in range(10):
        permit = rig.ask(DriveNeuron(7, n))
        assert isinstance(permit, Permit)
        if n < 9:
            outcome = DeliveryOutcome.DELIVERED
            rig.gate.record_delivery(permit.number, outcome, "", rig.now_ns)
        rig.ask(DriveNeuron(9, n))
        rig.now_ns += MS
    folder = session(tmp_path).folder
    rows = [
        AuditRecordRow(
            *(v.value if hasattr(v, "value") else v for v in msgspec.structs.astuple(row))
        )
        for row in rig.rows
    ]
    write(folder, INSERTS[AuditRecordRow], *rows)
    write(folder, INSERTS[DeliveryRow], DeliveryRow(1, "drive", 5, None, "delivered", ""))
    return folder


def test_a_whole_chain_is_whole(audited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(audited)]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "29 audit rows, 10 permits" in said
    assert "refused: 10 unknown target" in said
    assert "permits became: 9 delivered; 1 without a word" in said
    assert "the chain is whole" in said
    head = said.split("kept elsewhere: ")[1].split()[0]
    assert main(["audit", str(audited), "--head", head]) == ExitCode.OK
    assert main(["audit", str(audited), "--head", GENESIS]) == ExitCode.OK, "noted before any row"
    write(audited, "DELETE FROM audit WHERE rowid > 20")
    assert main(["audit", str(audited)]) == ExitCode.OK, "what is cut off at the end does not show"
    assert main(["audit", str(audited), "--head", head]) == ExitCode.FAILED
    assert "rows are missing at the end" in capsys.readouterr().out


FORGERIES = {
    "a refusal turned into a permit": "UPDATE audit SET verdict = 'permit' WHERE rowid = 3",
    "another time": "UPDATE audit SET time_ns = time_ns + 1 WHERE rowid = 5",
    "another cause": "UPDATE audit SET cause = 'operator' WHERE rowid = 5",
    "a row taken out": "DELETE FROM audit WHERE rowid = 10",
    "the first row taken out": "DELETE FROM audit WHERE rowid = 1",
    "a foreign kind": "UPDATE audit SET kind = 'permit' WHERE rowid = 29",
    "two rows exchanged": "UPDATE audit SET rowid = CASE rowid WHEN 4 THEN -4 ELSE rowid END",
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_audit_is_found(audited: Path, forgery: str, capsys) -> None:
    write(audited, FORGERIES[forgery])
    assert main(["audit", str(audited)]) == ExitCode.FAILED
    said = capsys.readouterr().out
    assert "FAULT: " in said
    assert "the chain is broken" in said


def test_what_was_sent_without_a_permit_is_found(audited: Path, capsys) -> None:
    write(audited, INSERTS[DeliveryRow], DeliveryRow(2, "drive", 5, None, "delivered", ""))
    pulse = DevicePulseRow(
        9, 8, "smu", "m1", 1, 1, 1, 1.0, 1e-6, "LTP", 1e4, 2e4, "moved", "", None
    )
    write(audited, INSERTS[DevicePulseRow], pulse, pulse._replace(verdict="refused"))
    assert main(["audit", str(audited)]) == ExitCode.FAILED
    said = capsys.readouterr().out
    assert "delivery of request 2: was sent, not permitted" in said
    assert said.count("pulse on m1 at 9 ns: was sent, not permitted") == 1


def test_no_session_is_one_sentence(tmp_path: Path, capsys) -> None:
    assert main(["audit", str(tmp_path)]) == ExitCode.FAILED
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_history_sums_up_over_sessions(tmp_path: Path, capsys) -> None:
    site_file = one_site.site_file(tmp_path)
    assert main(["history", str(site_file)]) == ExitCode.OK
    assert "nothing was ever given" in capsys.readouterr().out
    root = tmp_path / "sessions"
    now_ns = utc_anchor()[1]
    for mark, utc_ns in (("1", UTC_NS), ("2", now_ns)):
        doses = [dose(n, "m1", instrument="arc1") for n in range(3)]
        made = session(root, *doses, dose(9, "A-000"), utc_ns=utc_ns, mark=mark)
        renamed = made.folder.with_name(made.folder.name.replace("padova", "bench"))
        made.folder.rename(renamed)
    assert main(["history", str(site_file)]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "arc1 m1: 6 of 1,000,000 pulses of its life (0.0%), 3 in the last day" in said
    assert "last day 1, 400 pC; all in all 2, 800 pC" in said
    assert main(["history", str(site_file), "--json"]) == ExitCode.OK
    lines = json.loads(capsys.readouterr().out)
    assert [(line["target"], line["n_hour"], line["n_life"]) for line in lines] == [
        ("m1", 3, 6),
        ("A-000", 1, 2),
    ]
    (renamed / "events.sqlite").write_bytes(b"gone" * 500)
    (tmp_path / "bench.history.sqlite").unlink()
    assert main(["history", str(site_file)]) == ExitCode.FAILED
    assert "NOT COUNTED" in capsys.readouterr().out
