"""Every branch of the Gate is walked by its unit tests, and no comparison may be wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOT_THE_GATE = {"actuator_worker.py", "basis.py", "limits_page.py"}
"""The thread that delivers, and pages about limits; they have tests of their own."""
N_MUTANTS = int(os.environ.get("SPIKEBRIDGE_MUTANTS", "6"))
"""0: all of them, some minutes."""


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=None if N_MUTANTS == 0 else 55,
        check=False,
    )


def test_every_branch_of_the_gate_is_walked(tmp_path: Path) -> None:
    data = {"COVERAGE_FILE": str(tmp_path / "coverage")}
    tests = sorted(str(p) for p in (ROOT / "tests").glob("test_safety_*.py"))
    tests.append(str(ROOT / "tests" / "test_gate_provenance.py"))
    done = run(
        "-m", "coverage", "run", "--branch", "--source=app.safety,drivers.permit",
        "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, **data,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    report = tmp_path / "coverage.json"
    assert run("-m", "coverage", "json", "-q", "-o", str(report), **data).returncode == 0
    files = json.loads(report.read_text())["files"]
    assert "drivers/permit.py" in files
    left = {
        name: (file["missing_lines"], file["missing_branches"])
        for name, file in files.items()
        if Path(name).name not in NOT_THE_GATE
        and (file["missing_lines"] or file["missing_branches"])
    }
    assert left == {}
    walked = {Path(name).name for name in files}
    assert walked >= {"gate.py", "decider.py", "state.py", "device_limits.py", "electrode.py"}


def test_wrong_comparisons_are_noticed() -> None:
    done = run("tests/mutation.py", "--sample", str(N_MUTANTS))
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "SURVIVED" not in done.stdout
    assert f"{N_MUTANTS} killed" in done.stdout or N_MUTANTS == 0
