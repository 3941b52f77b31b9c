"""The ArC ONE vendor's own client, unchanged, on the simulated board: an independent witness.

It lives in an environment of its own (`./run tests` makes it) and is not a dependency.
"""

import json
import subprocess
from pathlib import Path

import pytest
from arc_board_rig import running

PYTHON = Path(__file__).parent.parent / ".venv-libarc1" / "bin" / "python"
SCRIPT = Path(__file__).parent / "vendor" / "use_libarc1.py"
LIMIT_S = 40


@pytest.fixture(scope="module")
def session():
    """What libarc1 read, and what really happened."""
    if not PYTHON.exists():
        pytest.skip(f"the vendor's client is not installed: no {PYTHON}; ./run tests installs it")
    ready = subprocess.run(
        [PYTHON, "-c", "import libarc1"], capture_output=True, text=True, timeout=60, check=False
    )
    if ready.returncode:
        pytest.skip(f"the vendor's client is not usable: {ready.stderr.strip()[-200:]}")
    with running("--boot-s", "0.3", "--initial", "2,3=5000 4,1=3710 1,2=7000") as board:
        done = subprocess.run(
            [PYTHON, str(SCRIPT), board.ready["pty"]],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        yield json.loads(done.stdout), board.ask("pulses")["pulses"], board.ask("status")


def test_it_connects_and_reads(session):
    found, _, status = session
    assert found["firmware"] == [1, 3]
    assert found["first"] == 5000
    assert status["n_resets"] == 1
    assert status["n_lines_lost"] == 0


def test_it_pulses(session):
    found, pulses, _ = session
    assert found["pulsed"] == pytest.approx(5000 * 1.0863, rel=1e-4)
    assert found["pulsed_back"] == pytest.approx(pulses[1]["after_ohm"], rel=1e-6)
    assert found["pulsed_back"] < found["pulsed"]
    assert [p["amplitude_v"] for p in pulses[:2]] == [1.5, -1.5]
    assert [p["width_s"] for p in pulses[:2]] == [1e-4, 1e-4]


def test_it_reads_at_a_negative_voltage(session):
    found, _, _ = session
    # The negative branch is fitted so that both agree at the reference voltage.
    assert found["negative"] == pytest.approx(found["pulsed_back"], rel=1e-6)


def test_it_reads_all_and_some(session):
    found, _, _ = session
    places = [(w, b) for w in range(1, 5) for b in range(1, 4)]
    assert [(w, b) for w, b, _ in found["all"]] == places
    ohms = dict(zip(places, (ohm for _, _, ohm in found["all"]), strict=True))
    assert ohms[1, 1] == 5000
    assert ohms[1, 2] == 7000
    assert ohms[4, 1] == 3710
    assert ohms[2, 3] == pytest.approx(found["pulsed_back"])
    assert found["masked"] == [[4, 1, 3710], [1, 2, 7000]]


def test_it_traces_curves(session):
    found, pulses, _ = session
    volts = [round(v, 3) for _, _, _, v, _, _ in found["curve"]]
    up = [round(0.1 * k, 3) for k in range(1, 11)]
    cycle = up + up[-2::-1] + [-v for v in up] + [-v for v in up[-2::-1]]
    assert volts == cycle * 2
    assert [int(c) for *_, c in found["curve"]] == [0] * 38 + [1] * 38
    at = {v: ohm for (_, _, ohm, *_), v in zip(found["curve"], volts, strict=True)}
    assert at[0.5] == pytest.approx(3710, rel=1e-6)
    assert at[0.1] == pytest.approx(5387, rel=0.03)  # published: 5387.2 at 0.0959 V
    assert at[1.0] == pytest.approx(2490, rel=0.03)  # published: 2490.1 at 1.0148 V
    assert len(pulses) == 2 + 2 * 38
    assert found["last"] == 5000
