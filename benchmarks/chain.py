"""The whole chain of 2020 on this machine: what it costs, mocks included, and how soon it answers.

Runs `spikebridge demo` as a user would, and adds up the processor time of every process below it
(three supervisors, three engines, three mocks) while the protocol runs. Beside it, in the same
seconds, how late this machine wakes a thread that asked for 20 ms: on a busy machine that is what
the loop's latency mostly shows. Linux only (reads /proc).
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.report import Goal, Row

WARM_UP_PHASE = "phase 1"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
MAX_CORES = 1.0
MAX_LOOP_P99_S = 5e-3


class WakeUps:
    """How late a thread wakes that slept 20 ms, as often as it can ask."""

    def __init__(self) -> None:
        self.late_s: list[float] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "WakeUps":
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.is_set():
            began_s = time.perf_counter()
            time.sleep(0.02)
            self.late_s.append(time.perf_counter() - began_s - 0.02)


def processes_below(root: int) -> Iterator[int]:
    """Yield a process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(") ", 1)[-1].split()
        except OSError:
            continue  # it ended meanwhile
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children.get(pid, [])


def cpu_s_below(root: int) -> dict[int, float]:
    """Return the processor time that each process of the tree has used so far, in s."""
    used: dict[int, float] = {}
    for pid in processes_below(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[-1].split()
        except OSError:
            continue
        used[pid] = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    return used


def run(seconds_per_phase: float) -> tuple[dict[str, Any], float, WakeUps]:
    """Run the demo; return its summary, the cores it used, and the wake-ups of those seconds."""
    with tempfile.TemporaryDirectory() as out:
        command = [
            sys.executable, "-m", "app.cli", "demo", "--out", out, "--json",
            "--seconds-per-phase", str(seconds_per_phase),
        ]  # fmt: skip
        demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for line in demo.stderr or ():
            if line.startswith(WARM_UP_PHASE):
                break
        else:
            raise SystemExit("the demo did not come to its first phase")
        with WakeUps() as wake_ups:
            before, began_s = cpu_s_below(demo.pid), time.perf_counter()
            time.sleep(3.5 * seconds_per_phase)
            after, took_s = cpu_s_below(demo.pid), time.perf_counter() - began_s
        output, _ = demo.communicate(timeout=120)
        if demo.returncode != 0:
            raise SystemExit(f"the demo ended with code {demo.returncode}")
    n_cores = sum(after[pid] - before.get(pid, 0.0) for pid in after) / took_s
    return json.loads(output), n_cores, wake_ups


def rows_of(summary: dict[str, Any], n_cores: float, late_s: list[float]) -> list[Row]:
    """Return the latency of the loop and of each link, and the machine's own."""
    rows: list[Row] = [
        {"what": "processor, all processes (cores)", "p50": n_cores, "p99": None, "n": None},
        _latency("loop: chip spike received to key sent (ms)", summary["loop_latency_us"]),
    ]
    rows += [
        _latency(f"link {link['from']} to {link['to']} (ms)", link["latency_us"])
        for link in summary["links"]
    ]
    p50, p99 = np.percentile(late_s, [50, 99]) * 1e3
    machine = {"what": "this machine: late wake-up after 20 ms (ms)", "p50": float(p50)}
    rows.append({**machine, "p99": float(p99), "n": len(late_s)})
    return rows


def _latency(what: str, latency_us: dict[str, float]) -> Row:
    p50_ms, p99_ms = latency_us["p50"] / 1e3, latency_us["p99"] / 1e3
    return {"what": what, "p50": p50_ms, "p99": p99_ms, "n": latency_us["n"]}


def main() -> int:
    """Run once and print."""
    parser = report.parser(__doc__ or "")
    arguments = parser.parse_args()
    summary, n_cores, wake_ups = run(4.0 if arguments.quick else 10.0)
    loop_p99_s = summary["loop_latency_us"]["p99"] / 1e6
    goals = [
        Goal("processor of the whole chain (cores)", n_cores, MAX_CORES, "lower"),
        Goal("loop latency p99 (s)", loop_p99_s, MAX_LOOP_P99_S, "lower"),
    ]
    title = "the chain of 2020, 60 channels at 20 kHz, three sites and their mocks on one machine"
    rows = rows_of(summary, n_cores, wake_ups.late_s)
    return report.publish(rows, goals, as_json=arguments.json, title=title)


if __name__ == "__main__":
    sys.exit(main())
