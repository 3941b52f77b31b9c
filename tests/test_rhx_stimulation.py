"""The mock RHX: shapes, trains and triggers of stimulation, and what they do in the culture."""

import struct
import time

import numpy as np
import pytest
from rhx_rig import (
    PULSE,
    board_of,
    client,
    connect_data,
    read_exactly,
    read_until,
    rhx,
    run,
    start,
    upload,
)

from mocks.rhx_stim import programs_from

__all__ = ["client", "rhx", "start"]


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
