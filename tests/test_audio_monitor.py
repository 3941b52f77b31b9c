"""Listening: snippets sound when they should, as they look; no device is said in words."""

import sys

import numpy as np
import pytest
from feed_maker import feed_format

from app.console.feed import FEED_SNIPPET, Snippets
from app.gui.drawing.audio_monitor import N_IDLE_MAX, AudioMonitor
from app.gui.drawing.audio_output import NoSoundError, open_audio_output
from app.gui.drawing.spike_sound import LEAD_S, MAX_AHEAD_S, SOUND_RATE_HZ, SpikeSound

S = 1_000_000_000
LEAD = round(LEAD_S * SOUND_RATE_HZ)


class FakeOutput:
    """A sound device that keeps what it was given."""

    def __init__(self) -> None:
        self.played = b""
        self.share = 0.0
        self.is_open = True
        self.room = 4410
        self.why_not = ""

    def n_free(self) -> int:
        return self.room

    def write(self, sound: bytes) -> None:
        assert len(sound) <= 2 * self.room
        self.played += sound

    def failure(self) -> str:
        return self.why_not

    def set_volume(self, share: float) -> None:
        self.share = share

    def close(self) -> None:
        self.is_open = False


def sound_of(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.int16)


def level(value_uv: float, n_samples: int = 20) -> np.ndarray:
    return np.full((1, n_samples), value_uv, np.float32)


def tone(frequency_hz: float, amplitude_uv: float, n_samples: int) -> np.ndarray:
    time_s = np.arange(n_samples) / 20_000.0
    sine_uv = amplitude_uv * np.sin(2 * np.pi * frequency_hz * time_s)
    return sine_uv.astype(np.float32)[None]


def test_a_snippet_sounds_after_the_lead_and_as_loud_as_it_is():
    sound = SpikeSound(full_scale_uv=200.0)
    sound.add(np.array([5 * S]), level(-100), 20_000.0)
    heard = sound_of(sound.take(SOUND_RATE_HZ))
    at = np.flatnonzero(heard)
    assert abs(at[0] - LEAD) <= 1
    assert len(at) == pytest.approx(0.95e-3 * SOUND_RATE_HZ, abs=3)
    assert heard.min() == -16_384


def test_resampling_keeps_pitch_and_loudness():
    sound = SpikeSound(full_scale_uv=200.0)
    sound.add(np.array([5 * S]), tone(1000.0, 150.0, 4000), 20_000.0)
    heard = sound_of(sound.take(SOUND_RATE_HZ)).astype(float)
    inside = heard[LEAD + 100 : LEAD + 100 + 8000]
    spectrum = np.abs(np.fft.rfft(inside * np.hanning(8000), 1 << 17))
    assert spectrum.argmax() * SOUND_RATE_HZ / (1 << 17) == pytest.approx(1000.0, abs=0.5)
    assert np.abs(inside).max() == pytest.approx(150 / 200 * 32_767, rel=0.02)


def test_neither_ends_of_snippets_nor_borders_of_blocks_click():
    whole, pieces = SpikeSound(), SpikeSound()
    for sound in (whole, pieces):
        sound.add(np.array([5 * S]), tone(300.0, 100.0, 100) + 60.0, 20_000.0)
    heard = sound_of(whole.take(LEAD + 1000))
    cut = b"".join(pieces.take(n) for n in (LEAD, 7, 1, 64, 128, 300, 500))
    assert np.array_equal(sound_of(cut), heard)
    # Nothing steps: a jump to the 60 microvolts that it begins with would be 9800 at once.
    assert np.abs(np.diff(heard.astype(int))).max() < 2500


def test_where_snippets_overlap_the_signal_sounds_once():
    signal_uv = tone(700.0, 80.0, 200)[0]
    once, twice = SpikeSound(), SpikeSound()
    once.add(np.array([5 * S]), signal_uv[None], 20_000.0)
    parts = np.stack([signal_uv[:120], signal_uv[80:]])
    twice.add(np.array([5 * S, 5 * S + 4_000_000]), parts, 20_000.0)
    lag = round(4e-3 * SOUND_RATE_HZ)  # the newest of its snippets begins later
    heard, expected = (sound_of(s.take(LEAD + 1000)).astype(int) for s in (twice, once))
    inside = slice(LEAD + 20, LEAD + 400)
    shifted = heard[LEAD + 20 - lag : LEAD + 400 - lag]
    assert np.abs(shifted - expected[inside]).max() < 600


def test_a_device_that_stands_still_makes_no_backlog():
    sound = SpikeSound()
    for k in range(300):  # thirty seconds without a take
        sound.add(np.array([5 * S + k * S // 10]), level(50), 20_000.0)
    heard = sound_of(sound.take(SOUND_RATE_HZ))
    begins = np.flatnonzero((heard[1:] != 0) & (heard[:-1] == 0))
    assert 1 <= len(begins) <= MAX_AHEAD_S * 10
    assert begins[-1] <= MAX_AHEAD_S * SOUND_RATE_HZ
    assert sound.n_starts > 50


def test_intervals_between_spikes_are_kept():
    sound = SpikeSound()
    sound.add(np.array([5 * S]), level(50), 20_000.0)
    first = sound_of(sound.take(1000))
    sound.add(np.array([5 * S + S // 10]), level(50), 20_000.0)
    heard = np.concatenate([first, sound_of(sound.take(SOUND_RATE_HZ))])
    begins = np.flatnonzero((heard[1:] != 0) & (heard[:-1] == 0)) + 1
    assert begins[1] - begins[0] == pytest.approx(SOUND_RATE_HZ / 10, abs=1)


def test_late_snippets_are_counted_and_a_drifted_clock_is_followed():
    sound = SpikeSound()
    snippet = np.full((1, 20), 50, np.float32)
    sound.add(np.array([5 * S]), snippet, 20_000.0)
    sound.take(SOUND_RATE_HZ)
    sound.add(np.array([5 * S - S, 6 * S]), np.repeat(snippet, 2, axis=0), 20_000.0)
    assert sound.n_late == 1
    assert np.flatnonzero(sound_of(sound.take(SOUND_RATE_HZ))).size > 0


def test_samples_that_do_not_exist_are_silent():
    sound = SpikeSound()
    sound.add(np.array([0]), np.array([[np.nan] * 10 + [50.0] * 30], np.float32), 20_000.0)
    heard = sound_of(sound.take(SOUND_RATE_HZ))
    assert np.flatnonzero(heard)[0] > LEAD
    assert np.abs(heard).max() == pytest.approx(50 / 200 * 32_767, rel=0.1)


def test_louder_than_full_scale_is_cut_off_not_wrapped():
    sound = SpikeSound(full_scale_uv=100.0)
    sound.add(np.array([0]), np.full((1, 20), 900, np.float32), 20_000.0)
    assert sound_of(sound.take(SOUND_RATE_HZ)).max() == 32_767
    assert sound_of(sound.take(SOUND_RATE_HZ)).min() == 0


def test_only_the_selected_electrode_is_heard_and_only_when_switched_on(qtbot):
    output = FakeOutput()
    monitor = AudioMonitor(lambda: output)
    qtbot.addWidget(monitor)
    monitor.set_format(feed_format())
    monitor.select_channel(2)
    records = np.zeros(2, FEED_SNIPPET)
    records["channel"], records["time_ns"] = [2, 5], 7 * S
    both = Snippets(records, np.array([[30] * 20, [90] * 20], np.float32), 5)
    monitor.add_snippets(both)
    monitor.listen_box.setChecked(True)
    assert output.share == 0.5
    monitor.add_snippets(both)
    for _ in range(5):
        monitor.refresh()
    assert sound_of(output.played).max() == round(30 / 200 * 32_767)
    monitor.listen_box.setChecked(False)
    assert not output.is_open
    assert not monitor.is_listening


def test_without_a_device_it_says_so(qtbot):
    def no_device() -> FakeOutput:
        raise NoSoundError("no sound device found")

    monitor = AudioMonitor(no_device)
    qtbot.addWidget(monitor)
    monitor.listen_box.setChecked(True)
    assert monitor.text.text() == "No sound: no sound device found"
    assert not monitor.listen_box.isChecked()


def listening(qtbot, output: FakeOutput) -> AudioMonitor:
    monitor = AudioMonitor(lambda: output)
    qtbot.addWidget(monitor)
    monitor.set_format(feed_format())
    monitor.select_channel(2)
    monitor.listen_box.setChecked(True)
    return monitor


def test_a_device_that_goes_is_said_and_listening_ends(qtbot):
    output = FakeOutput()
    monitor = listening(qtbot, output)
    monitor.refresh()
    output.why_not = "the sound device is gone (IOError)"
    monitor.refresh()
    assert monitor.text.text() == "No sound: the sound device is gone (IOError)"
    assert not output.is_open
    assert not monitor.listen_box.isChecked()


def test_a_device_that_takes_nothing_for_long_is_said_and_one_that_pauses_is_waited_for(qtbot):
    output = FakeOutput()
    monitor = listening(qtbot, output)
    for room, n_times in ((0, N_IDLE_MAX), (100, 1), (0, N_IDLE_MAX)):
        output.room = room
        for _ in range(n_times):
            monitor.refresh()
    assert monitor.is_listening
    monitor.refresh()
    assert "taken nothing" in monitor.text.text()
    assert not monitor.is_listening


def test_without_the_systems_sound_library_it_says_where_to_look(monkeypatch):
    monkeypatch.setitem(sys.modules, "PyQt6.QtMultimedia", None)
    monkeypatch.delattr("PyQt6.QtMultimedia", raising=False)
    with pytest.raises(NoSoundError, match=r"cannot be loaded .* docs/window.md"):
        open_audio_output()
