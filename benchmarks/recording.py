"""What recording 1,024 channels at 20 kHz costs, beside HDF5 by h5py, in the same run.

Blocks of 1 ms come in real time from one thread, as from an amplifier. A second thread, the
recorder's, writes them. Measured: the CPU time of the recorder's threads and of handing over, and
how long handing over ever took. The kinds take turns, so that a busy machine disturbs all alike.

  ours     app.recording: Open Ephys binary, sync every second in a thread of its own
  flush    h5py: dataset grown block by block, flushed every 100 ms
  chunks   h5py: chunks of 100 ms written past the filter pipeline, flushed every second
  nobody   blocks are handed to nobody: what the machine itself does to the giving thread
"""

import queue
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from app.recording.raw_writer import RawWriter
from app.recording.rows import RawRecordingRow
from benchmarks import report
from drivers.mea.protocol import SampleBlock, StreamFormat

N_CHANNELS, RATE_HZ, BLOCK_SAMPLES = 1024, 20_000.0, 20
BLOCK_S = BLOCK_SAMPLES / RATE_HZ
FORMAT = StreamFormat(tuple(f"C{n}" for n in range(N_CHANNELS)), RATE_HZ, 0.195)
MAX_CPU_PERCENT = 8.0


@dataclass(slots=True)
class Run:
    """One kind, so many seconds."""

    kind: str
    wall_s: float = 0.0
    recorder_cpu_s: float = 0.0
    giving_cpu_s: float = 0.0
    n_lost: int = 0
    giving_s: list[float] = field(default_factory=list)


def give(run: Run, offer: Callable[[SampleBlock], None], seconds: float) -> None:
    """Hand over blocks at their time."""
    rng = np.random.default_rng(1)
    pool = rng.normal(0, 50, (64, BLOCK_SAMPLES, N_CHANNELS)).astype(np.int16)
    n_blocks = round(seconds / BLOCK_S)
    start_s = time.perf_counter()
    for number in range(n_blocks):
        wait_s = start_s + number * BLOCK_S - time.perf_counter()
        if wait_s > 0:
            time.sleep(wait_s)
        block = SampleBlock(pool[number % 64], number * BLOCK_SAMPLES, 0, 0)
        cpu_ns, began_s = time.thread_time_ns(), time.perf_counter()
        offer(block)
        run.giving_s.append(time.perf_counter() - began_s)
        run.giving_cpu_s += (time.thread_time_ns() - cpu_ns) / 1e9
    run.wall_s = time.perf_counter() - start_s


def cpu_s_of(names: tuple[str, ...]) -> float:
    """Return the CPU time of our threads with these names (schedstat: ns on the CPU)."""
    total_ns = 0
    for thread in threading.enumerate():
        if thread.name in names and thread.native_id is not None:
            text = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text()
            total_ns += int(text.split()[0])
    return total_ns / 1e9


def ours(folder: Path, seconds: float) -> Run:
    run = Run("ours")
    rows: list[RawRecordingRow] = []
    failures: list[str] = []
    writer = RawWriter(
        folder / "Record Node 101",
        on_failure=lambda name, exc: failures.append(f"{name}: {exc}"),
        record=rows.append,
    )
    writer.start()
    writer.start_recording(FORMAT)
    give(run, writer.offer, seconds)
    run.recorder_cpu_s = cpu_s_of(("raw writer", "raw writer sync"))
    writer.request_stop()
    writer.join(30.0)
    status = writer.status()
    if failures or len([row for row in rows if row.event == "started"]) != 1:
        raise SystemExit(f"the recorder failed: {failures} {rows}")
    run.n_lost = round(seconds / BLOCK_S) * BLOCK_SAMPLES - status.n_samples
    return run


def by_h5py(kind: str, folder: Path, seconds: float) -> Run:
    run = Run(kind)
    waiting: queue.Queue[SampleBlock | None] = queue.Queue()
    write = flush_blocks if kind == "flush" else direct_chunks
    thread = threading.Thread(target=write, args=(folder / "raw.h5", waiting), name="h5")
    thread.start()
    give(run, waiting.put, seconds)
    run.recorder_cpu_s = cpu_s_of(("h5",))
    waiting.put(None)
    thread.join()
    return run


def flush_blocks(path: Path, waiting: "queue.Queue[SampleBlock | None]") -> None:
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            "raw", (0, N_CHANNELS), "i2", maxshape=(None, N_CHANNELS), chunks=(2000, N_CHANNELS)
        )
        n_blocks = 0
        while (block := waiting.get()) is not None:
            start = len(data)
            data.resize(start + len(block.samples), axis=0)
            data[start:] = block.samples
            n_blocks += 1
            if n_blocks % 100 == 0:
                file.flush()


def direct_chunks(path: Path, waiting: "queue.Queue[SampleBlock | None]") -> None:
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            "raw", (0, N_CHANNELS), "i2", maxshape=(None, N_CHANNELS), chunks=(2000, N_CHANNELS)
        )
        parts: list[bytes] = []
        while (block := waiting.get()) is not None:
            parts.append(block.samples.tobytes())
            if len(parts) == 100:
                start = len(data)
                data.resize(start + 2000, axis=0)
                data.id.write_direct_chunk((start, 0), b"".join(parts))
                parts.clear()
                if start % 20_000 == 0:
                    file.flush()


def nobody(_folder: Path, seconds: float) -> Run:
    run = Run("nobody")
    give(run, lambda _block: None, seconds)
    return run


def main() -> int:
    arguments = report.parser(__doc__.splitlines()[0])
    arguments.add_argument("--folder", type=Path, help="on which disk (default: temporary)")
    options = arguments.parse_args()
    n_turns, seconds = (2, 4.0) if options.quick else (6, 10.0)
    kinds: list[Callable[[Path, float], Run]] = [
        ours,
        lambda folder, s: by_h5py("flush", folder, s),
        lambda folder, s: by_h5py("chunks", folder, s),
        nobody,
    ]
    runs: list[Run] = []
    for _ in range(n_turns):
        for kind in kinds:
            folder = Path(tempfile.mkdtemp(prefix="recording-", dir=options.folder))
            try:
                runs.append(kind(folder, seconds))
            finally:
                shutil.rmtree(folder)
    return publish(runs, as_json=options.json)


def publish(runs: list[Run], *, as_json: bool) -> int:
    rows = [summary(kind, runs) for kind in ("ours", "flush", "chunks", "nobody")]
    mine, flush, chunks, _ = rows
    cpu = mine["cpu_percent"]
    goals = [
        report.Goal("recorder CPU (% of a core)", cpu, MAX_CPU_PERCENT, "lower"),
        report.Goal("samples lost", mine["n_lost"], 0, "lower"),
        report.Goal("longest hand-over (ms)", mine["giving_max_ms"], 1e3 * BLOCK_S, "lower"),
        report.Goal(
            "CPU, ours / h5py append+flush",
            mine["cpu_percent"] / flush["cpu_percent"],
            1.0,
            "lower",
        ),
        report.Goal(
            "CPU, ours / h5py direct chunks",
            mine["cpu_percent"] / chunks["cpu_percent"],
            1.0,
            "lower",
        ),
    ]
    return report.publish(rows, goals, as_json=as_json, title="1,024 channels, 20 kHz, 1 ms blocks")


def summary(kind: str, runs: list[Run]) -> dict[str, Any]:
    mine = [run for run in runs if run.kind == kind]
    giving_ms = 1e3 * np.concatenate([run.giving_s for run in mine])
    wall_s = sum(run.wall_s for run in mine)
    return {
        "kind": kind,
        "cpu_percent": 100 * sum(run.recorder_cpu_s + run.giving_cpu_s for run in mine) / wall_s,
        "giving_p50_ms": float(np.percentile(giving_ms, 50)),
        "giving_p999_ms": float(np.percentile(giving_ms, 99.9)),
        "giving_max_ms": float(giving_ms.max()),
        "n_lost": sum(run.n_lost for run in mine),
    }


if __name__ == "__main__":
    sys.exit(main())
