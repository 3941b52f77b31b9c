"""The example in docs/examples opens a session with SpikeInterface and sqlite3 alone."""

import subprocess
import sys
from pathlib import Path

from small_session import make_session

EXAMPLE = Path(__file__).parent.parent / "docs/examples/plot_session.py"


def test_the_example_plots_a_session_without_spikebridge(tmp_path: Path) -> None:
    session = make_session(tmp_path, seconds=0.5)
    picture = tmp_path / "a.png"
    text = EXAMPLE.read_text()
    assert "import app" not in text
    assert "from app" not in text
    command = [sys.executable, "-I", "-W", "ignore", str(EXAMPLE), str(session), str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "20 spikes of 2 neurons" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
