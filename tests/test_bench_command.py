"""`spikebridge bench` as its user runs it: simulated instruments, files, exit codes."""

import json
import os
import re
import select
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import pytest
from bench_site import site_file

from app.bench.arc_csv import read_session
from app.cli import main
from app.safety.audit import AuditRow, verify_chain

LIMIT_S = 40.0


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return site_file(tmp_path)


def bench(site: Path, *arguments: str) -> int:
    return main(["bench", str(site), "--mock", "--out", str(site.parent / "out"), *arguments])


def test_curve_then_program_then_the_array_view(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = site.parent / "out"
    assert bench(site, "--smu", "smu1", "iv", "cell", "--up", "0.6", "--down", "0.4") == 0
    rows = read_session(out / "bench-iv.csv")
    assert len([row for row in rows if row.width_s > 0]) == 11 + 7
    assert (out / "bench-iv.png").read_bytes().startswith(b"\x89PNG")
    assert bench(site, "--smu", "smu1", "--json", "program", "cell", "--target", "6000") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["results"][0]["reason"] == "reached"
    assert bench(site, "array") == 0
    shown = capsys.readouterr().out
    assert "smu1 cell (1, 1) W7 working" in shown
    n_pulses = 18 + result["results"][0]["n_writes"]
    (n_counted,) = re.findall(r"(\d+) of 1000000 pulses", shown)
    assert int(n_counted) >= n_pulses  # both sessions count, and permits that came too late
    audited = 0
    for session in (site.parent / "sessions").iterdir():
        assert main(["replay", str(session)]) == 0  # every verdict comes again
    for session in (site.parent / "sessions").iterdir():
        connection = sqlite3.connect(session / "events.sqlite")
        columns = ", ".join(AuditRow.__struct_fields__)
        rows_of = connection.execute(f"SELECT {columns} FROM audit ORDER BY rowid").fetchall()
        connection.close()
        audited += sum(row[7] == "permit" for row in rows_of)
        assert verify_chain(AuditRow(*row) for row in rows_of) is None
        assert json.loads((session / "session.json").read_text())["state"] == "closed"
        assert len((session / "bench-points.jsonl").read_text().splitlines()) >= 3
    assert audited >= n_pulses


def test_whole_array(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(site, "--smu", "arc1", "read", "--all") == 0
    assert "16 devices, median 5" in capsys.readouterr().out


def test_a_device_that_does_not_move_is_frozen_until_somebody_unfreezes_it(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pulse = ("--smu", "smu1", "pulse", "cell", "--width", "1e-4", "--volts")
    assert bench(site, *pulse, "0.8") == 1
    assert "unmoved" in capsys.readouterr().out
    assert bench(site, *pulse, "1.5") == 1
    assert "frozen: unmoved by +0.8 V" in capsys.readouterr().err
    assert bench(site, "--smu", "smu1", "--who", "me", "unfreeze", "cell") == 0
    assert bench(site, *pulse, "1.5") == 0
    assert "expected up: moved" in capsys.readouterr().out


def test_refusals_are_sentences(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(site), "--mock", "read"]) == 2
    assert "name one source-measure unit with --smu: arc1, smu1" in capsys.readouterr().err
    assert bench(site, "--smu", "smu1", "form", "cell") == 1
    assert "is not armed" in capsys.readouterr().err


def test_what_was_asked_and_found_is_in_the_record_and_the_files_with_the_temperature(
    site: Path,
) -> None:
    arguments = ("--smu", "smu1", "--temperature-c", "21.5", "--hdf5", "read", "cell")
    assert bench(site, *arguments) == 0
    out = site.parent / "out"
    facts = json.loads((out / "bench-read.json").read_text())
    assert (facts["temperature_c"], facts["is_well"], facts["n_points"]) == (21.5, True, 1)
    with h5py.File(out / "bench-read.h5") as file:
        assert json.loads(file.attrs["facts"])["temperature_c"] == 21.5
    (session,) = (site.parent / "sessions").iterdir()
    connection = sqlite3.connect(session / "events.sqlite")
    notes = [row[0] for row in connection.execute("SELECT text FROM notes ORDER BY rowid")]
    connection.close()
    assert "read began (bench): cell; times 1" in notes
    assert any(note.startswith("read ended: cell: ") for note in notes)


def test_the_five_lines_of_the_page_run_as_they_stand(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[1] / "docs" / "bench.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len([line for line in block.splitlines() if line.strip()]) == 5
    monkeypatch.chdir(site.parent)
    found: dict[str, Any] = {}
    exec(compile(block, "docs/bench.md", "exec"), found)
    assert abs(found["done"].error) <= 0.02
    assert found["bench"].points


def test_an_abort_leaves_in_order_and_keeps_what_was_measured(site: Path) -> None:
    command = [sys.executable, "-m", "app.cli", "bench", str(site), "--mock", "--smu", "smu1"]
    command += ["--out", str(site.parent / "out"), "retention", "cell", "--seconds", "3600"]
    process = subprocess.Popen(
        [*command, "--interval", "0.05"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        points = _await_points(site.parent / "sessions")
        process.send_signal(signal.SIGTERM)
        text, _ = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1
    assert "aborted; what was measured is kept" in text
    n_kept = len(read_session(site.parent / "out" / "bench-retention.csv"))
    assert n_kept == len(points.read_text().splitlines()) >= 2
    assert json.loads((points.parent / "session.json").read_text())["state"] == "closed"


def _await_points(sessions: Path) -> Path:
    """Return the file of points once there are two in it."""
    waited_s = 0.0
    while waited_s < LIMIT_S:
        for path in sessions.glob("*/bench-points.jsonl"):
            if len(path.read_text().splitlines()) >= 2:
                return path
        select.select([], [], [], 0.05)
        waited_s += 0.05
    raise AssertionError("nothing was measured")
