"""A recorder of 1,024 channels at 20 kHz with events, to be killed. Run with a root folder.

What it has done stands in `progress` there, three int64 in shared memory that outlive it: samples
offered, the last event whose commit was told, and 1 once the recording light is on.
"""

import mmap
import sys
import time
from pathlib import Path

import numpy as np
from small_session import new_session

from app.core.spikes import SPIKE_RECORD
from app.recording.event_log import EventLog
from app.recording.raw_writer import RawWriter
from app.recording.rows import NoteRow, SpikeRows
from drivers.mea.protocol import SampleBlock, StimMark, StreamFormat

N_CHANNELS, RATE_HZ, BLOCK = 1024, 20_000.0, 100
FIRST = 5000


def samples_of(first: int, n_samples: int) -> np.ndarray:
    """Every value follows from its place."""
    rows = (np.arange(first, first + n_samples) * 7 % 30_011)[:, None]
    return (rows + np.arange(N_CHANNELS) * 2).astype(np.int16)


def fail(name: str, exc: BaseException) -> None:
    sys.stdout.write(f"FAILED {name}: {exc}\n")
    sys.stdout.flush()


def main(root: Path) -> None:
    with (root / "progress").open("r+b") as file:
        progress = np.frombuffer(mmap.mmap(file.fileno(), 24), np.int64)
    session = new_session(root)
    log = EventLog(session.events_path, on_failure=fail)
    raw = RawWriter(session.node_folder(), on_failure=fail, record=log.append)
    log.start()
    raw.start()
    raw.start_recording(StreamFormat(tuple(f"C{n}" for n in range(N_CHANNELS)), RATE_HZ, 0.195))
    spikes = np.zeros(20, SPIKE_RECORD)
    spikes["kind"] = 2
    start_s, number = time.monotonic(), 0

    def told(number: int) -> None:
        progress[1] = number

    while True:
        wait_s = start_s + number * BLOCK / RATE_HZ - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        first = FIRST + number * BLOCK
        marks = (StimMark(first, 1, 1e-6),) if number % 20 == 0 else ()
        raw.offer(SampleBlock(samples_of(first, BLOCK), first, 0, 0, marks))
        number += 1
        progress[0] = number * BLOCK
        spikes["time_ns"] = session.info.anchors[0].monotonic_ns + number * 5_000_000
        spikes["sample_index"] = first
        spikes["neuron"] = 256 + number % 2

        rows = [NoteRow(number, "a", "x"), SpikeRows("padova", 0, 0, spikes.copy())]
        log.append_many(rows, told, number)
        progress[2] = int(raw.status().is_recording)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
