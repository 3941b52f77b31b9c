"""How long a spike takes to another laboratory's program: due, detected, sent, decoded.

    python -m benchmarks.loop [--quick] [--json] [--sleep]

A paced amplifier hands 1 ms blocks to the engine's own acquisition thread; what it detects goes, in
turns block by block, over the engine's link (TLS 1.3) and over a plain TCP connection to another
process on this machine, which decodes it. Times count from the moment at which the block was due
(its last sample taken) until the records are decoded; the block's own length and the detector's
look-ahead are not in them, for they are the same everywhere.

A block comes because a clock says so, and a thread that sleeps until then is late by what the host
makes of its sleep; a real amplifier has a clock of its own. So the amplifier watches the clock for
the last quarter of a millisecond. How late a block is even then has a row, and is in the total.
With `--sleep` it only sleeps.

Everything is run twice, under ordinary and under real-time scheduling, which an engine takes where
it may (`app.core.real_time`). The goals are held against the latter, or against the former where it
may not be had. How late the host wakes a program that does nothing but sleep is a row beside them.

Rows from "written" on can begin below zero: on two processors the receiver may be awake before the
sender's call returns.
"""

import json
import queue
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from app.bridge import keys
from app.bridge.bodies import encode_spikes
from app.bridge.bridge import Bridge
from app.bridge.events import LinkEvent, LinkState, StateChanged
from app.core.acquisition import Acquisition
from app.core.batch_maker import ElectrodeUse
from app.core.clock import monotonic_ns
from app.core.detector import Detector, DetectorSettings, warm_up
from app.core.frames import Frame, FrameType, encode_frame
from app.core.real_time import take_real_time
from app.core.spikes import SpikeBatch
from benchmarks.loop_far import (
    FAR,
    LEGS,
    LIMIT_S,
    NEAR,
    Arrival,
    bridge,
    failed,
    run_as_an_engine_does,
)
from benchmarks.loop_source import BLOCK_ROWS, RATE_HZ, PacedAmplifier
from benchmarks.report import Goal, Row, parser, publish
from benchmarks.sleeper import sleeper

SETTLE_S = 2.5
"""Until the detector knows its noise and the sample clock its mapping; not measured."""
FLUSH_S = 1.0
"""For what is still under way at the end; what is later counts as lost."""
GOAL_MS = {64: 1.0, 1024: 1.5}
WHOLE = "due -> decoded, TLS"


class Departure(NamedTuple):
    """One batch on its way out, in ns."""

    due: int
    in_hand: int
    """The block, in the engine's."""
    detected: int
    """The batch, in the sender's hand."""
    written: int
    """Encoded and with the kernel, or left to the link's own thread."""


class Sender:
    """Takes the acquisition's batches and sends them, in turns, over both legs."""

    def __init__(self, amplifier: PacedAmplifier, link: Bridge, plain: socket.socket) -> None:
        self._amplifier = amplifier
        self._link = link
        self._plain = plain
        self._n_batches = 0
        self._begins_ns = monotonic_ns() + round(SETTLE_S * 1e9)
        self.departures: dict[str, list[Departure]] = {leg: [] for leg in LEGS}

    def take(self, batch: SpikeBatch) -> None:
        """Send one batch; its completeness says when its block was due."""
        due_ns = self._amplifier.due_ns
        if not len(batch.records) or due_ns < self._begins_ns:
            return
        detected_ns = monotonic_ns()
        leg = LEGS[self._n_batches % 2]
        self._n_batches += 1
        stamped = replace(batch, complete_until_ns=due_ns)
        if leg == "tls":
            self._link.send_spikes(FAR, stamped)
        else:
            body = encode_spikes(0, stamped.records, stamped.complete_until_ns)
            self._plain.sendall(encode_frame(Frame(FrameType.SPIKES, body)))
        self.departures[leg].append(
            Departure(due_ns, self._amplifier.in_hand_ns, detected_ns, monotonic_ns())
        )


class Run(NamedTuple):
    """What one run gave."""

    departures: dict[str, list[Departure]]
    arrivals: dict[str, list[Arrival]]
    host_late_ns: list[int]

    @property
    def n_lost(self) -> int:
        """Get how many batches never arrived."""
        return sum(len(self.departures[leg]) - len(self.arrivals[leg]) for leg in LEGS)


def measure(n_channels: int, duration_s: float, folder: Path, *, is_sleeping: bool) -> Run:
    """Run both processes once."""
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
        n_blocks = round((SETTLE_S + duration_s) * RATE_HZ / BLOCK_ROWS)
        amplifier = PacedAmplifier(n_channels, n_blocks, is_sleeping=is_sleeping)
        sender = Sender(amplifier, link, plain)
        with sleeper() as host_late_ns:
            run(amplifier, sender)
        time.sleep(FLUSH_S)
        plain.shutdown(socket.SHUT_WR)
        far.stdin.close()
        arrivals: dict[str, list[Arrival]] = json.loads(far.stdout.readline())
        far.wait(LIMIT_S)
    return Run(sender.departures, arrivals, host_late_ns)


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
    run_as_an_engine_does()
    acquisition.start()
    amplifier.is_done.wait(amplifier.n_blocks * BLOCK_ROWS / RATE_HZ + LIMIT_S)
    acquisition.request_stop()
    acquisition.join(5.0)


def await_up(events: "queue.SimpleQueue[LinkEvent]") -> None:
    """Wait until the link is up. Raises TimeoutError with what was heard instead."""
    deadline_s = time.monotonic() + LIMIT_S
    heard = ""
    while time.monotonic() < deadline_s:
        event = events.get(timeout=LIMIT_S)
        if isinstance(event, StateChanged):
            if event.state is LinkState.UP:
                return
            heard = event.reason
    raise TimeoutError(f"the link is not up after {LIMIT_S:g} s: {heard}")


def stages(found: Run) -> dict[str, list[int]]:
    """Return the delays of each stage in ns, in the order of the way."""
    both = [d for leg in LEGS for d in found.departures[leg]]
    delays = {
        "host: a 20 ms sleeper too late": found.host_late_ns,
        "due -> block in hand": [d.in_hand - d.due for d in both],
        "in hand -> detected": [d.detected - d.in_hand for d in both],
    }
    for leg in LEGS:
        name = leg.upper()
        delays[f"detected -> written, {name}"] = [
            d.written - d.detected for d in found.departures[leg]
        ]
        of_due = {d.due: d for d in found.departures[leg]}
        pairs = [(of_due[due], awake, decoded) for due, awake, decoded in found.arrivals[leg]]
        delays |= {
            f"written -> awake, {name}": [awake - d.written for d, awake, _ in pairs],
            f"awake -> decoded, {name}": [decoded - awake for _, awake, decoded in pairs],
            f"in hand -> decoded, {name}": [decoded - d.in_hand for d, _, decoded in pairs],
            f"due -> decoded, {name}": [decoded - d.due for d, _, decoded in pairs],
        }
    return delays


def rows_of(n_channels: int, scheduling: str, delays: dict[str, list[int]]) -> list[Row]:
    """Return a row for each stage: where the time goes."""
    rows: list[Row] = []
    for stage, delay_ns in delays.items():
        us = np.array(delay_ns or [np.nan]) / 1e3
        p50, p99, p999 = np.percentile(us, (50, 99, 99.9))
        rows.append(
            {
                "n_channels": n_channels,
                "scheduling": scheduling,
                "stage": stage,
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
    made.add_argument("--seconds", type=float, help="of each of the four runs")
    made.add_argument("--sleep", action="store_true", help="do not watch the clock")
    given = made.parse_args()
    duration_s = given.seconds or (4.5 if given.quick else 60.0)
    warm_up()
    rows: list[Row] = []
    p99_ms: dict[int, float] = {}
    n_lost = dict.fromkeys(GOAL_MS, 0)
    with tempfile.TemporaryDirectory() as folder:
        for name in (NEAR, FAR):
            keys.keygen(Path(folder), name)
        for scheduling in ("ordinary", "real-time"):
            if scheduling == "real-time" and (refused := take_real_time()) is not None:
                print(f"ordinary scheduling only: {refused}", file=sys.stderr)
                break
            for n_channels in GOAL_MS:
                found = measure(n_channels, duration_s, Path(folder), is_sleeping=given.sleep)
                delays = stages(found)
                rows += rows_of(n_channels, scheduling, delays)
                p99_ms[n_channels] = float(np.percentile(delays[WHOLE] or [np.nan], 99)) / 1e6
                n_lost[n_channels] += found.n_lost
    goals = [
        goal
        for n, limit_ms in GOAL_MS.items()
        for goal in (
            Goal(f"{n} channels: p99 over TLS, ms", p99_ms[n], limit_ms, "lower"),
            Goal(f"{n} channels: batches lost", n_lost[n], 0.0, "lower"),
        )
    ]
    title = "block due -> decoded elsewhere"
    return publish(rows, goals, as_json=given.json, title=title)


if __name__ == "__main__":
    sys.exit(main())
