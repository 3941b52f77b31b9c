"""The mock RHX: its words, its bytes, its habits (Intan RHX 3.4, remote TCP control)."""

import contextlib
import json
import socket
import struct
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from mocks.culture import Culture, CultureSettings
from mocks.rhx_board import RhxBoard
from mocks.rhx_commands import Execute, Get, LiveNote, Malformed, Set, parse
from mocks.rhx_detector import SpikeDetector
from mocks.rhx_faults import RhxFault, faults_from
from mocks.rhx_filter import bessel2_high_pass, bessel2_low_pass
from mocks.rhx_loop import RhxServer, RhxServerSettings
from mocks.rhx_server import settings_from
from mocks.rhx_stim import programs_from
from mocks.rhx_streams import amplifier_words, dc_words, spike_record, waveform_block

LOOPBACK = ("127.0.0.1", 0)
MAGIC = bytes.fromhex("087af02e")
PULSE = (
    "set {0}.StimEnabled true;set {0}.Source KeyPress{1};set {0}.FirstPhaseAmplitudeMicroAmps 2;"
    "set {0}.SecondPhaseAmplitudeMicroAmps 2;set {0}.FirstPhaseDurationMicroseconds 200;"
    "set {0}.SecondPhaseDurationMicroseconds 200;set {0}.EnableAmpSettle false"
)


class Client:
    """A plain command client: what is read must be exactly what is expected.

    Each text begins with `;`, since the mock, like RHX, may find two texts in one read.
    """

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)

    def say(self, text, separator=";"):
        self.socket.sendall((separator + text).encode())

    def expect(self, reply):
        got = b""
        while len(got) < len(reply):
            part = self.socket.recv(len(reply) - len(got))
            assert part, f"closed after {got!r}"
            got += part
        assert got.decode() == reply

    def ask(self, text, reply):
        self.say(text)
        self.expect(reply)

    def sync(self):
        """Wait until everything said so far was executed, silently."""
        self.ask("get Type", "Return: Type ControllerStimRecord")

    def wait_for(self, question, reply):
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            self.say(question)
            if self.socket.recv(4096).decode() == reply:
                return
        raise AssertionError(f"{question}: never {reply}")

    def truth(self, ask, **more):
        self.say(json.dumps({"ask": ask, **more}) + "\n", separator="")
        return json.loads(self.socket.makefile("rb").readline())


@pytest.fixture
def start():
    """Return a function that starts a server in a thread and returns it; all end with the test."""
    running = []

    def start_server(**settings):
        server = RhxServer(RhxServerSettings(truth_address=LOOPBACK, **settings))
        thread = threading.Thread(target=server.serve, name="mock rhx")
        thread.start()
        running.append((server, thread))
        return server

    yield start_server
    for server, thread in running:
        server.stop()
        thread.join(5)


@pytest.fixture
def client():
    """Return a function that connects; all connections are closed with the test."""
    with contextlib.ExitStack() as stack:

        def connect(port):
            made = Client(port)
            stack.callback(made.socket.close)
            return made

        yield connect


@pytest.fixture
def rhx(start, client):
    server = start(upload_s=0.05)
    return server, client(server.ready["command_port"])


def read_exactly(sock, n_bytes):
    data = b""
    while len(data) < n_bytes:
        part = sock.recv(n_bytes - len(data))
        assert part, "closed early"
        data += part
    return data


def read_blocks(sock, n_blocks, n_columns):
    """Return timestamps (n,) and words (n, n_columns) of whole blocks; checks every magic."""
    n_bytes = 4 + 128 * (4 + 2 * n_columns)
    timestamps, words = [], []
    for _ in range(n_blocks):
        data = read_exactly(sock, n_bytes)
        assert data[:4] == MAGIC
        frames = np.frombuffer(data[4:], dtype=[("t", "<u4"), ("w", "<u2", (n_columns,))])
        timestamps.append(frames["t"])
        words.append(frames["w"])
    return np.concatenate(timestamps), np.concatenate(words)


def connect_data(server, command, kind, client):
    command.say(f"set TCPNumberDataBlocksPerWrite 1;execute ConnectTCP{kind}DataOutput")
    command.sync()
    data = client(server.ready[f"{kind.lower()}_port"])
    command.wait_for(
        f"get TCP{kind}DataOutputConnectionStatus",
        f"Return: TCP{kind}DataOutputConnectionStatus Connected",
    )
    return data.socket


def run(server, command, text="set RunMode run"):
    """Start a run and wait for it off the command port: what came too early would be deferred."""
    command.say(text)
    with contextlib.closing(socket.socket()) as sock:
        sock.connect(("127.0.0.1", server.ready["truth_port"]))
        lines = sock.makefile("rb")
        is_running = False
        while not is_running:
            sock.sendall(b'{"ask": "status"}\n')
            is_running = json.loads(lines.readline())["is_running"]
        lines.close()


def upload(command):
    command.say("execute UploadStimParameters")
    command.wait_for("get UploadInProgress", "Return: UploadInProgress False")


# -- bytes


def test_golden_waveform_block():
    block = waveform_block(0x01020304, np.full((128, 2), [0x8000, 0x0102], dtype=np.uint16))
    assert len(block) == 4 + 128 * (4 + 2 * 2)
    assert block[:20].hex(" ") == "08 7a f0 2e 04 03 02 01 00 80 02 01 05 03 02 01 00 80 02 01"


def test_golden_block_without_columns_is_516_bytes():
    block = waveform_block(0, np.empty((128, 0), dtype=np.uint16))
    assert len(block) == 516
    assert block[:12].hex(" ") == "08 7a f0 2e 00 00 00 00 01 00 00 00"


def test_golden_spike_record():
    record = spike_record("A-010", 70_000, 0x40)
    assert record.hex(" ") == "0f 71 e2 3a 41 2d 30 31 30 70 11 01 00 40"


def test_words_of_amplifier_and_dc():
    assert amplifier_words(np.array([0.0, 0.195, -0.195, 1e9, -1e9])).tolist() == [
        32768,
        32769,
        32767,
        65535,
        0,
    ]
    assert dc_words(np.array([0.0, 0.01923, -0.01923])).tolist() == [512, 511, 513]


# -- grammar


def test_grammar_counts_commands_and_ignores_empty_ones():
    assert parse(" ;; get Type ;;set A-010.StimEnabled TRUE;execute X F1;foo;") == [
        Get("Type"),
        Set("A-010.StimEnabled", "TRUE"),
        Execute("X", "F1"),
        Malformed("Error - Command 4: Unrecognized command"),
    ]


def test_only_notes_and_filenames_take_values_with_blanks():
    assert parse("set Note1 two words;set Filename.Path /a b") == [
        Set("Note1", "two words"),
        Set("Filename.Path", "/a b"),
    ]
    error = "Error - Command 1: Set commands require a parameter and a value"
    assert parse("set A-000.StimEnabled true now") == [Malformed(error)]
    assert parse("set") == [Malformed(error, is_bare_set=True)]


def test_live_notes_begin_at_the_eleventh_character():
    assert parse("LiveNotes cells look well") == [LiveNote("cells look well")]
    assert parse(" LiveNotes x") == [LiveNote(" x")]


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("get Type", "Return: Type ControllerStimRecord"),
        ("GET type", "Return: Type ControllerStimRecord"),
        ("get SampleRateHertz", "Return: SampleRateHertz 20000"),
        ("get RunMode", "Return: RunMode Stop"),
        ("get UploadInProgress", "Return: UploadInProgress False"),
        ("get StimStepSizeMicroAmps", "Return: StimStepSizeMicroAmps 1"),
        ("get TCPNumberDataBlocksPerWrite", "Return: TCPNumberDataBlocksPerWrite 10"),
        ("get a-010.spikethresholdmicrovolts", "Return: SpikeThresholdMicroVolts -70"),
        ("get B-027.StimEnabled", "Return: StimEnabled False"),
        ("get A.NumberAmplifierChannels", "Return: NumberAmplifierChannels 32"),
        ("get B.NumberAmplifierChannels", "Return: NumberAmplifierChannels 28"),
        ("get CurrentTimestamp", "Return: -1"),
        ("get CurrentTimeSeconds", "Return: -1"),
        ("get RunMode;get Type", "Return: RunMode StopReturn: Type ControllerStimRecord"),
        ("get B-028.StimEnabled", "Unrecognized parameter"),
        ("set Nothing 1", "Unrecognized parameter"),
        ("execute Nothing", "Unrecognized action"),
        ("execute Nothing F1", "Unrecognized action"),
        ("hello", "Error - Command 1: Unrecognized command"),
        ("get", "Error - Command 1: Get commands require a parameter"),
        ("get Type;get", "Return: Type ControllerStimRecordError - Command 2: Get commands "),
        ("set RunMode", "Error - Command 1: Set commands require a parameter and a value"),
        ("set RunMode stop", "Board must be running in order to stop"),
        (
            "set A-000.SpikeThresholdMicroVolts -5001",
            "Invalid value for SpikeThresholdMicroVolts command. Acceptable: [ -5000 , 5000 ]",
        ),
        (
            "set A-000.Polarity up",
            "Invalid value for Polarity command. Acceptable: NegativeFirst;PositiveFirst;",
        ),
        (
            "set A-000.FirstPhaseAmplitudeMicroAmps nan",
            "Invalid value for FirstPhaseAmplitudeMicroAmps command. Acceptable: [ 0 , 2550 ]",
        ),
        ("set SampleRateHertz 30000", "SampleRateHertz cannot be changed once software has"),
        ("set StimStepSizeMicroAmps 2", "StimStepSizeMicroAmps cannot be changed once software"),
        (
            "set RunMode record",
            "Filename.BaseFilename and Filename.Path must both be specified before ",
        ),
        ("set TCPSpikeDataOutputPort 10000", "Invalid value for TCPSpikeDataOutputPort command"),
    ],
)
def test_words_of_a_stopped_board(rhx, text, reply):
    rhx[1].ask(text, reply)


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("set RunMode run", "Board must be stopped in order to start running"),
        ("set TCPNumberDataBlocksPerWrite 1", "TCPNumberDataBlocksPerWrite cannot be set while "),
        ("set TCPWaveformDataOutputHost x", "TCPWaveformDataOutputHost cannot be set while "),
        (
            "execute UploadStimParameters",
            "UploadStimParameters cannot be executed while the board is running",
        ),
        ("execute RescanPorts", "RescanPorts cannot be executed while the board is running"),
    ],
)
def test_words_of_a_running_board(rhx, text, reply):
    run(*rhx)
    rhx[1].ask(text, reply)


def test_set_is_silent_and_values_come_back(rhx):
    _, command = rhx
    command.say("set a-003.source keypressf8;set A-003.FIRSTPHASEDURATIONMICROSECONDS 200.0")
    command.ask("get A-003.Source", "Return: Source KeyPressF8")
    command.ask(
        "get A-003.FirstPhaseDurationMicroseconds", "Return: FirstPhaseDurationMicroseconds 200"
    )
    command.ask("get A-004.Source", "Return: Source DigitalIn01")
    command.ask(
        "set A-003.CustomChannelName Target;get A-003.CustomChannelName",
        "Return: CustomChannelName target",
    )


def test_warnings_stay_off_the_socket(rhx):
    rhx[1].say("set A-000.RefractoryPeriodMicroseconds 0;set A-000.PulseTrainPeriodMicroseconds 1")
    rhx[1].sync()


def test_record_needs_names_whose_path_keeps_its_case(rhx):
    server, command = rhx
    command.say("set Filename.Path /Data dir;set Filename.BaseFilename Cells")
    command.ask("get Filename.Path", "Return: Filename.Path /Data dir")
    run(server, command, "set RunMode record")
    command.ask("get RunMode", "Return: RunMode Record")
    command.say("LiveNotes hello")
    command.ask("set Note1 x", "Note1 cannot be set while controller is recording.")


def test_commands_behind_run_wait_for_the_stop(rhx):
    server, command = rhx
    run(server, command, "set RunMode run;get Type;get RunMode")
    command.ask("get RunMode", "Return: RunMode Run")
    command.ask(
        "set RunMode stop;get Version",
        "Return: Version 3.4.0Return: Type ControllerStimRecordReturn: RunMode Stop",
    )


def test_writes_that_come_together_are_one_text(start, client):
    command = client(start(command_poll_s=0.2).ready["command_port"])
    command.sync()
    command.say("get Ty", separator="")
    command.say("pe", separator="")
    command.expect("Return: Type ControllerStimRecord")
    command.say("set A-000.StimEnabled true", separator="")
    command.say("get Type", separator="")
    command.expect("Error - Command 1: Set commands require a parameter and a value")


# -- connections


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


# -- streams


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


# -- stimulation


def read_until(sock, n_columns, is_enough, n_blocks_max=600):
    words = []
    for _ in range(n_blocks_max):
        words.append(read_blocks(sock, 1, n_columns)[1])
        if is_enough(np.concatenate(words)):
            return np.concatenate(words)
    raise AssertionError("not seen")


def test_parameters_are_inert_until_uploaded(rhx, client):
    server, command = rhx
    truth = client(server.ready["truth_port"])
    command.say(PULSE.format("A-005", "F3"))
    command.sync()
    run(server, command)
    command.say("execute ManualStimTriggerPulse F3;set RunMode stop")
    command.sync()
    assert truth.truth("status")["n_pulses"] == 0
    upload(command)
    command.say("execute ManualStimTriggerPulse F3")
    command.sync()
    run(server, command)
    assert truth.truth("status")["n_pulses"] == 0, "a trigger before the run is no trigger"
    command.say("execute ManualStimTriggerPulse F9;execute ManualStimTriggerPulse F4")
    command.say("execute ManualStimTriggerPulse f3")
    command.sync()
    while not (stimuli := truth.truth("stimuli")["stimuli"]):
        pass
    assert len(stimuli) == 1
    assert stimuli[0]["channels"] == ["A-005"]
    assert stimuli[0]["amplitude_a"] == pytest.approx([2e-6])
    assert stimuli[0]["charge_per_phase_c"] == pytest.approx([0.4e-9])
    assert stimuli[0]["net_charge_c"] == pytest.approx([0.0], abs=1e-18)
    assert truth.truth("status")["damage"] == 0.0


def test_the_stim_column_shows_steps_sign_and_the_true_sample(rhx, client):
    server, command = rhx
    command.say("set A-005.TCPDataOutputEnabledStim true;" + PULSE.format("A-005", "F1"))
    command.sync()
    upload(command)
    sock = connect_data(server, command, "Waveform", client)
    run(server, command)
    command.say("execute ManualStimTriggerPulse F1")
    words = read_until(sock, 1, lambda w: w.any() and not w[-100:].any())[:, 0]
    at = int(np.flatnonzero(words)[0])
    assert words[at : at + 9].tolist() == [0x102] * 4 + [0x002] * 4 + [0]
    truth = client(server.ready["truth_port"]).truth("stimuli")["stimuli"]
    assert [(s["run"], s["sample_index"]) for s in truth] == [(1, at)]


def board_of(**settings):
    now_ns = [0]
    culture = Culture(CultureSettings(**settings), seed=1)
    return RhxBoard(culture, 1e-6, lambda: now_ns[0]), now_ns


def stim_words(n_blocks=4, **values):
    """Return the STIM words of A-000 after one pulse of F1 in a board of its own."""
    board, _ = board_of(n_background_neurons=0)
    parameters = {
        "StimEnabled": "True",
        "Source": "KeyPressF1",
        "TCPDataOutputEnabledStim": "True",
        "EnableAmpSettle": "False",
        "FirstPhaseAmplitudeMicroAmps": "3",
        "SecondPhaseAmplitudeMicroAmps": "3",
    }
    for name, value in {**parameters, **values}.items():
        assert board.channels[0].find(name).parse(value) == value
        board.channels[0].put(name, value)
    board.note_changed_outputs()
    board.stimulator.programs.update(programs_from(board.channels, 20_000, 1e-6))
    board.start()
    board.press("keypressf1")
    board.release("keypressf1")
    data = b"".join(board.make_block(0, 0).waveform[4:] for _ in range(n_blocks))
    return np.frombuffer(data, dtype="<u2").reshape(-1, 3)[:, 2]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, [0x103, 0x103, 3, 3, 0]),
        ({"Polarity": "PositiveFirst"}, [3, 3, 0x103, 0x103, 0]),
        ({"FirstPhaseAmplitudeMicroAmps": "300"}, [0x1FF, 0x1FF, 3, 3, 0]),
        ({"Shape": "BiphasicWithInterphaseDelay"}, [0x103, 0x103, 0, 0, 3, 3, 0]),
        ({"Shape": "Triphasic"}, [0x103, 0x103, 3, 3, 0x103, 0x103, 0]),
        ({"PostTriggerDelayMicroseconds": "150"}, [0, 0, 0, 0x103, 0x103, 3, 3, 0]),
        ({"TriggerHighOrLow": "Low"}, [0x103, 0x103, 3, 3, 0]),
        ({"Source": "KeyPressF2"}, [0, 0, 0]),
        ({"Source": "DigitalIn01"}, [0, 0, 0]),
        ({"StimEnabled": "False"}, [0, 0, 0]),
        (
            {"EnableAmpSettle": "True", "PostStimAmpSettleMicroseconds": "100"},
            [0x103, 0x103, 3, 3, 0x2000, 0x2000, 0],
        ),
        (
            {"EnableChargeRecovery": "True", "PostStimChargeRecovOffMicroseconds": "50"},
            [0x103, 0x103, 3, 3, 0x4000, 0],
        ),
    ],
)
def test_shapes_of_a_pulse(values, expected):
    words = stim_words(**values)
    assert words[: len(expected)].tolist() == expected
    assert not words[len(expected) :].any()


def test_a_train_repeats_with_its_period():
    words = stim_words(
        PulseOrTrain="PulseTrain", NumberOfStimPulses="3", PulseTrainPeriodMicroseconds="5000"
    )
    starts = np.flatnonzero((words[1:] == 0x103) & (words[:-1] == 0)) + 1
    assert [0, *starts.tolist()] == [0, 100, 200]


def test_refractory_time_swallows_a_trigger():
    board, now_ns = board_of(n_background_neurons=0)
    for name, value in (
        ("StimEnabled", "True"),
        ("Source", "KeyPressF1"),
        ("FirstPhaseAmplitudeMicroAmps", "3"),
        ("RefractoryPeriodMicroseconds", "10000"),
    ):
        board.channels[0].put(name, value)
    board.stimulator.programs.update(programs_from(board.channels, 20_000, 1e-6))
    board.start()
    for ms in (0, 5, 11):
        now_ns[0] = ms * 1_000_000
        while board.due_ns() <= now_ns[0]:
            board.make_block(0, 0)
        board.press("keypressf1")
        board.release("keypressf1")
    board.make_block(0, 0)
    board.make_block(0, 0)
    begin = board.runs[-1].first_sample
    assert [p.first_sample - begin for p in board.culture.pulses] == [0, 220]


def test_uploads_take_time_and_do_not_overlap(start, client):
    command = client(start(upload_s=0.3).ready["command_port"])
    begin = time.monotonic()
    command.say("execute UploadStimParameters")
    command.ask("get UploadInProgress", "Return: UploadInProgress True")
    command.ask(
        "execute UploadStimParameters A-000",
        "Error - Another upload cannot be started until the previous upload completes",
    )
    command.wait_for("get UploadInProgress", "Return: UploadInProgress False")
    assert time.monotonic() - begin > 0.25


def test_four_electrodes_fire_the_target_and_its_spikes_are_streamed(rhx, client):
    server, command = rhx
    truth = client(server.ready["truth_port"])
    target = truth.truth("layout")["targets"][0]
    for key, pattern in (("F1", "weak"), ("F2", "medium"), ("F8", "strong")):
        command.say(";".join(PULSE.format(name, key) for name in target[pattern]))
    command.say(f"set {target['recording']}.TCPDataOutputEnabledSpike true")
    command.sync()
    upload(command)
    sock = connect_data(server, command, "Spike", client)
    run(server, command)
    for _ in range(5):
        for key in ("F1", "F2", "F8"):
            command.say(f"execute ManualStimTriggerPulse {key}")
            command.sync()
            time.sleep(0.04)
    while truth.truth("status")["n_spikes"] < 5:
        pass
    true = [s["sample_index"] for s in truth.truth("spikes")["spikes"]]
    strong = [
        s["sample_index"] for s in truth.truth("stimuli")["stimuli"] if len(s["channels"]) == 4
    ]
    assert all(80 <= spike - stimulus <= 160 for spike, stimulus in zip(true, strong, strict=True))
    seen = []
    while len(seen) < 5:
        magic, name, timestamp, spike_id = struct.unpack("<I5sIB", read_exactly(sock, 14))
        assert (magic, name.decode()) == (0x3AE2710F, target["recording"])
        if min(abs(timestamp - s) for s in true) < 12:
            assert spike_id == 0x40
            seen.append(timestamp)
    assert all(-12 < crossing - trough <= 0 for crossing, trough in zip(seen, true, strict=True))
    assert truth.truth("status")["damage"] == 0.0
    assert [m["is_spike"] for m in truth.truth("membrane")["membrane"]].count(True) == 5


# -- detector and filters


def detect(signal_uv, threshold_uv=-70.0, artefact_uv=2500.0):
    detector = SpikeDetector(1, 128)
    found = []
    for first in range(0, len(signal_uv), 128):
        found += detector.block(
            signal_uv[first : first + 128, np.newaxis],
            first,
            np.array([threshold_uv]),
            np.array([True]),
            artefact_uv,
        )
    return [(s.sample_index, s.spike_id) for s in found]


def test_detector_reports_the_crossing_once_in_fifty_samples():
    signal_uv = np.zeros(512)
    for at in (100, 130, 150, 200):
        signal_uv[at : at + 3] = -100
    assert detect(signal_uv) == [(100, 0x40), (150, 0x40), (200, 0x40)]


@pytest.mark.parametrize("at", [1, 77, 78, 127, 128, 129, 255, 256])
def test_detector_finds_the_same_sample_everywhere_in_a_block(at):
    signal_uv = np.zeros(512)
    signal_uv[at : at + 5] = -71
    assert detect(signal_uv) == [(at, 0x40)]


def test_sign_of_the_threshold_is_the_polarity_and_large_snippets_are_artefacts():
    signal_uv = np.zeros(512)
    signal_uv[100] = 80
    signal_uv[220] = -80
    signal_uv[230] = 3000
    assert detect(signal_uv, threshold_uv=70.0) == [(100, 0x40), (230, 0x80)]
    assert detect(signal_uv, threshold_uv=-70.0) == [(220, 0x80)]


@pytest.mark.parametrize(
    ("make", "frequency_hz", "gain"),
    [
        # |3 / (3 - x^2 + 3 j x)| with x = 1.36165 f / 250 Hz, or its inverse for the high-pass
        (bessel2_high_pass, 25, 0.0160),
        (bessel2_high_pass, 250, 0.7071),
        (bessel2_high_pass, 2000, 0.9949),
        (bessel2_low_pass, 25, 0.9969),
        (bessel2_low_pass, 250, 0.7071),
        (bessel2_low_pass, 1250, 0.0613),
    ],
)
def test_filters_are_bessel_filters_of_second_order(make, frequency_hz, gain):
    x = np.sin(2 * np.pi * frequency_hz * np.arange(128 * 100) / 20_000).astype(np.float32)
    ours = make(250.0, 20_000.0, 1)
    y = np.concatenate([ours.block(x[i : i + 128, np.newaxis]) for i in range(0, len(x), 128)])
    assert np.sqrt(2) * y[4000:12_000].std() == pytest.approx(gain, rel=0.03)


def test_same_seed_and_same_triggers_give_the_same_bytes():
    def data():
        board, _ = board_of()
        for channel in board.channels:
            channel.put("TCPDataOutputEnabled", "True")
            channel.put("TCPDataOutputEnabledSpike", "True")
        board.note_changed_outputs()
        board.start()
        return [board.make_block(1, 2) for _ in range(20)]

    assert data() == data()


# -- faults


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


# -- the process


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
