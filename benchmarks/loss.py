"""What is lost when a consumer dies or a line breaks: our link beside LSL, ZeroMQ PUB/SUB and MQTT.

    python -m benchmarks.loss [--quick] [--json]

10,000 spikes at 1 kHz. At 3 s the consumer is killed (SIGKILL) and replaced 3 s later; or the
connection is reset; or the line swallows everything for 3 s. Counted is what stands in the
recordings of the consumers together. LSL finds its peers by broadcast and cannot be sent through a
relay, so only the first case is its. MQTT takes part where mosquitto and paho-mqtt are installed.
"""

import multiprocessing as mp
import os
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from app.core.spikes import SPIKE_RECORD, SpikeRecords
from benchmarks import engine_path, mqtt, transports
from benchmarks.report import Goal, Row, parser, publish
from mocks.tcp_relay import Relay

RATE_HZ = 1000
QUIET_S = {"our link": 10.0}
OTHERS_QUIET_S = 5.0
"""A recording that has not grown for so long is complete. Ours may still be dialling again."""
LIMIT_S = 30.0
CASES = ("consumer killed", "line reset", "black hole")


@dataclass(frozen=True, slots=True)
class Course:
    """How long a run is, and when the fault begins and ends."""

    n_spikes: int
    from_s: float
    to_s: float


# --- consumers: each writes a recording, number by number -----------------------------------------


class Recording:
    """Numbers in a file, each write handed to the operating system at once."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def take(self, records: SpikeRecords) -> None:
        os.write(self._descriptor, records["sample_index"].astype("<i8").tobytes())


def consume_lsl(folder: Path, run: int, _port: int, pipe: Connection) -> None:
    receiver = transports.LslReceiver(folder, Recording(folder / f"run-{run}").take)
    pipe.send(receiver.address)
    pipe.recv()
    receiver.close()


def consume_zmq(folder: Path, run: int, port: int, pipe: Connection) -> None:
    import zmq

    recording = Recording(folder / f"run-{run}")
    context = zmq.Context()
    sub = context.socket(zmq.SUB)
    sub.setsockopt(zmq.SUBSCRIBE, b"")
    sub.connect(f"tcp://127.0.0.1:{port}")
    pipe.send(None)
    while not pipe.poll():
        if sub.poll(100):
            recording.take(np.frombuffer(sub.recv(), SPIKE_RECORD))
    sub.close(0)
    context.term()


def consume_mqtt(folder: Path, run: int, port: int, pipe: Connection) -> None:
    recording = Recording(folder / f"run-{run}")
    client = mqtt.subscribe(port, lambda body: recording.take(np.frombuffer(body, SPIKE_RECORD)))
    pipe.send(None)
    pipe.recv()
    client.disconnect()
    client.loop_stop()


def consume_ours(folder: Path, run: int, port: int, pipe: Connection) -> None:
    receiver = engine_path.EngineReceiver(folder, lambda _records: None, port=port, run=run)
    pipe.send(None)
    pipe.recv()
    receiver.close()


# --- producers ------------------------------------------------------------------------------------


class ZmqSender:
    """PUB as it comes, bound; subscribers connect."""

    def __init__(self, _folder: Path, port: int) -> None:
        import zmq

        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        self._socket.bind(f"tcp://127.0.0.1:{port}")

    def send(self, records: SpikeRecords) -> None:
        self._socket.send(records.tobytes())

    def close(self) -> None:
        self._socket.close(1000)
        self._context.term()


def produce(kind: str, folder: Path, address: Any, n_spikes: int, pipe: Connection) -> None:
    sender = {
        "LSL": transports.LslSender,
        "ZeroMQ PUB/SUB": ZmqSender,
        "MQTT": mqtt.Sender,
    }.get(kind, engine_path.EngineSender)(folder, address)
    pipe.send(None)
    pipe.recv()
    start_s = time.monotonic()
    for number in range(n_spikes):
        time.sleep(max(0.0, start_s + number / RATE_HZ - time.monotonic()))
        records = np.zeros(1, SPIKE_RECORD)
        records["neuron"], records["sample_index"] = engine_path.NEURON, number
        records["time_ns"] = time.monotonic_ns()
        sender.send(records)
    pipe.send(None)
    pipe.recv()
    sender.close()


# --- one run --------------------------------------------------------------------------------------


class Process:
    """A child and the pipe to it."""

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        context = mp.get_context("spawn")
        self._pipe, there = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=target, args=(*arguments, there), daemon=True
        )
        self.process.start()

    def hear(self) -> Any:
        if not self._pipe.poll(LIMIT_S):
            raise TimeoutError(f"{self.process.name}: no answer")
        return self._pipe.recv()

    def tell(self) -> None:
        self._pipe.send(None)

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self._pipe.close()

    def end(self) -> None:
        self.tell()
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()
        self._pipe.close()


def run(kind: str, case: str, course: Course, folder: Path) -> Row:
    """Send all spikes through one transport and one fault; return what was lost."""
    folder.mkdir()
    transports.make_keys(folder)
    consumer_of = {
        "LSL": consume_lsl,
        "ZeroMQ PUB/SUB": consume_zmq,
        "MQTT": consume_mqtt,
    }.get(kind, consume_ours)
    listening = free_port()
    with ExitStack() as stack:
        outer = stack.enter_context(Relay(listening))
        if kind == "MQTT":
            stack.callback(mqtt.Broker(folder, listening).close)
        # Theirs dials the producer, or the broker; ours is dialled by it. All through the relay.
        is_dialling = kind in ("ZeroMQ PUB/SUB", "MQTT")
        port = outer.port if is_dialling else listening
        consumer = Process(consumer_of, folder, 1, port)
        address = consumer.hear()
        if is_dialling:
            address = listening
        elif kind != "LSL":
            address = ("127.0.0.1", outer.port)
        producer = Process(produce, kind, folder, address, course.n_spikes)
        producer.hear()
        time.sleep(0.5)  # PUB sends to whoever has subscribed by now; be fair to it
        producer.tell()
        begin_s = time.monotonic()
        _until(begin_s + course.from_s)
        if case == "consumer killed":
            consumer.kill()
            _until(begin_s + course.to_s)
            consumer = Process(consumer_of, folder, 2, port)
            consumer.hear()
        elif case == "line reset":
            outer.reset()
        else:
            outer.is_black_hole = True
            _until(begin_s + course.to_s)
            outer.is_black_hole = False
        producer.hear()
        recordings = _complete(kind, folder, course.n_spikes)
        consumer.end()
        producer.end()
    return {"case": case, "transport": kind, **_count(recordings, course.n_spikes)}


def _until(time_s: float) -> None:
    time.sleep(max(0.0, time_s - time.monotonic()))


def _complete(kind: str, folder: Path, n_spikes: int) -> list[Any]:
    """Return the recordings once they hold everything or have stopped growing."""
    n_before, since_s = -1, time.monotonic()
    quiet_s = QUIET_S.get(kind, OTHERS_QUIET_S)
    while True:
        recordings = _recordings(kind, folder)
        n = sum(map(len, recordings))
        if n != n_before:
            n_before, since_s = n, time.monotonic()
        if n >= n_spikes or time.monotonic() - since_s > quiet_s:
            return recordings
        time.sleep(0.1)


def _recordings(kind: str, folder: Path) -> list[Any]:
    if kind != "our link":
        return [np.fromfile(path, "<i8") for path in sorted(folder.glob("run-*"))]
    found = []
    for path in sorted(folder.glob("b-*.sqlite")):
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5.0)
        try:
            rows = connection.execute("SELECT sample_index FROM spikes ORDER BY rowid").fetchall()
        except sqlite3.OperationalError:
            rows = []  # the tables are not made yet
        finally:
            connection.close()
        found.append(np.array([number for (number,) in rows], np.int64))
    return found


def _count(recordings: list[Any], n_spikes: int) -> dict[str, int]:
    union = np.concatenate(recordings) if recordings else np.empty(0, np.int64)
    unique = len(np.unique(union))
    return {
        "sent": n_spikes,
        "lost": n_spikes - unique,
        "doubled": len(union) - unique,
        "disordered": int((np.diff(union) < 0).sum()),
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def main() -> int:
    """Run every case with every transport and print the table."""
    arguments = parser(__doc__ or "").parse_args()
    course = Course(5000, 1.5, 3.0) if arguments.quick else Course(10_000, 3.0, 6.0)
    absent = mqtt.why_not()
    if absent:
        print(f"MQTT takes no part: {absent} not installed", file=sys.stderr)
    others = ("ZeroMQ PUB/SUB",) if absent else ("ZeroMQ PUB/SUB", "MQTT")
    kinds = {
        "consumer killed": ("our link", "LSL", *others),
        "line reset": ("our link", *others),
        "black hole": ("our link", *others),
    }
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="loss-benchmark-") as scratch:
        for number, case in enumerate(CASES):
            with ThreadPoolExecutor() as pool:
                runs = [
                    pool.submit(run, kind, case, course, Path(scratch) / f"{number}-{i}")
                    for i, kind in enumerate(kinds[case])
                ]
                rows += [each.result() for each in runs]
    goals = [
        Goal(f"{row['case']}: {what}, our link", float(row[what] or 0), 0, "lower")
        for row in rows
        if row["transport"] == "our link"
        for what in ("lost", "doubled", "disordered")
    ]
    return publish(rows, goals, as_json=arguments.json, title="loss")


if __name__ == "__main__":
    sys.exit(main())
