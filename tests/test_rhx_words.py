"""The mock RHX: its bytes and its words (Intan RHX 3.4, remote TCP control)."""

import numpy as np
import pytest
from rhx_rig import client, rhx, run, start

from mocks.rhx_commands import Execute, Get, LiveNote, Malformed, Set, parse
from mocks.rhx_streams import amplifier_words, dc_words, spike_record, waveform_block

__all__ = ["client", "rhx", "start"]

# Bytes


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


# Grammar


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
