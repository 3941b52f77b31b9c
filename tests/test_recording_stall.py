"""A disk that stands still under a whole engine: nothing is lost and everything else goes on."""

import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import mea_site
import numpy as np
import pytest
from chain_rig import until
from console_rig import attached

from app.console.feed import EnvelopeBatch
from app.core.worker import Worker
from app.recording.reader import open_session
from app.recording.session_log import SessionLog
from app.run_engine import stuck_after_ns
from app.safety.actuator_worker import ActuatorWorker

STALL_SAMPLES = 2 * mea_site.RATE_HZ
SLOW_ENGINE = (sys.executable, str(Path(__file__).parent / "slow_disk_engine.py"))


def test_a_disk_that_stalls_for_2_s_costs_no_sample_no_picture_and_no_event(
    tmp_path: Path,
) -> None:
    with mea_site.running(mea_site.site_file(tmp_path), SLOW_ENGINE) as site:

        def recording() -> dict[str, object]:
            return site.call("status")["recording"]

        until(lambda: recording()["state"] == "recording", "recording light")
        console = attached(site.folder.console_socket)
        console.send("subscribe")
        shown: list[int] = []

        def shown_until() -> int:
            shown.extend(a.end_sample for a in console.poll() if isinstance(a, EnvelopeBatch))
            return shown[-1] if shown else 0

        until(lambda: shown_until() > 0, "pictures come")
        until(site.folder.engine.exists, "engine says who it is")
        pid = site.engine_pid
        os.kill(pid, signal.SIGUSR1)
        first_shown = shown_until()
        site.call("note", who="operator at padova", text="while the disk stood still")
        until(lambda: recording()["n_waiting"] >= STALL_SAMPLES, "2 s of samples wait", 60.0)
        until(lambda: shown_until() >= first_shown + STALL_SAMPLES, "pictures went on")
        during = site.call("status")
        os.kill(pid, signal.SIGUSR2)
        until(lambda: recording()["n_waiting"] < mea_site.RATE_HZ / 10, "all of it is written")
        after = site.call("status")
        console.close()
        site.call("shutdown")
        assert site.process.wait(20.0) == 0
    assert during["gate"]["state"] == after["gate"]["state"] == "armed"
    assert during["event_log"]["is_writable"]
    assert after["recording"]["n_samples_lost"] == after["event_log"]["n_rows_lost"] == 0
    assert after["amplifier"]["n_gaps"] == 0
    with open_session(Path(after["session_folder"])) as session:
        (raw,) = session.raw()
        n_samples = len(raw.samples)
        stream = next(raw.folder.glob("continuous/*"))
        numbers = np.load(stream / "sample_numbers.npy")
    assert n_samples > STALL_SAMPLES
    np.testing.assert_array_equal(numbers, raw.first_sample + np.arange(n_samples))
    with closing(sqlite3.connect(session.folder / "events.sqlite")) as events:
        assert events.execute("SELECT count(*) FROM gaps").fetchone() == (0,)
        ended = events.execute("SELECT event FROM raw_recordings ORDER BY rowid").fetchall()
        notes = [text for (text,) in events.execute("SELECT text FROM notes")]
    assert ended == [("started",), ("closed",)]
    assert "while the disk stood still" in notes


@pytest.mark.parametrize(
    ("kind", "is_log_writing", "limit_s"),
    [
        (Worker, True, 3),
        (SessionLog, False, 30),
        (ActuatorWorker, False, 3),
        (ActuatorWorker, True, 30),
    ],
)
def test_what_waits_for_the_disk_may_stand_still_longer(
    kind: type[Worker], is_log_writing: bool, limit_s: int
) -> None:
    worker = kind.__new__(kind)
    assert stuck_after_ns(worker, is_log_writing=is_log_writing) == limit_s * 1_000_000_000
