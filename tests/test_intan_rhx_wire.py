"""RHX's words and bytes against literal ones from the manual."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InstrumentProtocolError, SafetyLimitError
from drivers.mea.intan_rhx import stimulation, wire
from drivers.mea.intan_rhx.settings import IntanRhxSettings
from drivers.mea.intan_rhx.waveforms import StimColumns, WaveformStream
from drivers.mea.protocol import CurrentPulse, Pattern, SampleBlock

PULSE = CurrentPulse(2e-6, 200e-6, 2e-6, 200e-6)


def test_block_is_laid_out_as_the_manual_says() -> None:
    assert wire.block_dtype(3).itemsize == 4 + 128 * (4 + 2 * 3)
    data = bytes.fromhex("08 7a f0 2e") + b"".join(
        struct.pack("<IHH", 7 + row, 0x8001, 0x0102) for row in range(128)
    )
    (block,) = np.frombuffer(data, wire.block_dtype(2))
    assert block["magic"] == wire.WAVEFORM_MAGIC
    assert block["frames"]["timestamp"].tolist() == list(range(7, 135))
    assert wire.sample_counts(block["frames"]["words"][:, 0].copy()).tolist() == [1] * 128
    assert wire.stim_current_steps(block["frames"]["words"][:, 1]).tolist() == [-2] * 128


@pytest.mark.parametrize(
    ("word", "count"), [(0, -32768), (0x7FFF, -1), (0x8000, 0), (0x8001, 1), (0xFFFF, 32767)]
)
def test_sample_words(word: int, count: int) -> None:
    assert wire.sample_counts(np.array([word], np.uint16)).tolist() == [count]


@pytest.mark.parametrize(
    ("word", "steps"), [(0, 0), (0x0002, 2), (0x0102, -2), (0x00FF, 255), (0xE003, 3), (0xE000, 0)]
)
def test_stim_words_leave_out_the_flags(word: int, steps: int) -> None:
    assert wire.stim_current_steps(np.array([word], np.uint16)).tolist() == [steps]


def test_spike_record_is_fourteen_bytes() -> None:
    data = bytes.fromhex("0f 71 e2 3a 41 2d 30 31 30 e8 03 00 00 40")
    (record,) = np.frombuffer(data, wire.SPIKE_RECORD)
    assert (record["magic"], record["channel"]) == (wire.SPIKE_MAGIC, b"A-010")
    assert (record["timestamp"], record["unit"]) == (1000, 0x40)


def test_columns_come_by_port_and_number_each_with_its_stim() -> None:
    wide, stim = wire.stream_columns(("B-000", "A-010", "A-002"), ("A-010",))
    assert wide == [3, 1, 0]
    assert stim == [2]


def test_replies_are_split_though_nothing_separates_them() -> None:
    text = "Return: RunMode StopReturn: Type ControllerStimRecord"
    assert wire.split_reply(text) == ("", [("RunMode", "Stop"), ("Type", "ControllerStimRecord")])
    complaint, pairs = wire.split_reply("Unrecognized parameter\nReturn: RunMode Stop")
    assert complaint == "Unrecognized parameter"
    assert pairs == [("RunMode", "Stop")]


def test_long_batches_are_cut_into_texts_that_fit_a_segment() -> None:
    commands = [f"set A-{i:03d}.TCPDataOutputEnabled true" for i in range(100)]
    texts = wire.transmissions(commands, "get RunMode")
    assert ";".join(t.removesuffix(";get RunMode") for t in texts).split(";") == commands
    assert all(len(t) <= wire.MAX_TRANSMISSION_BYTES for t in texts)


# Stimulation parameters


def test_parameters_of_a_plain_pulse() -> None:
    told = stimulation.parameters_of(PULSE, "F3", 1e-6)
    assert told["Source"] == "KeyPressF3"
    assert told["Shape"] == "Biphasic"
    assert told["PulseOrTrain"] == "SinglePulse"
    assert told["FirstPhaseAmplitudeMicroAmps"] == "2"
    assert told["FirstPhaseDurationMicroseconds"] == "200"
    assert float(told["RefractoryPeriodMicroseconds"]) >= float(
        told["PostStimAmpSettleMicroseconds"]
    )


@pytest.mark.parametrize(
    ("pulse", "words"),
    [
        (CurrentPulse(2.5e-6, 200e-6, 2.5e-6, 200e-6), "whole steps"),
        (CurrentPulse(256e-6, 200e-6, 256e-6, 200e-6), "255"),
        (CurrentPulse(2e-6, 200e-6, 2e-6, 210e-6), "cancel"),
        (CurrentPulse(2e-6, 6e-3, 2e-6, 6e-3), "5000 us"),
        (CurrentPulse(2e-6, 200.5e-6, 2e-6, 200.5e-6), "whole microseconds"),
        (CurrentPulse(float("nan"), 200e-6, 2e-6, 200e-6), "cancel"),
        (CurrentPulse(2e-6, float("nan"), 2e-6, 200e-6), "first phase"),
        (CurrentPulse(2e-6, 200e-6, 2e-6, 200e-6, n_pulses=300), "300 pulses"),
        (CurrentPulse(2e-6, 200e-6, 2e-6, 200e-6, n_pulses=2, period_s=300e-6), "period"),
        (CurrentPulse(2e-6, 200e-6, 2e-6, 200e-6, interphase_s=float("inf")), "interphase"),
    ],
)
def test_what_rhx_would_clip_or_only_warn_of_is_refused(pulse: CurrentPulse, words: str) -> None:
    with pytest.raises(SafetyLimitError, match=words):
        stimulation.parameters_of(pulse, "F1", 1e-6)


@pytest.mark.parametrize(
    "patterns",
    [
        [Pattern(1, ("A-000",), PULSE), Pattern(2, ("A-000",), PULSE)],
        [Pattern(1, ("A-000",), PULSE), Pattern(1, ("A-001",), PULSE)],
        [Pattern(1, ("A-000", "A-000"), PULSE)],
        [Pattern(1, ("A-009",), PULSE)],
        [Pattern(1, (), PULSE)],
        [Pattern(i, (f"A-00{i}",), PULSE) for i in range(9)],
    ],
)
def test_an_electrode_has_one_key_and_there_are_eight(patterns: list[Pattern]) -> None:
    with pytest.raises(SafetyLimitError):
        stimulation.keys_of(patterns, [f"A-00{i}" for i in range(9) if i != 9])


@pytest.mark.parametrize("text", ["Min", "Max", "", "nan", "0", "-1", "20"])
def test_unknown_step_is_refused(text: str) -> None:
    with pytest.raises(InstrumentProtocolError, match="step"):
        stimulation.step_a(text)


def test_settings_name_what_is_wrong() -> None:
    with pytest.raises(SafetyLimitError, match="A-10"):
        IntanRhxSettings(host="h", channels=("A-10",))
    with pytest.raises(SafetyLimitError, match="A-001"):
        IntanRhxSettings(host="h", channels=("A-000",), stim_channels=("A-001",))


# The waveform stream


def frames(first: int, n: int, stim: dict[int, int] | None = None) -> bytes:
    """`n` blocks of one sample column and one STIM column; `stim` gives words by timestamp."""
    out = b""
    for start in range(first, first + 128 * n, 128):
        out += bytes.fromhex("08 7a f0 2e")
        for t in range(start, start + 128):
            word = (stim or {}).get(t, 0)
            out += struct.pack("<IHH", t & 0xFFFFFFFF, (0x8000 + t) & 0xFFFF, word)
    return out


def stream(quiet: int = 10) -> WaveformStream:
    return WaveformStream("mea", 2, [0], StimColumns((1,), (0,), 1e-6, (quiet,), 20))


def feed(target: WaveformStream, data: bytes, size: int = 1 << 20) -> list[SampleBlock]:
    blocks = []
    for start in range(0, len(data), size):
        piece = data[start : start + size]
        while piece:
            room = target.room()
            n = min(len(room), len(piece))
            room[:n] = piece[:n]
            target.took(n, 0)
            piece = piece[n:]
            while (block := target.next_block()) is not None:
                blocks.append(block)
    return blocks


@given(size=st.integers(1, 5000))
def test_any_cutting_of_the_bytes_gives_the_same_samples(size: int) -> None:
    blocks = feed(stream(), frames(0, 3), size)
    assert np.concatenate([b.samples for b in blocks])[:, 0].tolist() == list(range(384))
    assert [b.n_lost for b in blocks] == [0] * len(blocks)
    assert all(not b.samples.flags.writeable for b in blocks)


def test_gap_is_counted_and_the_index_goes_on() -> None:
    first, second = feed(stream(), frames(0, 1) + frames(300, 1))
    assert (first.first_sample, first.n_lost) == (0, 0)
    assert (second.first_sample, second.n_lost) == (300, 172)


def test_counter_wraps_at_32_bits_without_a_gap() -> None:
    first, *rest = feed(stream(), frames(2**32 - 128, 2))
    assert first.n_lost == 2**32 - 128
    assert all(b.n_lost == 0 for b in rest)
    last = (rest or [first])[-1]
    assert last.end_sample == 2**32 + 128


def test_counter_that_goes_back_is_a_gap_of_unknown_length() -> None:
    _, second = feed(stream(), frames(1000, 1) + frames(0, 1))
    assert second.n_lost == -1
    assert second.first_sample == 1128


def test_restart_is_a_gap_of_unknown_length_and_leftovers_are_counted() -> None:
    target = stream()
    (first,) = feed(target, frames(0, 1))
    feed(target, frames(128, 1)[:100])
    target.begin()
    (second,) = feed(target, frames(0, 1))
    assert (second.first_sample, second.n_lost) == (first.end_sample, -1)
    assert target.n_discarded_bytes == 100


@pytest.mark.parametrize("cut", [1, 2, 8, 500])
def test_lost_bytes_are_an_error_never_searched_past(cut: int) -> None:
    data = frames(0, 4)
    with pytest.raises(InstrumentProtocolError, match="columns"):
        feed(stream(), data[:700] + data[700 + cut :])


def test_wrong_number_of_columns_is_an_error() -> None:
    wrong = WaveformStream("mea", 3, [0], StimColumns((), (), 0.0, (), 20))
    with pytest.raises(InstrumentProtocolError, match="columns"):
        feed(wrong, frames(0, 4))


def test_own_stimulus_is_marked_where_current_begins_to_flow() -> None:
    pulse = dict.fromkeys(range(126, 130), 0x0102) | dict.fromkeys(range(130, 134), 0x0002)
    blocks = feed(stream(quiet=10), frames(0, 2, pulse), 1000)
    (mark,) = [m for b in blocks for m in b.stimuli]
    assert (mark.sample_index, mark.channel, mark.amplitude_a) == (126, 0, -2e-6)


def test_second_phase_behind_a_pause_is_the_same_stimulus_and_a_new_one_is_not() -> None:
    words = {10: 0x0102, 14: 0x0002, 40: 0x0102}
    blocks = feed(stream(quiet=10), frames(0, 1, words))
    assert [m.sample_index for b in blocks for m in b.stimuli] == [10, 40]
    assert [m.sample_index for b in blocks for m in b.repeats] == [14]


@pytest.mark.parametrize("size", [700, 1 << 20])
def test_the_phases_of_a_long_pulse_are_artefacts_of_their_own(size: int) -> None:
    pulse = dict.fromkeys(range(98, 128), 0x0102) | dict.fromkeys(range(128, 256), 0x0002)
    short = dict.fromkeys(range(300, 304), 0x0102) | dict.fromkeys(range(304, 308), 0x0002)
    blocks = feed(stream(quiet=160), frames(0, 3, pulse | short), size)
    assert [m.sample_index for b in blocks for m in b.stimuli] == [98, 300]
    repeats = [(m.sample_index, m.amplitude_a) for b in blocks for m in b.repeats]
    assert repeats == [(128, 2e-6), (256, 0.0)], "its second phase and its end"


def test_each_pulse_of_a_train_is_told_and_the_train_is_one_stimulus() -> None:
    train = {start + i: 0x0102 for start in range(50, 250, 40) for i in range(8)}
    blocks = feed(stream(quiet=200), frames(0, 2, train), 700)
    assert [m.sample_index for b in blocks for m in b.stimuli] == [50]
    repeats = [m for b in blocks for m in b.repeats]
    assert [m.sample_index for m in repeats] == [90, 130, 170, 210]
    assert {m.amplitude_a for m in repeats} == {-2e-6}
