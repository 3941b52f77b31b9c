"""Listening: snippets sound when they should, as they look; no device is said in words."""

import numpy as np
import pytest
from feed_maker import feed_format

from app.console.feed import FEED_SNIPPET, Snippets
from app.gui.drawing.audio_monitor import AudioMonitor
from app.gui.drawing.audio_output import NoSoundError
from app.gui.drawing.spike_sound import LEAD_S, SOUND_RATE_HZ, SpikeSound

S = 1_000_000_000
LEAD = round(LEAD_S * SOUND_RATE_HZ)


class FakeOutput:
    def __init__(self) -> None:
        self.played = b""
        self.share = 0.0
        self.is_open = True

    def n_free(self) -> int:
        return 4410

    def write(self, sound: bytes) -> None:
        self.played += sound

    def set_volume(self, share: float) -> None:
        self.share = share

    def close(self) -> None:
        self.is_open = False


def sound_of(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.int16)


def test_a_snippet_sounds_after_the_lead_and_as_loud_as_it_is():
    sound = SpikeSound(full_scale_uv=200.0)
    sound.add(np.array([5 * S]), np.full((1, 20), -100, np.float32), 20_000.0)
    heard = sound_of(sound.take(SOUND_RATE_HZ))
    at = np.flatnonzero(heard)
    assert at[0] == LEAD
    assert len(at) == round(1e-3 * SOUND_RATE_HZ)
    assert set(heard[at].tolist()) == {-16383}


def test_intervals_between_spikes_are_kept():
    sound = SpikeSound()
    snippet = np.full((1, 20), 50, np.float32)
    sound.add(np.array([5 * S]), snippet, 20_000.0)
    first = sound_of(sound.take(1000))
    sound.add(np.array([5 * S + S // 10]), snippet, 20_000.0)
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
    sound.add(np.array([0]), np.array([[np.nan] * 10 + [50.0] * 10], np.float32), 20_000.0)
    heard = sound_of(sound.take(SOUND_RATE_HZ))
    assert np.flatnonzero(heard)[0] > LEAD
    assert np.abs(heard).max() == int(50 / 200 * 32_767)


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
    assert sound_of(output.played).max() == int(30 / 200 * 32_767)
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
