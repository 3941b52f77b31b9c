"""kill -9 at random moments while 1,024 channels at 20 kHz are recorded: every session opens.

20 kills by default; SPIKEBRIDGE_KILLS=200 asks for more, and then also for at most 100 ms of
samples lost, which a machine that is busy with other tests cannot promise.
"""

import logging
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import spikeinterface.extractors as se
from killed_recorder import FIRST, N_CHANNELS, RATE_HZ, samples_of
from neo.rawio import OpenEphysBinaryRawIO
from open_ephys.analysis import Session as OpenEphysSession

from app.recording.reader import open_session
from app.recording.recovery import recover_session
from app.recording.rows import NoteRow, SpikeRow
from app.recording.session import session_folders

log = logging.getLogger(__name__)

N_KILLS = int(os.environ.get("SPIKEBRIDGE_KILLS", "20"))
IS_STRICT = N_KILLS > 20
MAX_LOST_S = 0.1 if IS_STRICT else 1.0
HERE = Path(__file__).parent


def record_and_kill(root: Path, seed: int) -> tuple[int, int]:
    """Return how many samples were offered and which event was the last told as committed."""
    rng = random.Random(seed)
    root.mkdir()
    (root / "progress").write_bytes(bytes(24))
    environment = {**os.environ, "PYTHONPATH": f"{HERE.parent}:{HERE}"}
    command = [sys.executable, str(HERE / "killed_recorder.py"), str(root)]
    progress = np.memmap(root / "progress", np.int64, "r", shape=(3,))
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        try:
            deadline_s = time.monotonic() + 40.0
            while not progress[2]:
                assert process.poll() is None
                assert time.monotonic() < deadline_s, "never recorded"
                time.sleep(0.01)
            time.sleep(rng.uniform(0.0, 0.4))
        finally:
            process.send_signal(signal.SIGKILL)
        assert process.stdout is not None
        assert process.stdout.read() == ""
    return int(progress[0]), int(progress[1])


def check_without_repair(folder: Path, n_offered: int, n_told: int) -> int:
    """Open the session with every reader; return how many samples are in it."""
    recording = se.read_openephys(folder, load_sync_timestamps=False)
    n_samples = recording.get_num_samples()
    assert recording.get_num_channels() == N_CHANNELS
    for first in range(0, n_samples, 2000):
        end = min(first + 2000, n_samples)
        traces = recording.get_traces(start_frame=first, end_frame=end)
        np.testing.assert_array_equal(traces, samples_of(FIRST + first, end - first))
    assert 0 <= n_offered - n_samples <= MAX_LOST_S * RATE_HZ + 200
    neo = OpenEphysBinaryRawIO(str(folder))
    neo.parse_header()
    assert neo.get_signal_size(0, 0, 0) == n_samples
    (oe,) = OpenEphysSession(str(folder)).recordnodes[0].recordings
    assert oe.continuous[0].samples.shape == (n_samples, N_CHANNELS)
    with open_session(folder) as reader:
        assert reader.integrity() == "ok"
        n_notes = reader.count(NoteRow)
        assert n_notes >= n_told
        assert reader.count(SpikeRow) == 20 * n_notes
        assert [note.time_ns for note in reader.rows(NoteRow)] == list(range(1, n_notes + 1))
    return n_samples


def check_recovered(folder: Path, n_samples: int, *, with_nwb: bool) -> None:
    recovery = recover_session(folder)
    assert recovery.state == "recovered", recovery.said
    with closing(open_session(folder)) as reader:
        (raw,) = reader.raw()
        assert len(raw.samples) == n_samples
        numbers = np.load(raw.folder / "continuous/MEA-100.raw/sample_numbers.npy")
        np.testing.assert_array_equal(numbers, FIRST + np.arange(n_samples))
        if with_nwb:
            from nwbinspector import inspect_nwbfile
            from pynwb import validate

            from app.sessions.export.nwb import export_nwb

            path = folder / "export.nwb"
            export_nwb(reader, path)
            assert list(validate(path=str(path))) == []
            assert list(inspect_nwbfile(nwbfile_path=path)) == []


@pytest.mark.timeout(60 + 15 * N_KILLS)
def test_every_killed_session_opens_without_repair(tmp_path: Path) -> None:
    lost_s = []
    with ThreadPoolExecutor(2) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the independent readers
        kills = [pool.submit(record_and_kill, tmp_path / str(n), n) for n in range(N_KILLS)]
        for number, kill in enumerate(kills):
            n_offered, n_told = kill.result()
            (folder,) = session_folders(tmp_path / str(number))
            n_samples = check_without_repair(folder, n_offered, n_told)
            check_recovered(folder, n_samples, with_nwb=number % 10 == 0)
            lost_s.append((n_offered - n_samples) / RATE_HZ)
            for path in folder.rglob("*.dat"):
                path.unlink()
    log.info("%d kills, at most %.0f ms of samples lost", N_KILLS, 1e3 * max(lost_s))
