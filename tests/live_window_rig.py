"""An engine on mock instruments, real windows on it, and what the mock sent. No tests in here."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from chain_rig import until

from app.bridge.keys import keygen
from app.config.load import load_site
from app.console.client import ConsoleClient, NoEngineError
from app.core.detector import Detector
from app.engine.wiring import detector_settings
from app.gui.commands import EXAMPLE
from app.recording.raw_reader import RawSamples, read_raw
from app.run_folder import RunFolder
from drivers.mea.protocol import SampleBlock, StreamFormat
from mocks.culture import Culture, CultureSettings
from mocks.rhx_streams import amplifier_words

NEURON, CHANNEL = 300, "A-028"
"""A neuron that fires by itself; the example's own does so only when it is stimulated."""
SEED = 1
"""Of the example site's culture."""
RATE_HZ = 20_000
LOOK_AHEAD_SAMPLES = RATE_HZ // 10
"""Detection holds back less than this."""


class Bench:
    """A running engine of the example site."""

    def __init__(self, site_file: Path) -> None:
        self.site = load_site(site_file)
        self.folder = RunFolder(site_file, self.site)
        self.socket = self.folder.console_socket
        self.keys = site_file.parent / "keys"

    def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        with ConsoleClient(self.socket) as console:
            return console.call(name, **arguments)

    @property
    def status(self) -> dict[str, Any]:
        return self.call("status")

    @property
    def state(self) -> str:
        return str(self.status["gate"]["state"])

    @property
    def n_samples(self) -> int:
        return int(self.status["amplifier"]["n_samples"])

    def answers(self) -> bool:
        try:
            return self.n_samples > 0
        except NoEngineError:
            return False

    def to_disarmed(self) -> None:
        if self.state == "tripped":
            self.call("acknowledge", who="operator at the bench")
        self.call("disarm", who="test")
        until(self.is_armable, "site can be armed")

    def is_armable(self) -> bool:
        gate = self.status["gate"]
        return gate["state"] == "disarmed" and not set(gate["stale_leases"]) - {"console"}

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return rows of the session's event log, as it is on disk now."""
        path = Path(self.status["session_folder"]) / "events.sqlite"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as log:
            return log.execute(query, values).fetchall()

    def tripped_ns(self, since_ns: int) -> int:
        """Return when the Gate tripped, as the event log has it; waits for the row."""
        query = "SELECT time_ns FROM arming WHERE state = 'tripped' AND time_ns > ? ORDER BY 1"
        until(lambda: bool(self.rows(query, since_ns)), "the trip is in the event log")
        return int(self.rows(query, since_ns)[0][0])

    @property
    def n_sent(self) -> int:
        """Get how many samples per channel the mock amplifier has sent."""
        return int(self.truth()["n_samples"])

    def truth(self) -> dict[str, Any]:
        """Ask the mock amplifier what it has really done."""
        port = json.loads(self.folder.mocks.read_text())["mea1"]["truth_port"]
        with socket.create_connection(("127.0.0.1", port), 5.0) as mock:
            mock.sendall(b'{"ask": "status"}\n')
            with mock.makefile("rb") as lines:
                told: dict[str, Any] = json.loads(lines.readline())
        assert told["run"] == 1, "the amplifier was stopped in between"
        return told


@contextmanager
def running_bench(folder: Path) -> Iterator[Bench]:
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
    site_file = folder / "bench.toml"
    _adapt(site_file)
    command = [sys.executable, "-m", "app.cli", "run", str(site_file), "--mock"]
    command += ["--experiment", str(folder / "experiment.toml")]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        bench = Bench(site_file)
        until(bench.answers, "engine runs", 90.0)
        yield bench
    finally:
        process.terminate()
        process.wait(20.0)


def _adapt(site_file: Path) -> None:
    """Let the example's operator attach over the network, with a key; name a lively neuron."""
    keygen(site_file.parent / "keys", "bench")
    keygen(site_file.parent / "keys", "operator")
    name = 'name = "operator at the bench"\n'
    text = site_file.read_text().replace(name, name + 'certificate = "keys/operator.crt"\n')
    listen = 'console_listen = { host = "127.0.0.1", port = 0 }\n'
    text = text.replace('site = "bench"\n', 'site = "bench"\n' + listen, 1)
    neuron = f', {{ neuron = {NEURON}, channel = "{CHANNEL}" }}]'
    site_file.write_text(text.replace('channel = "A-025" }]', 'channel = "A-025" }' + neuron))
    experiment = site_file.parent / "experiment.toml"
    named = f'[[neurons]]\nid = {NEURON}\nname = "lively"\nsite = "bench"\n\n[protocol]\n'
    experiment.write_text(experiment.read_text().replace("[protocol]\n", named))


class Window:
    """A window's process, and what it shows."""

    def __init__(self, process: "subprocess.Popen[bytes]", report: Path) -> None:
        self.process = process
        self._report = report

    @property
    def shown(self) -> dict[str, Any]:
        nothing = {"state": "", "log": [], "fault": ""}
        shown: dict[str, Any] = (
            json.loads(self._report.read_text()) if self._report.exists() else nothing
        )
        return shown

    def says(self, text: str) -> bool:
        return any(text in line for line in self.shown["log"])

    def until_armed(self, bench: Bench) -> None:
        until(lambda: bench.state == "armed", "armed by the window", 60.0)
        until(lambda: self.shown["state"] == "ARMED", "the window shows it")

    def ends_in_order(self) -> bool:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10.0) == 0


@contextmanager
def window(folder: Path, **options: Any) -> Iterator[Window]:
    """A real window that arms once; `socket`, or `port` and `keys`, say where its engine is."""
    folder.mkdir(exist_ok=True)
    report = folder / "shown.json"
    said = {"report": str(report), **{name: _plain(value) for name, value in options.items()}}
    root = str(Path(__file__).parents[1])
    with (folder / "window.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "window_process.py"), json.dumps(said)],
            env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": root},
            stderr=log,
        )
    try:
        yield Window(process, report)
    finally:
        process.kill()
        process.wait()


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


class Evidence:
    """Holds the engine's counters and its recording against what the mock amplifier sent.

    The culture is simulated from its seed a second time: nothing is believed because the engine
    says so. Record from `begin` to `assert_nothing_lost`.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._first = bench.n_sent
        bench.call("record", is_on=True)
        until(lambda: bench.status["recording"]["state"] == "recording", "recording")

    def assert_nothing_lost(self) -> None:
        bench = self._bench
        n_sent = bench.n_sent
        until(lambda: bench.n_samples >= n_sent + LOOK_AHEAD_SAMPLES, "what was sent has come")
        assert bench.n_samples <= bench.n_sent
        status = bench.status
        assert (status["amplifier"]["n_lost"], status["amplifier"]["n_gaps"]) == (0, 0)
        assert status["event_log"]["n_rows_lost"] == 0
        assert status["recording"]["n_samples_lost"] == 0
        bench.call("record", is_on=False)
        until(lambda: bench.status["recording"]["state"] == "idle", "recording ended")
        sent = sent_counts(bench, n_sent)
        self._compare_samples(sent, status)
        self._compare_spikes(sent)

    def _compare_samples(self, sent: "np.ndarray[Any, Any]", status: dict[str, Any]) -> None:
        (raw,) = [r for r in raw_of(status) if r.first_sample >= self._first]
        stop = raw.first_sample + len(raw.samples)
        assert raw.first_sample <= self._first + RATE_HZ
        assert stop >= len(sent)
        recorded = raw.samples[: len(sent) - raw.first_sample]
        assert np.array_equal(recorded, sent[raw.first_sample :])

    def _compare_spikes(self, sent: "np.ndarray[Any, Any]") -> None:
        query = "SELECT sample_index FROM spikes WHERE neuron = ? AND sample_index < ? ORDER BY 1"
        expected = spikes_in(self._bench, sent)
        column = self._bench.site.amplifiers[0].channels.index(CHANNEL)
        theirs = expected["sample_index"][expected["channel"] == column]
        last = len(sent) - LOOK_AHEAD_SAMPLES
        theirs = theirs[theirs < last].tolist()
        assert theirs, "the test proves nothing about spikes"
        until(
            lambda: [s for (s,) in self._bench.rows(query, NEURON, last)] == theirs,
            f"the {len(theirs)} spikes of the neuron are in the event log",
        )


def raw_of(status: dict[str, Any]) -> list[RawSamples]:
    nodes = {p.parents[2] for p in Path(status["session_folder"]).rglob("structure.oebin")}
    return [raw for node in nodes for raw in read_raw(node)]


def sent_counts(bench: Bench, n_samples: int) -> "np.ndarray[Any, Any]":
    """Simulate again what the mock sent: int16 counts `(n_samples, n_channels)`."""
    settings = CultureSettings(sample_rate_hz=RATE_HZ)
    culture = Culture(settings, SEED)
    began = bench.truth()["began_at_culture_sample"]
    culture.skip(began)
    names = list(settings.layout.names)
    columns = [names.index(channel) for channel in bench.site.amplifiers[0].channels]
    blocks = []
    while culture.n_samples - began < n_samples:
        words = amplifier_words(culture.step())
        blocks.append((words[:, columns].astype(np.int32) - 32768).astype(np.int16))
    return np.concatenate(blocks)[:n_samples]


def spikes_in(bench: Bench, counts: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Return what the engine's detection finds in these samples, on all channels."""
    amplifier = bench.site.amplifiers[0]
    stream = StreamFormat(tuple(amplifier.channels), float(RATE_HZ), 0.195)
    detector = Detector(stream, detector_settings(amplifier, len(amplifier.channels)))
    return detector.process(SampleBlock(counts, 0, 0, 0)).spikes
