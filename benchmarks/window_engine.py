"""What an attached window costs an engine: its 1 ms loop, and the Python of its console thread.

Here a paced amplifier hands 1 ms blocks of 1,024 channels to the engine's own acquisition thread,
beside the engine's own console server. In a process of its own the window's live views attach and
detach in turns. Counted is the time from the moment at which a block was due until its batch is
made, with and without the window.
"""

import gc
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import numpy as np

from app.console.control import Caller
from app.console.feed import FeedFormat
from app.console.live_feed import LiveFeed
from app.console.server import ConsoleServer
from app.core.acquisition import Acquisition
from app.core.batch_maker import ElectrodeUse
from app.core.clock import monotonic_ns
from app.core.detector import Detector, DetectorSettings, warm_up
from app.core.real_time import leave_real_time, take_real_time
from app.core.spikes import SpikeBatch
from app.engine.showing import Showing
from app.run_engine import SWITCH_INTERVAL_S
from benchmarks.loop import BLOCK_ROWS, RATE_HZ, SETTLE_S, PacedAmplifier, failed
from benchmarks.report import Goal, Row

N_CHANNELS = 1024
N_SIDE = 32
PHASE_S = 2.0
PAUSE_S = 0.7
"""After attaching or detaching, until things have settled; not counted."""
LIMIT_S = 30.0
MAX_CONSOLE_MS = 0.3


class _Handler:
    """Answers consoles as far as live views need it."""

    def handle(self, _caller: Caller, _name: str, _arguments: dict[str, Any]) -> dict[str, Any]:
        return {}

    def status(self) -> dict[str, Any]:
        return {"now_ns": monotonic_ns()}

    def left(self, _caller: Caller) -> None:
        return


class _Loop:
    """Collects how long each block took, while somebody wants it."""

    def __init__(self, amplifier: PacedAmplifier) -> None:
        self._amplifier = amplifier
        self.taken_ns: list[int] | None = None

    def take(self, _batch: SpikeBatch) -> None:
        if self.taken_ns is not None:
            self.taken_ns.append(monotonic_ns() - self._amplifier.due_ns)


def format_of(n_channels: int) -> FeedFormat:
    at = np.arange(n_channels)
    return FeedFormat(
        site="here",
        channel_names=tuple(f"CH{i}" for i in range(n_channels)),
        sample_rate_hz=float(RATE_HZ),
        microvolts_per_count=0.195,
        samples_per_column=20,
        position_um=np.stack([at % N_SIDE, at // N_SIDE], axis=1).astype(np.float32) * 60,
        sites=("here",),
        neurons=(),
    )


def engine_parts(
    amplifier: PacedAmplifier, loop: _Loop, socket_path: Path
) -> tuple[Acquisition, ConsoleServer]:
    """Join the engine's parts as its composition root does, and no others."""
    feed = LiveFeed(format_of(N_CHANNELS))
    showing = Showing(feed, {"here": 0}, monotonic_ns)
    acquisition = Acquisition(
        amplifier,  # type: ignore[arg-type] # it is read, and nothing else
        Detector(amplifier.stream_format, DetectorSettings()),
        ElectrodeUse({}, {}, 0.0),
        stream=0,
        on_block=showing.block,
        on_batch=loop.take,
        on_gap=showing.sample_gap,
        on_mapping=showing.mapping,
        on_detected=showing.detected,
        on_details=showing.details,
        clock_ns=monotonic_ns,
        on_failure=failed,
    )
    showing.watch_detection(acquisition)
    return acquisition, ConsoleServer(socket_path, _Handler(), failed, feed=feed)


def measure(n_rounds: int) -> tuple[dict[bool, list[int]], ConsoleServer, int]:
    """Return the times in ns with (True) and without the window, the server, columns drawn."""
    n_blocks = round((SETTLE_S + LIMIT_S + (n_rounds + 1) * 2 * (PHASE_S + PAUSE_S)) * RATE_HZ)
    amplifier = PacedAmplifier(N_CHANNELS, n_blocks // BLOCK_ROWS, is_sleeping=True)
    loop = _Loop(amplifier)
    times: dict[bool, list[int]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "console"
        acquisition, server = engine_parts(amplifier, loop, path)
        command = [sys.executable, str(Path(__file__).with_name("window.py")), "--attach", path]
        window = stack.enter_context(Popen(command, stdin=PIPE, stdout=PIPE, text=True))
        stack.callback(window.kill)
        if window.stdin is None or window.stdout is None:
            raise RuntimeError("the window's process has no pipes")
        _await_line(window, "ready")
        sys.setswitchinterval(SWITCH_INTERVAL_S)  # this and what follows as an engine does
        gc.collect()
        gc.freeze()
        refused = take_real_time()
        if refused is not None:
            print(f"ordinary scheduling only: {refused}", file=sys.stderr)
        stack.callback(leave_real_time)
        for worker in (server, acquisition):
            worker.start()
            stack.callback(worker.join, 5.0)
            stack.callback(worker.request_stop)
        time.sleep(SETTLE_S)
        for number in range(n_rounds + 1):
            for is_attached in (True, False):
                window.stdin.write("attach\n" if is_attached else "detach\n")
                window.stdin.flush()
                _await_line(window, "attached" if is_attached else "detached")
                time.sleep(PAUSE_S)
                if number:  # in the first round the window loads and compiles
                    loop.taken_ns = times[is_attached]
                time.sleep(PHASE_S)
                loop.taken_ns = None
        window.stdin.close()
        n_columns = int(window.stdout.readline())
    return times, server, n_columns


def _await_line(window: "Popen[str]", expected: str) -> None:
    """Wait for a line of the window's process; a process that hangs is ended."""
    timer = threading.Timer(LIMIT_S, window.kill)
    timer.start()
    try:
        line = window.stdout.readline().strip() if window.stdout else ""
    finally:
        timer.cancel()
    if line != expected:
        raise SystemExit(f"the window's process said {line!r} instead of {expected!r}")


def run(*, is_quick: bool) -> tuple[list[Row], list[Goal]]:
    """Measure everything."""
    warm_up()
    times, server, n_columns = measure(4 if is_quick else 15)
    rows: list[Row] = []
    p99_ms = {}
    for is_attached in (False, True):
        ms = np.array(times[is_attached] or [np.nan]) / 1e6
        p99_ms[is_attached] = float(np.percentile(ms, 99))
        rows.append(
            {
                "window": "attached" if is_attached else "none",
                "1 ms blocks": len(ms),
                "p50 ms": float(np.percentile(ms, 50)),
                "p99 ms": p99_ms[is_attached],
                "p99.9 ms": float(np.percentile(ms, 99.9)),
                "max ms": float(ms.max()),
            }
        )
    cost = server.cost
    mean_ms = cost.total_ns / max(1, cost.n_frames) / 1e6 if cost.n_frames else float("nan")
    rows.append(
        {
            "window": "console thread",
            "display frames": cost.n_frames,
            "cpu ms a frame": mean_ms,
            "worst ms": cost.worst_ns / 1e6,
            "columns drawn": n_columns,
        }
    )
    goals = [
        Goal(
            "1 ms loop, p99 with the window / without", p99_ms[True] / p99_ms[False], 2.0, "lower"
        ),
        Goal("console thread: ms of processor a display frame", mean_ms, MAX_CONSOLE_MS, "lower"),
    ]
    return rows, goals
