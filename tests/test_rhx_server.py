"""The mock RHX: who may connect, what streams, how its process ends."""

import contextlib
import json
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from rhx_rig import client, connect_data, read_blocks, rhx, run, start

from mocks.rhx_loop import RhxServer, RhxServerSettings
from mocks.rhx_server import settings_from

__all__ = ["client", "rhx", "start"]

# Connections


def test_one_client_and_disconnected_after_it_leaves(start, client):
    server = start(reconnect_after_s=None)
    port = server.ready["command_port"]
    first = client(port)
    first.sync()
    with pytest.raises(ConnectionRefusedError):
        client(port)
    first.socket.close()
    truth = client(server.ready["truth_port"])
    truth.truth("status")
    with pytest.raises(ConnectionRefusedError):
        client(port)
    assert truth.truth("press_connect") == {"done": True}
    truth.truth("status")
    client(port).sync()


def test_the_operator_presses_connect_again(start, client):
    server = start(reconnect_after_s=0.05)
    port = server.ready["command_port"]
    first = client(port)
    run(server, first)
    first.socket.close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with contextlib.suppress(ConnectionRefusedError):
            client(port).ask("get RunMode", "Return: RunMode Run")
            return
    raise AssertionError("never listening again")


def test_not_listening_before_connect_is_pressed(start, client):
    server = start(is_connect_pressed=False)
    with pytest.raises(ConnectionRefusedError):
        client(server.ready["command_port"])


@pytest.mark.parametrize("kind", ["Waveform", "Spike"])
@pytest.mark.parametrize(
    "how", ["execute ConnectTCP{0}DataOutput", "set TCP{0}DataSocket.Status Pending"]
)
def test_both_ways_of_opening_a_data_socket(rhx, client, kind, how):
    server, command = rhx
    status = f"TCP{kind}DataOutputConnectionStatus"
    port = server.ready[f"{kind.lower()}_port"]
    command.ask(f"get TCP{kind}DataOutputPort", f"Return: TCP{kind}DataOutputPort {port}")
    command.ask(f"get {status}", f"Return: {status} Disconnected")
    with pytest.raises(ConnectionRefusedError):
        client(port)
    command.say(how.format(kind))
    command.ask(f"get {status}", f"Return: {status} Pending")
    data = client(port)
    command.wait_for(f"get {status}", f"Return: {status} Connected")
    data.socket.close()
    command.wait_for(f"get {status}", f"Return: {status} Disconnected")
    command.say(how.format(kind))
    command.ask(f"get {status}", f"Return: {status} Pending")


# Streams


def test_blocks_follow_each_other_in_native_column_order(rhx, client):
    server, command = rhx
    # enabled in an order that is not RHX's
    command.say("set B-001.TCPDataOutputEnabledStim true;set A-031.TCPDataOutputEnabledDC true")
    command.say("set A-031.TCPDataOutputEnabled true;set B-001.TCPDataOutputEnabled true")
    command.sync()
    sock = connect_data(server, command, "Waveform", client)
    run(server, command)
    timestamps, words = read_blocks(sock, 40, n_columns=4)
    np.testing.assert_array_equal(timestamps, np.arange(40 * 128))
    wide_uv = 0.195 * (words[:, [0, 2]].astype(float) - 32768)
    assert 4 < wide_uv.std() < 60
    assert set(words[:, 1]) == {512}, "DC of A-031 at rest"
    assert set(words[:, 3]) == {0}, "STIM of B-001 at rest"


def test_clear_all_data_outputs_and_nothing_enabled_is_silence(rhx, client):
    server, command = rhx
    command.say("set A-000.TCPDataOutputEnabled true;set A-000.TCPDataOutputEnabledSpike true")
    command.sync()
    sock = connect_data(server, command, "Waveform", client)
    command.ask(
        "execute ClearAllDataOutputs;get A-000.TCPDataOutputEnabledSpike",
        "Return: TCPDataOutputEnabledSpike False",
    )
    run(server, command)
    truth = client(server.ready["truth_port"])
    while truth.truth("status")["n_samples"] < 2000:
        pass
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        sock.recv(1)


def test_only_spikes_enabled_gives_blocks_without_columns(rhx, client):
    server, command = rhx
    command.say("set A-000.TCPDataOutputEnabledSpike true")
    command.sync()
    sock = connect_data(server, command, "Waveform", client)
    run(server, command)
    timestamps, _ = read_blocks(sock, 3, n_columns=0)
    np.testing.assert_array_equal(timestamps, np.arange(384))


def test_writes_come_in_groups_of_blocks(rhx, client):
    server, command = rhx
    command.say("set A-000.TCPDataOutputEnabled true")
    command.sync()
    sock = connect_data(server, command, "Waveform", client)
    command.say("set TCPNumberDataBlocksPerWrite 5")
    command.sync()
    run(server, command)
    n_bytes = 5 * (4 + 128 * 6)
    for _ in range(3):
        part = sock.recv(10 * n_bytes)
        assert len(part) % n_bytes == 0


def test_pace_is_that_of_the_sample_rate(rhx, client):
    server, command = rhx
    command.say("set A-000.TCPDataOutputEnabled true")
    command.sync()
    sock = connect_data(server, command, "Waveform", client)
    run(server, command)
    read_blocks(sock, 1, n_columns=1)
    begin = time.monotonic()
    read_blocks(sock, 78, n_columns=1)
    assert 0.4 < time.monotonic() - begin < 0.7


def test_a_slow_reader_delays_but_loses_nothing(rhx, client):
    server, command = rhx
    names = [f"A-{i:03d}" for i in range(32)] + [f"B-{i:03d}" for i in range(28)]
    command.say(
        ";".join(f"set {n}.TCPDataOutputEnabled{s} true" for n in names for s in ("", "Low"))
    )
    command.sync()
    command.say("set TCPNumberDataBlocksPerWrite 1;execute ConnectTCPWaveformDataOutput")
    command.sync()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.settimeout(5)
        sock.connect(("127.0.0.1", server.ready["waveform_port"]))
        run(server, command)
        truth = client(server.ready["truth_port"])
        n_before = -1
        while (n := truth.truth("status")["n_samples"]) != n_before:
            n_before = n
            time.sleep(0.1)
        command.ask("get RunMode", "Return: RunMode Run")
        timestamps, _ = read_blocks(sock, 220, n_columns=120)
    np.testing.assert_array_equal(timestamps, np.arange(220 * 128))


# The process


def start_process(*arguments):
    process = subprocess.Popen(
        [sys.executable, "-m", "mocks.rhx_server", "--exit-on-stdin-eof", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return process, json.loads(process.stdout.readline())


def end_of(process, end):
    try:
        end(process)
        return process.wait(5), process.stderr.read()
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


@pytest.mark.parametrize("end", [lambda p: p.terminate(), lambda p: p.stdin.close()])
def test_the_process_says_its_ports_and_ends_cleanly(client, end):
    process, ready = start_process("--truth", "127.0.0.1:0", "--sample-rate-hz", "30000")
    assert set(ready) == {"ready", "command_port", "waveform_port", "spike_port", "truth_port"}
    command = client(ready["command_port"])
    command.ask("get SampleRateHertz", "Return: SampleRateHertz 30000")
    command.say("set RunMode run")
    assert end_of(process, end) == (0, "")


TWO_TARGETS = ["--target=2,3", "--target=5,4", "--reconnect-after-s=never"]


def test_options_of_the_command_line():
    settings = settings_from(
        ["--command-port=5000", "--seed=7", "--stim-step-a=5e-6", "--without-connect", *TWO_TARGETS]
    )
    assert (settings.command_port, settings.seed, settings.stim_step_a) == (5000, 7, 5e-6)
    assert settings.reconnect_after_s is None
    assert settings.culture.targets == ((2, 3), (5, 4))
    assert not settings.is_connect_pressed


def test_a_port_that_is_taken_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        RhxServer(RhxServerSettings(spike_port=taken.getsockname()[1]))
