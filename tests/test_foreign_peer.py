"""A peer that has nothing of ours: a key made as wire.md says, the reference peer, an engine."""

import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import one_site
import pytest

from app.cli import main
from app.demo.sites import ready, site_process
from app.exit_codes import ExitCode

DOCS = Path(__file__).parents[1] / "docs"
N_SPIKES = 50
LINK = """
[listen]
host = "127.0.0.1"
port = 0
[[peers]]
site = "zurich"
may = { send = ["chip9"] }
"""


def key_as_the_page_says(folder: Path) -> str:
    """Run both commands of the page; return the fingerprint that the second one prints."""
    making, showing = re.findall(r"^    (openssl .*)$", (DOCS / "wire.md").read_text(), re.M)
    subprocess.run(shlex.split(making), cwd=folder, check=True, capture_output=True)
    showing = showing.partition("#")[0]
    shown = subprocess.run(showing, shell=True, cwd=folder, check=True, capture_output=True)
    return shown.stdout.decode().split()[0]


@pytest.mark.skipif(
    not (shutil.which("openssl") and shutil.which("sha256sum")), reason="no openssl"
)
def test_the_reference_peer_sends_into_the_recording_of_an_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fingerprint = key_as_the_page_says(tmp_path)
    site_file = one_site.site_file(tmp_path / "bench", LINK)
    assert main(["keygen", str(site_file)]) == ExitCode.OK
    assert main(["trust", str(site_file), str(tmp_path / "zurich.crt")]) == ExitCode.OK
    assert fingerprint in capsys.readouterr().out.replace(" ", "")
    with site_process("bench", site_file, "--mock") as site:
        ready(site)
        status = site.call("status")
        done = subprocess.run(
            [
                sys.executable, "-I", str(DOCS / "reference_peer.py"), "127.0.0.1",
                str(status["listen_port"]), "--site", "zurich",
                "--key", str(tmp_path / "zurich.key"),
                "--certificate", str(tmp_path / "zurich.crt"), "--peer", "bench",
                "--peer-certificate", str(site_file.parent / "keys" / "bench.crt"),
                "--stream", "chip9", "--neuron", "63", "--spikes", str(N_SPIKES),
                "--rate-hz", "1000",
            ],
            env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True, timeout=40,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        (link,) = site.call("status")["links"]
        assert (link["n_events_received"], link["n_events_refused"]) == (N_SPIKES, 0)
        assert (link["n_frames_lost"], link["n_duplicates"]) == (0, 0)
        folder = site_file.parent / status["session_folder"]
        # It ended because all is acknowledged, which means: it can be read in the event log now.
        log = sqlite3.connect(f"file:{folder / 'events.sqlite'}?mode=ro", uri=True)
        found = log.execute(
            "SELECT time_ns, neuron, origin_seq, amplitude_uv FROM spikes WHERE site = 'zurich'"
        ).fetchall()
        log.close()
    assert len(found) == N_SPIKES
    assert {(neuron, amplitude) for _, neuron, _, amplitude in found} == {(63, None)}
    assert [row[0] for row in found] == sorted({row[0] for row in found})
    assert [row[2] for row in found] == sorted({row[2] for row in found})
