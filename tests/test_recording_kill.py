"""A recorder killed while it writes fast: what it called committed is there, and all opens."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from open_ephys.analysis import Session as OpenEphysSession

from app.recording.reader import open_session
from app.recording.received import last_seqs
from app.recording.rows import NoteRow, RawRecordingRow, SpikeRow
from app.recording.session import session_folders

WRITER = """
import os, sys, time
from pathlib import Path
import numpy as np
from app.core.spikes import SPIKE_RECORD
from app.recording.event_log import EventLog
from app.recording.raw_writer import RawWriter
from app.recording.rows import NoteRow, ReceivedFrameRow, SpikeRows
from app.recording.session import create_session
from drivers.mea.protocol import SampleBlock, StimMark, StreamFormat

def fail(name, exc):
    print("FAILED", name, exc, flush=True)

session = create_session(
    Path(sys.argv[1]), site="site-a", session=os.urandom(16).hex(), config=b"", experiment=b"",
    experiment_sha256="", software={}, clock="c", anchor=(0, time.time_ns(), 0), reserve_bytes=4096)
log = EventLog(session.events_path, on_failure=fail, sync_period_s=0.02,
               checkpoint_at_bytes=200_000)
raw = RawWriter(session.node_folder(), on_failure=fail, record=log.append, sync_period_s=0.02,
                clock_ns=lambda: time.monotonic_ns() * 50)
log.start(); raw.start()
raw.start_recording(StreamFormat(tuple(f"C{n}" for n in range(64)), 20_000.0, 0.195))
spikes = np.zeros(20, SPIKE_RECORD)
number = 0
while True:
    first = number * 256
    samples = (np.arange(first * 64, (first + 256) * 64) % 60_000 - 30_000).astype(np.int16)
    raw.offer(SampleBlock(samples.reshape(256, 64), first, 0, 0, (StimMark(first, 1, 1e-6),)))
    number += 1
    spikes["time_ns"] = number
    log.append_many(
        [NoteRow(number, "a", "x" * 200), SpikeRows("site-b", 1, number, spikes.copy()),
         ReceivedFrameRow(0, "site-b", "peer", number, number, "SPIKES", 20, 0)],
        lambda number: print(number, flush=True), number)
    if number % 50 == 0:
        log.append_durably().wait(1.0)
    while raw.status().n_waiting > 100 * 256:
        time.sleep(0.001)
"""


def write_and_kill(root: Path, n_committed: int) -> int:
    """Kill the writer once it has called `n_committed` frames committed; return the last such."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            last = 0
            while last < n_committed:
                line = process.stdout.readline()
                assert line.strip().isdigit(), f"the writer said {line!r}"
                last = int(line)
        finally:
            process.send_signal(signal.SIGKILL)
        # What it had still said before it died counts; a line cut by its death does not.
        said = [line for line in process.stdout if line.endswith("\n")]
    return int(said[-1]) if said else last


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # in the independent reader
@pytest.mark.parametrize("n_committed", [1, 150, 400])
def test_what_was_committed_survives_the_death_of_the_recorder(
    tmp_path: Path, n_committed: int
) -> None:
    last = write_and_kill(tmp_path, n_committed)
    (folder,) = session_folders(tmp_path)
    with open_session(folder) as reader:
        assert reader.integrity() == "ok"
        assert reader.info.state == "recording"
        notes = [row.time_ns for row in reader.rows(NoteRow)]
        assert notes == list(range(1, len(notes) + 1))
        assert len(notes) >= last >= n_committed
        # A frame and its spikes are in one transaction: all of both, or none.
        n_spikes = np.bincount(reader.spikes()["time_ns"])
        assert n_spikes.tolist() == [0] + [20] * len(notes)
        assert reader.count(SpikeRow) == 20 * len(notes)
        assert last_seqs(folder) == {"peer": len(notes)}
        for row in reader.rows(RawRecordingRow):
            assert row.event == "started"
        check_raw(folder, [raw.samples for raw in reader.raw()])


def check_raw(folder: Path, recordings: list[np.ndarray]) -> None:
    for samples in recordings:
        values = np.arange(samples.size).reshape(samples.shape)
        np.testing.assert_array_equal(samples, values % 60_000 - 30_000)
    for npy in folder.glob("Record Node 101/experiment1/recording1/**/*.npy"):
        rows = np.load(npy)  # refuses a header that counts more rows than there are
        assert npy.stat().st_size >= 128 + rows.nbytes
    for dat in folder.glob("*/experiment1/recording1/continuous/*/continuous.dat"):
        # Linux may end a dying process's write between two pages, so at most a frame is torn.
        n_torn = dat.stat().st_size % 128
        assert n_torn % 2 == 0
        if n_torn == 0:
            (recording,) = OpenEphysSession(str(folder)).recordnodes[0].recordings
            assert recording.continuous[0].samples.shape == recordings[0].shape
            assert len(recording.continuous[0].sample_numbers) <= max(1, len(recordings[0]))
            assert recording.messages["message"][0] == "recording started"
            states = recording.events["state"] if recording.events is not None else []
            assert len(states) % 2 == 0
