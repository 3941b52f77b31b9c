"""A window that freezes, dies or stalls, on a real engine with mock instruments on real wires.

The engine loses nothing by it, and trips when the arming lived by that window. Frozen means
6 s here, more than sockets and rings hold; `SPIKEBRIDGE_FROZEN_S=10` makes it longer.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from chain_rig import until
from console_rig import gather, reply

from app.bridge.keys import keygen
from app.bridge.tls import TlsIdentity
from app.cli import main
from app.config.load import load_site
from app.console.attachment import Attachment, RemoteEngine
from app.console.client import ConsoleClient, NoEngineError
from app.console.messages import CommandRefusedError
from app.console.unix_address import connect_unix
from app.core.frames import Frame, FrameType, encode_frame
from app.exit_codes import ExitCode
from app.gui.commands import EXAMPLE
from app.run_folder import RunFolder

FROZEN_S = float(os.environ.get("SPIKEBRIDGE_FROZEN_S", "6"))
pytestmark = pytest.mark.timeout(180)


class Bench:
    """A running engine of the example site."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket

    def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        with ConsoleClient(self.socket) as console:
            return console.call(name, **arguments)

    @property
    def state(self) -> str:
        return str(self.call("status")["gate"]["state"])

    def answers(self) -> bool:
        try:
            return self.call("status")["amplifier"]["n_samples"] > 0
        except NoEngineError:
            return False

    def to_disarmed(self) -> None:
        if self.state == "tripped":
            self.call("acknowledge", who="operator at the bench")
        self.call("disarm", who="test")
        until(self.is_armable, "site can be armed")

    def is_armable(self) -> bool:
        gate = self.call("status")["gate"]
        return gate["state"] == "disarmed" and not set(gate["stale_leases"]) - {"console"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("bench")
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
    site_file = folder / "bench.toml"
    _open_to_the_network(site_file)
    command = [sys.executable, "-m", "app.cli", "run", str(site_file), "--mock"]
    command += ["--experiment", str(folder / "experiment.toml")]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        made = Bench(RunFolder(site_file, load_site(site_file)).console_socket)
        until(made.answers, "engine runs", 90.0)
        yield made
    finally:
        process.terminate()
        process.wait(20.0)


def _open_to_the_network(site_file: Path) -> None:
    """Let the example's operator attach over the network, with a key."""
    keygen(site_file.parent / "keys", "bench")
    keygen(site_file.parent / "keys", "operator")
    name = 'name = "operator at the bench"\n'
    text = site_file.read_text().replace(name, name + 'certificate = "keys/operator.crt"\n')
    listen = 'console_listen = { host = "127.0.0.1", port = 0 }\n'
    site_file.write_text(text.replace('site = "bench"\n', 'site = "bench"\n' + listen, 1))


@contextmanager
def window(bench: Bench, report: Path) -> Iterator["subprocess.Popen[bytes]"]:
    script = Path(__file__).parent / "window_process.py"
    root = str(Path(__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, str(script), str(bench.socket), "bench", str(report)],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": root},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def shown(report: Path) -> dict[str, Any]:
    return json.loads(report.read_text()) if report.exists() else {"state": "", "log": []}


def lost(bench: Bench) -> tuple[int, int, int]:
    status = bench.call("status")
    amplifier, log = status["amplifier"], status["event_log"]
    return amplifier["n_lost"], amplifier["n_gaps"], log["n_rows_lost"]


def test_a_frozen_window_costs_no_sample_and_its_arming_trips(bench: Bench, tmp_path: Path) -> None:
    report = tmp_path / "shown.json"
    bench.to_disarmed()
    with window(bench, report) as process:
        until(lambda: bench.state == "armed", "armed by the window", 60.0)
        until(lambda: shown(report)["state"] == "ARMED", "the window shows it")
        before, n_samples = lost(bench), bench.call("status")["amplifier"]["n_samples"]
        process.send_signal(signal.SIGSTOP)
        until(lambda: bench.state == "tripped", "tripped without renewals", 10.0)
        gate = bench.call("status")["gate"]
        assert "console" in gate["reason"]
        assert "2 s" in gate["reason"]
        bench.call("acknowledge", who="operator at the bench")  # samples flow again
        n_frozen = FROZEN_S * 20_000
        until(
            lambda: bench.call("status")["amplifier"]["n_samples"] > n_samples + n_frozen,
            "samples of the frozen time",
            FROZEN_S + 20.0,
        )
        process.send_signal(signal.SIGCONT)
        until(lambda: shown(report)["state"] == "DISARMED", "the window goes on")
        until(lambda: any("did not keep up" in line for line in shown(report)["log"]), "it says so")
        assert lost(bench)[2] == before[2] == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(10.0) == 0


def test_a_killed_window_trips_what_it_armed(bench: Bench, tmp_path: Path) -> None:
    bench.to_disarmed()
    with window(bench, tmp_path / "shown.json") as process:
        until(lambda: bench.state == "armed", "armed by the window", 60.0)
        process.kill()
        until(lambda: bench.state == "tripped", "tripped")
        assert "console" in bench.call("status")["gate"]["reason"]


def test_a_stalled_socket_trips_what_it_armed_and_loses_nothing(bench: Bench) -> None:
    bench.to_disarmed()
    before = lost(bench)
    code = bench.call("status")["session_code"]
    stalled = connect_unix(bench.socket, 5.0)
    try:
        for number, (name, arguments) in enumerate(
            (
                ("subscribe", {}),
                ("arm", {"who": "operator at the bench", "reason": "a test", "seconds": 60.0,
                         "code": code}),
            )
        ):  # fmt: skip
            command = json.dumps({"id": number, "name": name, "arguments": arguments}).encode()
            stalled.sendall(encode_frame(Frame(FrameType.COMMAND, command)))
        until(lambda: bench.state == "armed", "armed over the socket")
        until(lambda: bench.state == "tripped", "tripped")
        assert lost(bench)[:1] == before[:1]
        assert lost(bench)[2] == 0
    finally:
        stalled.close()


def test_only_the_console_that_armed_keeps_the_arming_alive(bench: Bench) -> None:
    bench.to_disarmed()
    code = bench.call("status")["session_code"]
    with ConsoleClient(bench.socket) as armed, ConsoleClient(bench.socket) as other:
        armed.call("arm", who="operator at the bench", reason="a test", seconds=60.0, code=code)
        until(lambda: other.call("renew")["gate_state"] == "tripped", "others' renewals do nothing")


def test_control_is_exclusive_and_goes_over_with_a_confirmation(bench: Bench) -> None:
    bench.to_disarmed()
    with ConsoleClient(bench.socket) as one, ConsoleClient(bench.socket) as two:
        one.call("take control", who="Ada")
        assert two.call("status")["control"]["name"] == "Ada"
        for name, arguments in (("record", {"is_on": True}), ("shutdown", {}), ("arm", {})):
            with pytest.raises(CommandRefusedError, match="Ada holds control"):
                two.call(name, **arguments)
        with pytest.raises(CommandRefusedError, match="confirm"):
            two.call("take control", who="Bea")
        two.call("note", who="Bea", text="looking never needs control")
        two.call("disarm", who="Bea")
        two.call("take control", who="Bea", is_confirmed=True)
        with pytest.raises(CommandRefusedError, match="Bea holds control"):
            one.call("record", is_on=True)
    until(lambda: bench.call("status")["control"]["name"] is None, "control is free again")


def test_over_the_network_a_console_arms_as_whose_key_it_has_and_as_nobody_else(
    bench: Bench,
) -> None:
    bench.to_disarmed()
    status = bench.call("status")
    keys = bench.socket.parents[1] / "keys"
    identity = TlsIdentity(
        keys / "operator.key", keys / "operator.crt", {"bench": keys / "bench.crt"}
    )
    console = Attachment(RemoteEngine("127.0.0.1", status["console"]["port"], identity))
    try:
        gather(console, lambda _: console.is_open, "attached")
        arming = {"reason": "a test", "seconds": 60.0, "code": status["session_code"]}
        refused = reply(console, "arm", who="Mallory", **arming)
        assert not refused.is_ok
        assert "operator at the bench's, not Mallory's" in refused.error
        assert bench.state == "disarmed"
        assert reply(console, "arm", who="operator at the bench", **arming).is_ok
        assert bench.state == "armed"
    finally:
        console.close()
    until(lambda: bench.state == "tripped", "tripped as its console has gone")


@pytest.mark.parametrize(
    "arguments",
    [[], ["--attach", "nowhere"], ["--attach", "host:70000"], ["--attach", "host:1"], ["no.toml"]],
)
def test_wrong_arguments_of_the_window_are_one_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gui", *arguments]) == ExitCode.USAGE
    assert len(capsys.readouterr().err.splitlines()) == 1
