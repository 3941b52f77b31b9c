"""The mock RHX: what goes wrong when a plan says so."""

import time

import numpy as np
import pytest
from rhx_rig import MAGIC, client, connect_data, read_blocks, read_exactly, run, start, upload

from mocks.rhx_faults import RhxFault, faults_from

__all__ = ["client", "start"]


def streaming(start, client, *faults, **settings):
    """Return a running server, its command client and a waveform socket with one column."""
    server = start(faults=tuple(RhxFault(**fault) for fault in faults), **settings)
    command = client(server.ready["command_port"])
    command.say("set A-000.TCPDataOutputEnabled true")
    command.sync()
    sock = connect_data(server, command, "Waveform", client)
    run(server, command)
    return server, command, sock


def test_fault_gap_makes_the_timestamps_jump_once(start, client):
    fault = {"kind": "timestamp_gap", "at_s": 0.05, "n_samples": 300}
    _, _, sock = streaming(start, client, fault)
    timestamps, _ = read_blocks(sock, 20, n_columns=1)
    steps = np.diff(timestamps.astype(int))
    assert steps.max() == 301
    assert (steps != 1).sum() == 1
    assert timestamps[int(np.argmax(steps)) + 1] == 1024 + 300


def test_fault_stall_pauses_and_then_catches_up_without_loss(start, client):
    fault = {"kind": "stall", "at_s": 0.05, "duration_s": 0.4}
    _, _, sock = streaming(start, client, fault)
    read_blocks(sock, 8, n_columns=1)
    begin = time.monotonic()
    timestamps, _ = read_blocks(sock, 60, n_columns=1)
    assert 0.35 < time.monotonic() - begin < 0.6
    np.testing.assert_array_equal(timestamps, np.arange(1024, 68 * 128))


def test_fault_wrong_magic_strikes_one_block(start, client):
    _, _, sock = streaming(start, client, {"kind": "wrong_magic", "at_s": 0.01})
    data = read_exactly(sock, 4 * (4 + 128 * 6))
    magics = [data[i : i + 4] == MAGIC for i in range(0, len(data), 4 + 128 * 6)]
    assert magics == [True, True, False, True]


def test_fault_drop_closes_the_waveform_socket_at_its_time(start, client):
    _, command, sock = streaming(start, client, {"kind": "drop", "at_s": 0.05, "port": "waveform"})
    read_blocks(sock, 8, n_columns=1)
    assert sock.recv(1) == b""
    status = "TCPWaveformDataOutputConnectionStatus"
    command.ask(f"get {status}", f"Return: {status} Disconnected")


def test_fault_drop_of_the_command_port_leaves_the_board_running(start, client):
    server, command, sock = streaming(
        start, client, {"kind": "drop", "at_s": 0.05, "port": "command"}, reconnect_after_s=None
    )
    assert command.socket.recv(1) == b""
    read_blocks(sock, 20, n_columns=1)
    assert client(server.ready["truth_port"]).truth("status")["is_running"]


def test_fault_garbage_comes_on_the_command_port(start, client):
    _, command, _ = streaming(
        start, client, {"kind": "garbage", "at_s": 0.02, "data": "\x00\xffzz"}
    )
    assert read_exactly(command.socket, 4) == b"\x00\xffzz"
    command.sync()


def test_fault_late_upload_takes_longer(start, client):
    server = start(upload_s=0.05, faults=(RhxFault("late_upload", duration_s=0.4),))
    command = client(server.ready["command_port"])
    begin = time.monotonic()
    upload(command)
    assert time.monotonic() - begin > 0.4


def test_faults_strike_at_once_through_the_truth_port(start, client):
    server, _, sock = streaming(start, client)
    truth = client(server.ready["truth_port"])
    before, _ = read_blocks(sock, 2, n_columns=1)
    fault = {"kind": "timestamp_gap", "n_samples": 5}
    assert truth.truth("fault", fault=fault) == {"done": True}
    after, _ = read_blocks(sock, 30, n_columns=1)
    timestamps = np.concatenate([before, after])
    assert sorted(set(np.diff(timestamps.astype(int)).tolist())) == [1, 6]
    assert "unknown" in truth.truth("fault", fault={"kind": "flood"})["error"]
    assert "error" in truth.truth("weather")


@pytest.mark.parametrize(
    ("plan", "complaint"),
    [
        ("{}", "JSON list"),
        ('[{"kind": "flood"}]', "'flood' is unknown"),
        ('[{"kind": "stall", "at": 1}]', "unknown"),
        ('[{"kind": "drop", "port": "usb"}]', "'usb' is unknown"),
        ('[{"kind": "stall", "duration_s": NaN}]', "negative"),
        ('[{"at_s": 1}]', "kind"),
        ("[", "Expecting"),
    ],
)
def test_a_wrong_fault_plan_is_refused(plan, complaint):
    with pytest.raises(ValueError, match=complaint):
        faults_from(plan)
