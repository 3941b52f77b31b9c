"""How fast a spike crosses a link, beside plain TCP, ZeroMQ with CURVE and LSL in the same run.

    python -m benchmarks.link [--quick] [--json]

Two processes per transport. The sender stamps each event right before it hands it over, the
receiver right after it has it as a record, on one monotonic clock. Pacing sleeps, it never spins.
Rounds are interleaved, so a disturbance of the machine hits all transports alike.
"""

import gc
import multiprocessing as mp
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from app.core.real_time import take_real_time
from app.core.spikes import SPIKE_RECORD, SpikeRecords
from app.run_engine import SWITCH_INTERVAL_S
from benchmarks import engine_path, transports
from benchmarks.report import Goal, Row, parser, publish

TRANSPORTS: dict[str, tuple[Any, Any]] = {
    "plain TCP": (transports.TcpReceiver, transports.TcpSender),
    "ZeroMQ CURVE": (transports.CurveReceiver, transports.CurveSender),
    "LSL": (transports.LslReceiver, transports.LslSender),
    "bare link": (transports.LinkReceiver, transports.LinkSender),
    "complete path": (engine_path.EngineReceiver, engine_path.EngineSender),
}
OURS = ("bare link", "complete path")
LOAD_HZ = 100_000
LOAD_BATCH = 500
"""5 ms of it, as a detector hands over."""
MAX_WAITING = 2000
"""Flat out, a sender lets at most this many frames wait for their acknowledgement."""
LIMIT_S = 60.0


class Collector:
    """What the receiving end notes of each event."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.delays: list[Any] = []
        self.numbers: list[Any] = []
        self.n = 0
        self.last_ns = 0
        self.cpu_s = time.process_time()

    def take(self, records: SpikeRecords) -> None:
        self.last_ns = time.monotonic_ns()
        self.delays.append(self.last_ns - records["time_ns"])
        self.numbers.append(records["sample_index"])
        self.n += len(records)


def _as_an_engine(*, is_real_time: bool) -> None:
    """Run this process as an engine runs, whatever the transport; before its threads start."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    refused = take_real_time() if is_real_time else None
    if refused is not None:
        raise PermissionError(f"no real-time scheduling: {refused}; or use --ordinary")


def _leave_out_of_garbage_collection() -> None:
    gc.collect()
    gc.freeze()


def receive(name: str, folder: Path, pipe: Connection, is_real_time: bool) -> None:
    """Be the receiving process: obey "reset" and ("await", n), end at "end"."""
    _as_an_engine(is_real_time=is_real_time)
    collector = Collector()
    receiver = TRANSPORTS[name][0](folder, collector.take)
    _leave_out_of_garbage_collection()
    pipe.send(receiver.address)
    while (order := pipe.recv()) != "end":
        if order == "reset":
            collector.reset()
            pipe.send(None)
            continue
        _, n = order
        deadline_s = time.monotonic() + LIMIT_S
        quiet_n, quiet_s = -1, 0.0
        while collector.n < n and time.monotonic() < deadline_s:
            if collector.n != quiet_n:
                quiet_n, quiet_s = collector.n, time.monotonic()
            elif time.monotonic() - quiet_s > 3.0:
                break  # nothing comes any more: what is missing is lost
            time.sleep(0.02)
        cpu_s = time.process_time() - collector.cpu_s
        pipe.send(
            (
                np.concatenate(collector.delays) if collector.n else np.empty(0, np.int64),
                np.concatenate(collector.numbers) if collector.n else np.empty(0, np.int64),
                collector.last_ns,
                cpu_s,
            )
        )
    receiver.close()


def send(name: str, folder: Path, address: Any, pipe: Connection, is_real_time: bool) -> None:
    """Be the sending process: obey (n_messages, rate_hz or 0 for flat out, events per message)."""
    _as_an_engine(is_real_time=is_real_time)
    sender = TRANSPORTS[name][1](folder, address)
    _leave_out_of_garbage_collection()
    pipe.send(None)
    while (order := pipe.recv()) != "end":
        n_messages, rate_hz, size = order
        cpu_s = time.process_time()
        start_ns = _paced(sender, n_messages, rate_hz, size)
        pipe.send((start_ns, time.process_time() - cpu_s))
    sender.close()


def _paced(sender: transports.Sender, n_messages: int, rate_hz: float, size: int) -> int:
    start_ns = time.monotonic_ns()
    numbers = np.arange(size)
    for i in range(n_messages):
        if rate_hz:
            wait_s = (start_ns - time.monotonic_ns()) / 1e9 + i / rate_hz
            if wait_s > 0:
                time.sleep(wait_s)
        elif i % 256 == 0:
            while sender.n_waiting() > MAX_WAITING:
                time.sleep(0.001)
        records = np.zeros(size, SPIKE_RECORD)
        records["neuron"] = engine_path.NEURON
        records["sample_index"] = numbers + i * size
        records["time_ns"] = time.monotonic_ns()
        sender.send(records)
    return start_ns


@dataclass(slots=True)
class Run:
    """What came of one order."""

    delays_us: Any
    n_lost: int
    n_doubled: int
    n_disordered: int
    events_per_s: float
    cpu_send: float
    """Cores used by the sending process, and by the receiving one, per second of the run."""
    cpu_receive: float


class Pair:
    """One transport's two processes, ready."""

    def __init__(self, name: str, folder: Path, *, is_real_time: bool = True) -> None:
        self.name = name
        folder.mkdir()
        transports.make_keys(folder)
        context = mp.get_context("spawn")
        self._receiver, there = context.Pipe()
        receiving = context.Process(
            target=receive, args=(name, folder, there, is_real_time), daemon=True
        )
        receiving.start()
        self._sender, here = context.Pipe()
        address = self._receiver.recv()
        sending = context.Process(
            target=send, args=(name, folder, address, here, is_real_time), daemon=True
        )
        sending.start()
        self._processes = (sending, receiving)

    def await_ready(self) -> None:
        self._sender.recv()

    def run(self, n_messages: int, rate_hz: float, size: int = 1) -> Run:
        self._ask(self._receiver, "reset")
        start_ns, send_s = self._ask(self._sender, (n_messages, rate_hz, size))
        n = n_messages * size
        delays, numbers, last_ns, receive_s = self._ask(self._receiver, ("await", n))
        span_s = max(1e-9, (last_ns - start_ns) / 1e9)
        unique = len(np.unique(numbers))
        return Run(
            delays_us=delays / 1e3,
            n_lost=n - unique,
            n_doubled=len(numbers) - unique,
            n_disordered=int((np.diff(numbers) < 0).sum()),
            events_per_s=len(numbers) / span_s,
            cpu_send=send_s / span_s,
            cpu_receive=receive_s / span_s,
        )

    @staticmethod
    def _ask(pipe: Connection, order: Any) -> Any:
        pipe.send(order)
        if not pipe.poll(2 * LIMIT_S):
            raise TimeoutError(f"no answer to {order}")
        return pipe.recv()

    def close(self) -> None:
        for pipe, process in zip((self._sender, self._receiver), self._processes, strict=True):
            pipe.send("end")
            process.join(15)
            if process.is_alive():
                process.kill()


def measure_paced(pairs: Sequence[Pair], rate_hz: int, n: int, n_rounds: int) -> list[Row]:
    """Return a row per transport of single events at a rate, rounds interleaved."""
    runs: dict[str, list[Run]] = {pair.name: [] for pair in pairs}
    for _ in range(n_rounds):
        for pair in pairs:
            runs[pair.name].append(pair.run(n, rate_hz))
    rows: list[Row] = []
    for name, some in runs.items():
        delays_us = np.concatenate([run.delays_us for run in some])
        rows.append(
            {
                "what": f"{rate_hz}/s, single",
                "transport": name,
                "p50_us": float(
                    np.median([np.median(r.delays_us) for r in some if r.delays_us.size])
                ),
                "p99_us": float(np.percentile(delays_us, 99)),
                "max_us": float(delays_us.max()),
                "cores_sender": float(np.median([run.cpu_send for run in some])),
                "cores_receiver": float(np.median([run.cpu_receive for run in some])),
                **_losses(some),
            }
        )
    return rows


def measure_flat_out(pairs: Sequence[Pair], n: int) -> list[Row]:
    """Return how many events per second each transport takes, one and 64 per message."""
    rows: list[Row] = []
    for size, n_messages in ((1, n), (64, n // 8)):
        for pair in pairs:
            run = pair.run(n_messages, 0, size)
            rows.append(
                {
                    "what": f"flat out, {size} per message",
                    "transport": pair.name,
                    "events_per_s": run.events_per_s,
                    **_losses([run]),
                }
            )
    return rows


def measure_load(pairs: Sequence[Pair], seconds: float) -> list[Row]:
    """Return what 100,000 events/s for some seconds cost our two paths."""
    rows: list[Row] = []
    for pair in pairs:
        if pair.name not in OURS:
            continue
        n_messages = round(seconds * LOAD_HZ / LOAD_BATCH)
        run = pair.run(n_messages, LOAD_HZ / LOAD_BATCH, LOAD_BATCH)
        rows.append(
            {
                "what": f"{LOAD_HZ}/s for {seconds:g} s",
                "transport": pair.name,
                "p50_us": float(np.median(run.delays_us)),
                "p99_us": float(np.percentile(run.delays_us, 99)),
                "max_us": float(run.delays_us.max()),
                "events_per_s": run.events_per_s,
                "cores_sender": run.cpu_send,
                "cores_receiver": run.cpu_receive,
                **_losses([run]),
            }
        )
    return rows


def _losses(runs: Sequence[Run]) -> dict[str, int]:
    return {
        "lost": sum(run.n_lost for run in runs),
        "doubled": sum(run.n_doubled for run in runs),
        "disordered": sum(run.n_disordered for run in runs),
    }


def goals_of(rows: Sequence[Row]) -> list[Goal]:
    """Return the figures that are promised."""

    def figure(what: str, transport: str, field: str) -> float:
        return next(
            (
                float(row[field] or 0)
                for row in rows
                if str(row["what"]).startswith(what) and row["transport"] == transport
            ),
            float("nan"),
        )

    goals = []
    for rate in ("1000/s", "10000/s"):
        tcp = figure(rate, "plain TCP", "p50_us")
        goals += [
            Goal(
                f"{rate}: bare link p50 / TCP",
                figure(rate, "bare link", "p50_us") / tcp,
                2.0,
                "lower",
            ),
            Goal(
                f"{rate}: complete path p50 / TCP",
                figure(rate, "complete path", "p50_us") / tcp,
                4.0,
                "lower",
            ),
            Goal(
                f"{rate}: complete path p50 / ZeroMQ CURVE",
                figure(rate, "complete path", "p50_us") / figure(rate, "ZeroMQ CURVE", "p50_us"),
                1.5,
                "lower",
            ),
            Goal(
                f"{rate}: complete path p99 / LSL p99",
                figure(rate, "complete path", "p99_us") / figure(rate, "LSL", "p99_us"),
                1.0,
                "lower",
            ),
        ]
    for transport in OURS:
        load = f"{LOAD_HZ}/s for"
        goals += [
            Goal(f"{LOAD_HZ}/s, {transport}: lost", figure(load, transport, "lost"), 0, "lower"),
            *(
                Goal(
                    f"{LOAD_HZ}/s, {transport}: cores, {end}",
                    figure(load, transport, f"cores_{end}"),
                    0.25,
                    "lower",
                )
                for end in ("sender", "receiver")
            ),
        ]
    return goals


def main() -> int:
    """Run everything and print it."""
    made = parser(__doc__ or "")
    made.add_argument("--only", nargs="*", choices=TRANSPORTS, help="leave the others out")
    arguments = made.parse_args()
    names = arguments.only or list(TRANSPORTS)
    n_rounds, seconds = (2, 0.8) if arguments.quick else (7, 3.0)
    with tempfile.TemporaryDirectory(prefix="link-benchmark-") as scratch:
        pairs = [Pair(name, Path(scratch) / f"{i}") for i, name in enumerate(names)]
        try:
            for pair in pairs:
                pair.await_ready()
                pair.run(300, 1000)  # warm up
            rows = [
                *measure_paced(pairs, 1000, round(1000 * seconds), n_rounds),
                *measure_paced(pairs, 10_000, round(5000 * seconds), n_rounds),
                *measure_flat_out(pairs, 20_000 if arguments.quick else 200_000),
                *measure_load(pairs, 4.0 if arguments.quick else 10.0),
            ]
        finally:
            for pair in pairs:
                pair.close()
    return publish(rows, goals_of(rows), as_json=arguments.json, title="link")


if __name__ == "__main__":
    sys.exit(main())
