"""Sessions used elsewhere: the example in docs/examples, and as a source of samples."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_session import make_session

from app.recording.reader import open_session
from drivers.errors import InstrumentProtocolError
from drivers.mea.playback.driver import Playback
from drivers.mea.playback.open_recording import open_recording

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


def test_a_session_without_raw_samples_is_one_sentence(tmp_path: Path) -> None:
    session = make_session(tmp_path, seconds=0.1)
    shutil.rmtree(session / "Record Node 101")
    for folder, words in ((session, "no raw samples to plot"), (tmp_path, "no events.sqlite")):
        command = [sys.executable, "-I", str(EXAMPLE), str(folder), str(tmp_path / "a.png")]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 1
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
    with pytest.raises(InstrumentProtocolError, match="a session without raw samples"):
        open_recording(session)


def test_a_session_is_a_source_and_its_gaps_are_gaps(tmp_path: Path) -> None:
    session = make_session(tmp_path, seconds=0.5, gap=300)
    ticks = iter(range(0, 10**18, 10**10))
    player = Playback("mea1", session, is_looping=False, clock_ns=lambda: next(ticks))
    player.open()
    player.start()
    blocks = []
    while not player.is_finished:
        block = player.read_block(1.0)
        blocks += [] if block is None else [block]
    player.close()
    with open_session(session) as reader:
        raws = reader.raw()
    assert len(raws) == 2
    played = np.concatenate([block.samples for block in blocks])
    np.testing.assert_array_equal(played, np.concatenate([raw.samples for raw in raws]))
    assert [block.n_lost for block in blocks if block.n_lost] == [300]
    rows = open_recording(session).samples
    np.testing.assert_array_equal(rows[4900:5100], played[4900:5100])
    assert len(rows[7:7]) == 0
