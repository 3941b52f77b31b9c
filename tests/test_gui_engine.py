"""A window that freezes, dies or stalls, on a real engine with mock instruments on real wires.

The engine loses nothing by it, and trips when the arming lived by that window. Frozen means 10 s,
more than sockets and rings hold; `SPIKEBRIDGE_FROZEN_S=60` makes it longer.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chain_rig import until
from console_rig import gather, reply
from live_window_rig import RATE_HZ, Bench, Evidence, running_bench, window

from app.bridge.tls import TlsIdentity
from app.cli import main
from app.console.attachment import Attachment, RemoteEngine
from app.console.client import ConsoleClient
from app.console.messages import CommandRefusedError
from app.engine.watch import CONSOLE_LIMIT_NS
from app.exit_codes import ExitCode
from mocks.tcp_relay import Relay

FROZEN_S = float(os.environ.get("SPIKEBRIDGE_FROZEN_S", "10"))
PROMISED_NS = 2_000_000_000
"""Within this time after a window's last sign of life the engine trips what it armed."""
BROKEN_PLACES = ("broken_feed", "broken_status", "broken_reply", "broken_paint", "broken_timer")
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with running_bench(tmp_path_factory.mktemp("bench")) as made:
        yield made


def test_a_frozen_window_costs_no_sample_and_its_arming_trips(bench: Bench, tmp_path: Path) -> None:
    bench.to_disarmed()
    evidence = Evidence(bench)
    with window(tmp_path, socket=bench.socket) as frozen:
        frozen.until_armed(bench)
        frozen.process.send_signal(signal.SIGSTOP)
        frozen_ns, n_sent = time.monotonic_ns(), bench.n_sent
        assert bench.tripped_ns(frozen_ns) - frozen_ns <= PROMISED_NS
        assert "console" in bench.status["gate"]["reason"]
        until(lambda: bench.n_sent >= n_sent + FROZEN_S * RATE_HZ, "frozen", FROZEN_S + 20.0)
        frozen.process.send_signal(signal.SIGCONT)
        until(lambda: frozen.shown["state"] == "TRIPPED", "the window goes on")
        until(lambda: frozen.says("trace columns"), "it says what it was not shown")
        evidence.assert_nothing_lost()
        assert frozen.ends_in_order()


def test_a_killed_window_costs_nothing_and_what_it_armed_trips(
    bench: Bench, tmp_path: Path
) -> None:
    bench.to_disarmed()
    evidence = Evidence(bench)
    with window(tmp_path, socket=bench.socket) as killed:
        killed.until_armed(bench)
        killed_ns = time.monotonic_ns()
        killed.process.kill()
        assert bench.tripped_ns(killed_ns) - killed_ns <= PROMISED_NS
    assert "console" in bench.status["gate"]["reason"]
    with window(tmp_path / "again", socket=bench.socket) as again:
        until(lambda: again.shown["state"] == "TRIPPED", "a new window attaches", 60.0)
        until(lambda: again.says("the console has gone"), "it says what happened meanwhile")
        evidence.assert_nothing_lost()


def test_a_window_over_a_stalled_socket_costs_nothing_and_what_it_armed_trips(
    bench: Bench, tmp_path: Path
) -> None:
    bench.to_disarmed()
    evidence = Evidence(bench)
    with (
        Relay(bench.status["console"]["port"]) as network,
        window(tmp_path, port=network.port, keys=bench.keys) as stalled,
    ):
        stalled.until_armed(bench)
        network.is_black_hole = True
        stalled_ns, n_sent = time.monotonic_ns(), bench.n_sent
        until(lambda: stalled.shown["state"] == "UNKNOWN", "the window knows nothing")
        assert bench.tripped_ns(stalled_ns) - stalled_ns <= PROMISED_NS
        until(lambda: bench.n_sent >= n_sent + FROZEN_S * RATE_HZ, "stalled", FROZEN_S + 20.0)
        until(lambda: stalled.says("dialled anew"), "the window gives the connection up")
        network.is_black_hole = False
        until(lambda: stalled.shown["state"] == "TRIPPED", "the window goes on")
        until(lambda: stalled.says("attached again after"), "it says so")
        until(lambda: stalled.says("trace columns"), "it says what it was not shown")
        evidence.assert_nothing_lost()
        assert stalled.ends_in_order()


def test_bugs_in_every_kind_of_slot_are_shown_and_the_window_keeps_its_arming_alive(
    bench: Bench, tmp_path: Path
) -> None:
    bench.to_disarmed()
    with window(tmp_path, socket=bench.socket, is_broken=True) as broken:
        broken.until_armed(bench)
        armed_ns = bench.status["gate"]["since_ns"]
        until(lambda: "so far 100 times" in broken.shown["fault"], "the fault is shown")
        until(lambda: bench.status["now_ns"] - armed_ns > 1.5 * CONSOLE_LIMIT_NS, "leases are due")
        assert bench.state == "armed"
        assert broken.shown["state"] == "ARMED"
        assert broken.ends_in_order()
    said = (tmp_path / "window.log").read_text()
    assert all(f"in {place}" in said for place in BROKEN_PLACES), said


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
    status = bench.status
    keys = bench.keys
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
