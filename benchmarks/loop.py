"""How long a spike takes to another laboratory's program: due, detected, sent, decoded.

A paced amplifier hands 1 ms blocks to the engine's own acquisition thread; what it detects goes, in
turns block by block, over the engine's link (TLS 1.3) and over a plain TCP connection to another
process on this machine, which decodes it. Times count from the moment at which the block was due
(its last sample taken) until the records are decoded; the block's own length and the detector's
look-ahead are not in them, for they are the same everywhere.

On a machine that others use, the row "due -> block read" is what their load costs before anything
of ours runs. `--fifo` asks for real-time scheduling of both processes, to see the program alone.
"""

import json
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from app.bridge import keys
from app.bridge.bodies import encode_spikes
from app.bridge.bridge import Bridge
from app.bridge.events import LinkEvent, LinkState, StateChanged
from app.core.acquisition import Acquisition, ElectrodeUse
from app.core.clock import monotonic_ns
from app.core.detector import Detector, DetectorSettings, warm_up
from app.core.frames import Frame, FrameType, encode_frame
from app.core.spikes import SpikeBatch
from benchmarks.loop_far import FAR, LEGS, LIMIT_S, NEAR, bridge, failed
from benchmarks.report import Goal, Row, parser, publish
from drivers.mea.protocol import SampleBlock, StreamFormat

RATE_HZ = 20_000
BLOCK_ROWS = 20
STEP_UV = 0.195
SPIKES_PER_S = 8.0
RING_S = 2
STAGES = {
    "block read": "due -> block read",
    "detected": "due -> detected",
    "tls": "due -> decoded, TLS",
    "tcp": "due -> decoded, TCP",
    "tls own": "read -> decoded, TLS",
    "tcp own": "read -> decoded, TCP",
}
SETTLE_S = 2.5
"""Until the detector knows its noise and the sample clock its mapping; not measured."""
FIFO_PRIORITY = 20
FLUSH_S = 1.0
"""For what is still under way at the end; what is later counts as lost."""
GOAL_MS = {64: 1.0, 1024: 1.5}


class PacedAmplifier:
    """Blocks of a prepared signal, each when its last sample is due; never more than due."""

    name = "paced"

    def __init__(self, n_channels: int, n_blocks: int) -> None:
        names = tuple(f"CH{c}" for c in range(n_channels))
        self.stream_format = StreamFormat(names, float(RATE_HZ), STEP_UV)
        self.n_blocks = n_blocks
        self.due_ns = 0
        self.woken_ns: list[int] = []
        """From due to read, of each block: what the host alone costs."""
        self.is_done = threading.Event()
        self._signal = spiking_noise(n_channels)
        self._n_read = 0
        self._start_ns = 0

    def start(self) -> None:
        """Begin."""
        self._start_ns = monotonic_ns()

    def read_block(self, timeout_s: float) -> SampleBlock | None:
        """Wait until the next block is due."""
        if self._n_read >= self.n_blocks:
            self.is_done.set()
            time.sleep(timeout_s)
            return None
        self.due_ns = self._start_ns + (self._n_read + 1) * BLOCK_ROWS * 10**9 // RATE_HZ
        wait_ns = self.due_ns - monotonic_ns()
        if wait_ns > 0:
            time.sleep(wait_ns / 1e9)
        first = self._n_read * BLOCK_ROWS
        row = first % len(self._signal)
        self._n_read += 1
        now_ns = monotonic_ns()
        self.woken_ns.append(now_ns - self.due_ns)
        return SampleBlock(self._signal[row : row + BLOCK_ROWS], first, 0, now_ns)

    def stop(self) -> None:
        """Do nothing."""


def spiking_noise(n_channels: int) -> np.ndarray:
    """Return int16 noise of 5 uV with spikes of 100 uV, `(RING_S * RATE_HZ, n_channels)`."""
    rng = np.random.default_rng(1)
    n_rows = RING_S * RATE_HZ
    signal_uv = rng.standard_normal((n_rows, n_channels), np.float32) * np.float32(5.0)
    shape_uv = np.float32(-100.0 * np.exp(-0.5 * (np.arange(-6, 7) / 2.5) ** 2))
    n_spikes = round(SPIKES_PER_S * RING_S * n_channels)
    rows = rng.integers(10, n_rows - 10, n_spikes)
    for row, channel in zip(rows, rng.integers(n_channels, size=n_spikes), strict=True):
        signal_uv[row - 6 : row + 7, channel] += shape_uv
    samples = np.rint(signal_uv / np.float32(STEP_UV)).astype(np.int16)
    samples.flags.writeable = False
    return samples


class Sender:
    """Takes the acquisition's batches and sends them, in turns, over both legs."""

    def __init__(self, amplifier: PacedAmplifier, link: Bridge, plain: socket.socket) -> None:
        self._amplifier = amplifier
        self._link = link
        self._plain = plain
        self._n_batches = 0
        self._begins_ns = monotonic_ns() + round(SETTLE_S * 1e9)
        self.n_sent = dict.fromkeys(LEGS, 0)
        self.detected_ns: list[int] = []
        """From due to the batch in hand."""
        self.read_ns: dict[str, list[int]] = {leg: [] for leg in LEGS}
        """From due to read, of the blocks whose batch took each leg."""

    def take(self, batch: SpikeBatch) -> None:
        """Send one batch; its completeness says when its block was due."""
        if not len(batch.records) or self._amplifier.due_ns < self._begins_ns:
            return
        self.detected_ns.append(monotonic_ns() - self._amplifier.due_ns)
        leg = LEGS[self._n_batches % 2]
        self.read_ns[leg].append(self._amplifier.woken_ns[-1])
        self._n_batches += 1
        self.n_sent[leg] += 1
        stamped = replace(batch, complete_until_ns=self._amplifier.due_ns)
        if leg == "tls":
            self._link.send_spikes(FAR, stamped)
        else:
            body = encode_spikes(0, stamped.records, stamped.complete_until_ns)
            self._plain.sendall(encode_frame(Frame(FrameType.SPIKES, body)))


def measure(n_channels: int, duration_s: float, folder: Path) -> tuple[dict[str, list[int]], int]:
    """Return the delays up to each stage, and how many batches never arrived."""
    command = [sys.executable, str(Path(__file__).with_name("loop_far.py")), str(folder)]
    far = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if far.stdin is None or far.stdout is None:
        raise RuntimeError("the other process has no pipes")
    with ExitStack() as stack:
        stack.callback(far.kill)
        ports = json.loads(far.stdout.readline())
        events: queue.SimpleQueue[LinkEvent] = queue.SimpleQueue()
        link = stack.enter_context(bridge(folder, NEAR, FAR, events.put, ports["tls"]))
        plain = stack.enter_context(socket.create_connection(("127.0.0.1", ports["tcp"]), 5.0))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await_up(events)
        amplifier = PacedAmplifier(
            n_channels, round((SETTLE_S + duration_s) * RATE_HZ / BLOCK_ROWS)
        )
        sender = Sender(amplifier, link, plain)
        run(amplifier, sender)
        time.sleep(FLUSH_S)
        plain.shutdown(socket.SHUT_WR)
        far.stdin.close()
        delays: dict[str, list[int]] = json.loads(far.stdout.readline())
        far.wait(LIMIT_S)
    n_missing = sum(sender.n_sent[leg] - len(delays[leg]) for leg in LEGS)
    n_settle = round(SETTLE_S * RATE_HZ / BLOCK_ROWS)
    here = {"block read": amplifier.woken_ns[n_settle:], "detected": sender.detected_ns}
    own = {f"{leg} own": less(delays[leg], sender.read_ns[leg]) for leg in LEGS}
    return here | delays | own, n_missing


def less(whole_ns: list[int], read_ns: list[int]) -> list[int]:
    """Return what is left without the host's own delay before the block was read."""
    if len(whole_ns) != len(read_ns):
        return []  # some are missing, and which ones is not known
    return [whole - read for whole, read in zip(whole_ns, read_ns, strict=True)]


def run(amplifier: PacedAmplifier, sender: Sender) -> None:
    """Run the engine's acquisition thread over all blocks."""
    n_channels = amplifier.stream_format.n_channels
    acquisition = Acquisition(
        amplifier,  # type: ignore[arg-type] # it is read, and nothing else
        Detector(amplifier.stream_format, DetectorSettings()),
        ElectrodeUse({c: c + 1 for c in range(n_channels)}, {}, 0.0),
        stream=0,
        on_block=lambda _block: None,
        on_batch=sender.take,
        on_gap=lambda _first, _n_lost: None,
        on_mapping=lambda _mapping: None,
        clock_ns=monotonic_ns,
        on_failure=failed,
    )
    acquisition.start()
    amplifier.is_done.wait(amplifier.n_blocks * BLOCK_ROWS / RATE_HZ + LIMIT_S)
    acquisition.request_stop()
    acquisition.join(5.0)


def await_up(events: "queue.SimpleQueue[LinkEvent]") -> None:
    """Wait until the link is up."""
    while True:
        event = events.get(timeout=LIMIT_S)
        if isinstance(event, StateChanged) and event.state is LinkState.UP:
            return


def rows_of(n_channels: int, delays: dict[str, list[int]]) -> list[Row]:
    """Return a row for each stage: where the time goes."""
    rows: list[Row] = []
    for stage, delay_ns in delays.items():
        us = np.array(delay_ns or [np.nan]) / 1e3
        p50, p99, p999 = np.percentile(us, (50, 99, 99.9))
        rows.append(
            {
                "n_channels": n_channels,
                "stage": STAGES[stage],
                "n": len(delay_ns),
                "p50_us": float(p50),
                "p99_us": float(p99),
                "p99.9_us": float(p999),
                "max_us": float(us.max()),
            }
        )
    return rows


def main() -> int:
    """Measure and print."""
    made = parser(__doc__ or "")
    made.add_argument("--seconds", type=float, help="of each channel count")
    made.add_argument("--fifo", action="store_true", help="real-time scheduling (needs the right)")
    given = made.parse_args()
    if given.fifo:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))  # and of children
    duration_s = given.seconds or (8.0 if given.quick else 60.0)
    warm_up()
    rows: list[Row] = []
    goals: list[Goal] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in (NEAR, FAR):
            keys.keygen(Path(folder), name)
        for n_channels, limit_ms in GOAL_MS.items():
            delays, n_missing = measure(n_channels, duration_s, Path(folder))
            found = rows_of(n_channels, delays)
            rows += found
            p99_ms = float(np.percentile(delays["tls"] or [np.nan], 99)) / 1e6
            what = f"{n_channels} channels"
            goals += [
                Goal(f"{what}: p99 over TLS, ms", p99_ms, limit_ms, "lower"),
                Goal(f"{what}: batches lost", float(n_missing), 0.0, "lower"),
            ]
    return publish(rows, goals, as_json=given.json, title="block due -> decoded elsewhere")


if __name__ == "__main__":
    sys.exit(main())
