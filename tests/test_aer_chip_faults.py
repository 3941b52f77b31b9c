"""The mock neuron chip: its fault plan, wrong options, and how it ends."""

import signal
import socket
import subprocess
import sys
import time

import pytest
from aer_chip_rig import DRIVE_1_STRONG, DRIVE_2_STRONG, DRIVE_63, LIMIT_S, SPIKE_63, running

UNKNOWN_1 = bytes.fromhex("5300100180000000")


def heard(chip, n):
    return [chip.receive() for _ in range(n)]


def test_a_dropped_reply_is_a_spike_that_the_hub_never_hears():
    with running(faults=[{"kind": "drop", "on": "reply", "at": 2}]) as chip:
        chip.send(DRIVE_63, DRIVE_63, DRIVE_63)
        assert len(heard(chip, 2)) == 2
        assert chip.is_silent_for(0.05)
        status = chip.status_when(n_spikes=3)
        assert status["n_lost"] == 1


def test_a_dropped_request_drives_nothing():
    with running(faults=[{"kind": "drop", "on": "request", "at": 1}]) as chip:
        chip.send(DRIVE_63, DRIVE_63)
        chip.receive()
        assert chip.is_silent_for(0.05)
        status = chip.ask("status")
        assert [status[k] for k in ("n_datagrams", "n_drives", "n_lost")] == [2, 1, 1]


def test_dropped_bytes_make_a_short_packet_in_either_direction():
    faults = [
        {"kind": "drop_bytes", "on": "request", "at": 1, "n_bytes": 3, "offset": 2},
        {"kind": "drop_bytes", "on": "reply", "at": 1, "n_bytes": 2},
    ]
    with running(faults=faults) as chip:
        chip.send(DRIVE_63, DRIVE_63)
        assert chip.receive().hex() == "003f00000000"
        assert chip.ask("status")["n_malformed"] == 1


def test_garbage_and_duplicates_are_datagrams_of_their_own():
    faults = [
        {"kind": "garbage", "on": "reply", "at": 1, "data_hex": "dead"},
        {"kind": "duplicate", "on": "reply", "at": 2},
        {"kind": "duplicate", "on": "request", "at": 3},
        {"kind": "garbage", "on": "request", "at": 4},
        {"kind": "replace", "on": "reply", "at": 6, "data_hex": "4100003f00ffffff"},
    ]
    with running(faults=faults) as chip:
        chip.send(*[DRIVE_63] * 3)
        packets = heard(chip, 6)
        assert packets[0].hex() == "dead"
        assert all(p[:4] == SPIKE_63 for p in packets[1:])
        assert packets[2] == packets[3]
        chip.send(*[DRIVE_63] * 2)
        assert heard(chip, 2)[1].hex() == "4100003f00ffffff"
        status = chip.ask("status")
        assert [status[k] for k in ("n_datagrams", "n_drives", "n_malformed")] == [5, 6, 1]


def test_a_delayed_datagram_is_overtaken():
    with running(faults=[{"kind": "delay", "on": "request", "at": 1, "duration_s": 0.1}]) as chip:
        chip.send(DRIVE_2_STRONG, DRIVE_63)
        assert [p[3] for p in heard(chip, 2)] == [63, 2]
        (relay, _), (first, second) = chip.ask("spikes")["spikes"], chip.ask("drives")["drives"]
        assert relay["neuron"] == first["neuron"] == 63
        assert second["time_ns"] - first["time_ns"] > 0.09e9


def test_a_stalled_chip_answers_later_what_came_meanwhile():
    with running(faults=[{"kind": "stall", "on": "request", "at": 2, "duration_s": 0.2}]) as chip:
        chip.send(DRIVE_63)
        chip.receive()
        started_s = time.monotonic()
        chip.send(*[DRIVE_63] * 3)
        assert [p[:4] for p in heard(chip, 3)] == [SPIKE_63] * 3
        assert time.monotonic() - started_s > 0.19
        assert chip.ask("status")["n_lost"] == 0


def test_a_stall_holds_back_spikes_under_way():
    faults = [{"kind": "stall", "on": "request", "at": 2, "duration_s": 0.2}]
    with running(faults=faults) as chip:
        started_s = time.monotonic()
        chip.send(DRIVE_1_STRONG, UNKNOWN_1)
        assert chip.receive()[3] == 1
        assert time.monotonic() - started_s > 0.19
        chip.status_when(n_unknown=1, n_spikes=1)


def test_a_disconnected_chip_loses_both_directions_and_comes_back():
    faults = [{"kind": "disconnect", "on": "request", "at": 2, "duration_s": 0.15}]
    with running(faults=faults) as chip:
        chip.send(DRIVE_1_STRONG, DRIVE_63, DRIVE_63)
        chip.status_when(n_datagrams=3, n_drives=1, n_spikes=1, n_lost=3)
        assert chip.is_silent_for(0.15)
        chip.send(DRIVE_63)
        assert chip.receive()[:4] == SPIKE_63


def test_a_reset_forgets_spikes_under_way_and_the_clock():
    faults = [{"kind": "reset", "on": "request", "at": 3}]
    with running(faults=faults) as chip:
        chip.send(DRIVE_63)
        chip.receive()
        chip.send(DRIVE_1_STRONG, UNKNOWN_1)
        assert chip.is_silent_for(0.05)
        status = chip.ask("status")
        counted = {k: status[k] for k in ("n_spikes", "n_drives", "n_resets", "n_lost")}
        assert counted == {"n_spikes": 1, "n_drives": 2, "n_resets": 1, "n_lost": 1}
        chip.send(DRIVE_63)
        assert chip.receive().hex() == "4100003f00000000"


def test_a_reset_loses_what_waits_and_counts_it():
    faults = [
        {"kind": "delay", "on": "reply", "at": 1, "duration_s": 0.1},
        {"kind": "reset", "on": "request", "at": 2},
    ]
    with running(faults=faults) as chip:
        chip.send(DRIVE_63, DRIVE_63)
        chip.status_when(n_lost=2, n_spikes=1)
        assert chip.is_silent_for(0.05)


def test_timed_faults_strike_without_any_packet():
    faults = [
        {"kind": "garbage", "on": "time", "at": 0.05, "data_hex": "ff0a00"},
        {"kind": "reset", "on": "time", "at": 0.06},
        {"kind": "garbage", "on": "time", "at": 0.08, "data_hex": "00"},
    ]
    with running(faults=faults) as chip:
        assert [p.hex() for p in heard(chip, 2)] == ["ff0a00", "00"]
        assert chip.ask("status")["n_resets"] == 1


def test_the_same_random_plan_hits_the_same_spikes_twice():
    def ticks_heard():
        with running(
            "--faults", '{"seed": 7, "n_faults": 8, "within": 20, "kinds": ["drop"]}'
        ) as c:
            c.send(*[DRIVE_63] * 20)
            c.status_when(n_spikes=20)
            return c.ask("status")["n_lost"], len(heard(c, 12))

    assert ticks_heard() == ticks_heard() == (8, 12)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--relay", "1", "--adex", "2,1"], "neurons [1] are relay and adex"),
        ([], "a chip without neurons"),
        (["--relay", "16777216"], "a neuron is 0 to 16777215"),
        (["--relay", "-1,3"], "--relay"),
        (["--relay", "one"], "--relay"),
        (["--relay", "1", "--faults", '[{"kind": "melt"}]'], "melt"),
        (["--relay", "1", "--hub", "nowhere"], "'nowhere' is not HOST:PORT"),
    ],
)
def test_wrong_options_end_it_with_the_reason(options, complaint):
    command = [sys.executable, "-m", "mocks.aer_chip", "--listen", "127.0.0.1:0"]
    command += ["--hub", "127.0.0.1:9", *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert ended.stdout == ""


def free_again(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(address)


def test_it_ends_with_its_standard_input():
    with running() as chip:
        chip.process.stdin.close()
        assert chip.process.wait(LIMIT_S) == 0
        free_again(chip.address)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_also_with_spikes_planned(number):
    faults = [{"kind": "stall", "on": "request", "duration_s": 3000.0}]
    with running(faults=faults) as chip:
        chip.send(DRIVE_1_STRONG)
        chip.status_when(n_datagrams=1)
        chip.process.send_signal(number)
        assert chip.process.wait(LIMIT_S) == 0


def test_after_kill_9_another_takes_its_address():
    with running() as chip:
        chip.send(DRIVE_63)
        chip.receive()
        chip.process.kill()
        assert chip.process.wait(LIMIT_S) == -signal.SIGKILL
        chip.send(DRIVE_63)  # into the void: UDP does not tell
        assert chip.is_silent_for(0.05)
        with running("--listen", f"127.0.0.1:{chip.address[1]}") as heir:
            assert heir.address == chip.address
            chip.send(DRIVE_63)  # its hub is another: nothing comes here
            heir.send(DRIVE_63)
            assert heir.receive()[:4] == SPIKE_63
            assert heir.ask("status")["n_spikes"] == 2
            assert chip.is_silent_for(0.05)


def test_the_truth_answers_nonsense_with_help():
    with running() as chip:
        assert chip.ask("weather")["error"].startswith("unknown question 'weather'")
        assert "error" in chip.ask("spikes", skip="x")
        assert chip.ask("spikes", skip=-5) == {"spikes": []}
