"""The chosen electrode's spikes through Qt's audio and a real sound server, recorded from there.

Needs `pulseaudio`, `pactl` and `parec` (packages pulseaudio, pulseaudio-utils); ten seconds long,
so it runs with SPIKEBRIDGE_SOUND=1 only. A server of its own with a sink that leads nowhere.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chain_rig import until
from feed_maker import feed_format
from pytestqt.qtbot import QtBot

from app.console.feed import FEED_SNIPPET, Snippets
from app.gui.drawing.audio_monitor import AudioMonitor

IS_WANTED = os.environ.get("SPIKEBRIDGE_SOUND") == "1"
HAS_SERVER = all(map(shutil.which, ("pulseaudio", "pactl", "parec")))
pytestmark = pytest.mark.skipif(
    not (IS_WANTED and HAS_SERVER), reason="SPIKEBRIDGE_SOUND=1 and a sound server are needed"
)
RATE_HZ = 48_000
EVERY_NS = 100_000_000


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Play into a sink that leads nowhere; what it is given is recorded into this file."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    server = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1"]
    server += ["-L", "module-native-protocol-unix auth-anonymous=1"]
    server += ["-L", f"module-null-sink sink_name=nowhere rate={RATE_HZ}"]
    recorder = ["parec", "-d", "nowhere.monitor", "--format=s16le", f"--rate={RATE_HZ}"]
    recorder += ["--channels=1", "--raw"]
    file = tmp_path / "recorded.raw"
    with file.open("wb") as out:
        quiet = {"stderr": subprocess.DEVNULL}
        processes = [subprocess.Popen(server, stdout=subprocess.DEVNULL, **quiet)]
        try:
            ask = ["pactl", "info"]
            until(
                lambda: subprocess.run(ask, check=False, capture_output=True).returncode == 0,
                "a server",
            )
            processes.append(subprocess.Popen(recorder, stdout=out, **quiet))
            until(lambda: file.stat().st_size > 0, "it is recorded")
            yield file
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(5.0)


def spike_uv() -> np.ndarray:
    time_s = np.arange(60) / 20_000.0
    return (-100 * np.exp(-0.5 * ((time_s - 0.001) / 0.00012) ** 2)).astype(np.float32)


def both_channels(first: int, n: int) -> Snippets:
    """Spikes `first` on of channel 2, ten a second, and of channel 3 between them."""
    records = np.zeros(2 * n, FEED_SNIPPET)
    records["time_ns"] = 5_000_000_000 + first * EVERY_NS + np.arange(2 * n) * (EVERY_NS // 2)
    records["channel"] = np.tile([2, 3], n)
    return Snippets(records, np.tile(spike_uv(), (2 * n, 1)), 20)


def test_the_chosen_electrodes_spikes_are_what_the_sound_device_is_given(
    qtbot: QtBot, recorded: Path
) -> None:
    monitor = AudioMonitor()
    qtbot.addWidget(monitor)
    monitor.set_format(feed_format())
    monitor.select_channel(2)
    monitor.volume.setValue(100)
    monitor.listen_box.setChecked(True)
    assert monitor.is_listening, monitor.text.text()
    for k in range(80):
        monitor.add_snippets(both_channels(k, 1))
        qtbot.wait(100)
        monitor.refresh()
    monitor.listen_box.setChecked(False)
    heard = np.fromfile(recorded, np.int16).astype(float)
    is_low = heard < -0.3 * 100 / 200 * 32_767
    begins = np.flatnonzero(is_low[1:] & ~is_low[:-1]) + 1
    # The device takes a second to start, and on a busy machine a spike may come too late.
    assert 40 <= len(begins) <= 80
    intervals_ms = np.diff(begins) / RATE_HZ * 1e3
    assert np.median(intervals_ms) == pytest.approx(100.0, abs=0.1)
    expected = np.interp(np.arange(96) / RATE_HZ, np.arange(60) / 20_000.0, spike_uv())
    shapes = [correlation(heard[b - 60 : b + 130], expected) for b in begins[3:-1]]
    assert np.median(shapes) > 0.99


def correlation(heard: np.ndarray, expected: np.ndarray) -> float:
    n = len(expected)
    stretches = [heard[k : k + n] for k in range(len(heard) - n)]
    return float(max(np.corrcoef(s, expected)[0, 1] for s in stretches if s.std() > 0))
