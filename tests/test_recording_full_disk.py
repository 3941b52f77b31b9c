"""A disk that really becomes full under a whole engine: a small tmpfs in a mount namespace.

One by default; SPIKEBRIDGE_FULL_DISKS=20 fills twenty, each with another amount of room. Needs the
right to mount.
"""

import os
import random
import sqlite3
import subprocess
import sys
import warnings
from contextlib import closing
from pathlib import Path

import chain_rig
import mea_site
import numpy as np
import pytest
import spikeinterface.extractors as se

from app.cli import main
from app.recording.reader import open_session
from app.recording.recovery import recover_session
from app.recording.session import RESERVE_BYTES

N_DISKS = int(os.environ.get("SPIKEBRIDGE_FULL_DISKS", "1"))
ON_A_SMALL_DISK = """
size=$1 disk=$2 kept=$3; shift 3
mount -t tmpfs -o size=$size small "$disk" || exit 90
trap 'kill -TERM $engine' TERM
"$@" & engine=$!
while kill -0 $engine 2>/dev/null; do wait $engine; code=$?; done
cp -a "$disk"/. "$kept" && exit $code
"""
"""The namespace, and the disk with it, is gone when this ends: nothing stays mounted."""


def may_mount(folder: Path) -> bool:
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "small", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.parametrize("seed", range(N_DISKS))
def test_a_full_disk_ends_the_recording_in_good_order_and_disarms(
    tmp_path: Path, seed: int
) -> None:
    disk, kept = tmp_path / "sessions", tmp_path / "kept"
    disk.mkdir()
    kept.mkdir()
    if not may_mount(disk):
        pytest.skip("a tmpfs cannot be mounted here: needs root and mount namespaces")
    rng = random.Random(seed)
    size = RESERVE_BYTES + rng.randrange(4_000_000, 9_000_000)
    start = ["unshare", "-m", "sh", "-c", ON_A_SMALL_DISK, "sh", str(size), str(disk), str(kept)]
    start += [sys.executable, "-m", "app.cli", "engine"]
    path = mea_site.site_file(tmp_path, is_recording_raw=False, planned_s=0.0)
    with mea_site.running(path, start) as site:
        site.call("record", is_on=True)
        chain_rig.until(lambda: site.call("status")["recording"]["state"] == "failed", "disk full")
        chain_rig.until(lambda: site.call("status")["gate"]["state"] == "disarmed", "disarmed")
        site.call("note", who="operator at padova", text="after the disk was full")
        status = site.call("status")
        assert status["recording"]["failure"].startswith("disk full"), status["recording"]
        assert status["event_log"]["is_writable"]
        assert status["amplifier"]["n_gaps"] == 0
        assert "disk full" in status["gate"]["reason"]
        site.call("shutdown")
        assert site.process.wait(20.0) == 0
    (session,) = kept.iterdir()
    must_be_whole(session, status["recording"]["n_samples"])


def must_be_whole(session: Path, n_samples: int) -> None:
    """The session opens as it is, up to a whole frame, and says what happened to it."""
    assert recover_session(session).state == "whole"
    with open_session(session) as reader:
        (raw,) = reader.raw()
        stream = next(raw.folder.glob("continuous/*"))
        assert len(raw.samples) == n_samples
        numbers = np.load(stream / "sample_numbers.npy")
        assert np.array_equal(numbers, raw.first_sample + np.arange(n_samples))
        (dat,) = session.rglob("continuous.dat")
        assert dat.stat().st_size == raw.samples.nbytes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert se.read_openephys(session).get_num_samples() == n_samples
    with closing(sqlite3.connect(session / "events.sqlite")) as events:
        assert events.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        told = events.execute("SELECT event FROM raw_recordings ORDER BY rowid").fetchall()
        (n_told,) = events.execute("SELECT max(n_samples) FROM raw_recordings").fetchone()
        notes = [text for (text,) in events.execute("SELECT text FROM notes")]
        arming = events.execute("SELECT state, who FROM arming ORDER BY rowid").fetchall()
    assert told == [("started",), ("disk full",)]
    assert n_told == n_samples
    assert "after the disk was full" in notes
    assert ("disarmed", "recorder") in arming
    assert main(["audit", str(session)]) == 0
