"""The two processes of a transport, obeying orders: what goes in, and what comes of it.

The sender stamps each event right before it hands it over, the receiver right after it has it as a
record, on one monotonic clock. Pacing sleeps, it never spins.
"""

import gc
import multiprocessing as mp
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from app.core.real_time import take_real_time
from app.core.spikes import SPIKE_RECORD, SpikeRecords
from app.run_engine import SWITCH_INTERVAL_S
from benchmarks import engine_path, transports

TRANSPORTS: dict[str, tuple[Any, Any]] = {
    "plain TCP": (transports.TcpReceiver, transports.TcpSender),
    "ZeroMQ CURVE": (transports.CurveReceiver, transports.CurveSender),
    "LSL": (transports.LslReceiver, transports.LslSender),
    "bare link": (transports.LinkReceiver, transports.LinkSender),
    "complete path": (engine_path.EngineReceiver, engine_path.EngineSender),
}
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


def scheduling_allowed() -> str:
    """Return "real-time" if a process of ours may have it, else "ordinary" and say why."""
    asking = mp.get_context("spawn").Pool(1)
    with asking:
        refused = asking.apply(take_real_time)
    if refused is None:
        return "real-time"
    print(f"ordinary scheduling only: {refused}", file=sys.stderr)
    return "ordinary"


def _as_an_engine(scheduling: str) -> None:
    """Run this process as an engine runs, whatever the transport; before its threads start."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    if scheduling == "real-time" and (refused := take_real_time()) is not None:
        raise PermissionError(refused)


def _leave_out_of_garbage_collection() -> None:
    gc.collect()
    gc.freeze()


def receive(name: str, folder: Path, pipe: Connection, scheduling: str) -> None:
    """Be the receiving process: obey "reset" and ("await", n), end at "end"."""
    _as_an_engine(scheduling)
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


def send(name: str, folder: Path, address: Any, pipe: Connection, scheduling: str) -> None:
    """Be the sending process: obey (n_messages, rate_hz or 0 for flat out, events per message)."""
    _as_an_engine(scheduling)
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

    def __init__(self, name: str, folder: Path, scheduling: str) -> None:
        self.name = name
        folder.mkdir()
        transports.make_keys(folder)
        context = mp.get_context("spawn")
        self._receiver, there = context.Pipe()
        receiving = context.Process(
            target=receive, args=(name, folder, there, scheduling), daemon=True
        )
        receiving.start()
        self._sender, here = context.Pipe()
        address = self._receiver.recv()
        sending = context.Process(
            target=send, args=(name, folder, address, here, scheduling), daemon=True
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
