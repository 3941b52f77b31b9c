"""1024 channels at 20 kHz over loopback TCP: driver and detector lose nothing.

`SPIKEBRIDGE_MANY_CHANNELS_S=600` makes it ten minutes; `benchmarks/many_channels.py` runs a whole
engine and looks at its processor time and memory.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from app.core.detector import Detector, DetectorSettings, DetectorStatus, warm_up
from drivers.mea.intan_rhx.driver import IntanRhx
from drivers.mea.intan_rhx.settings import IntanRhxSettings

SIGNAL_S = float(os.environ.get("SPIKEBRIDGE_MANY_CHANNELS_S", "1.5"))
RATE_HZ = 20_000
NAMES = tuple(f"{port}-{number:03d}" for port in "ABCDEFGH" for number in range(128))


@pytest.mark.timeout(60 + 5 * SIGNAL_S)
def test_no_sample_of_1024_channels_is_lost() -> None:
    warm_up()
    command = [sys.executable, "-m", "mocks.rhx_server", "--exit-on-stdin-eof", "--grid", "32x32"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as mock:
        assert mock.stdin is not None
        assert mock.stdout is not None
        ports = json.loads(mock.stdout.readline())
        amplifier = IntanRhx(
            "rhx1",
            IntanRhxSettings(
                host="127.0.0.1",
                command_port=ports["command_port"],
                waveform_port=ports["waveform_port"],
                spike_port=ports["spike_port"],
                channels=NAMES,
                reply_timeout_s=10.0,
                start_timeout_s=30.0,
                upload_timeout_s=60.0,
            ),
        )
        try:
            n_samples, n_spikes, status = run(amplifier)
        finally:
            amplifier.close()
            mock.stdin.close()
    assert n_samples >= SIGNAL_S * RATE_HZ
    assert n_spikes > 0
    assert status.n_samples == n_samples
    assert (status.n_gaps, status.n_lost) == (0, 0)
    assert np.all((status.sigma_uv > 3) & (status.sigma_uv < 9)), "each channel has its own signal"


def run(amplifier: IntanRhx) -> tuple[int, int, DetectorStatus]:
    amplifier.open()
    detector = Detector(amplifier.stream_format, DetectorSettings())
    amplifier.start()
    n_samples = n_spikes = 0
    end_sample = None
    while n_samples < SIGNAL_S * RATE_HZ:
        block = amplifier.read_block(5.0)
        assert block is not None, "the amplifier fell silent"
        assert block.n_lost == 0
        assert end_sample in (None, block.first_sample), "blocks follow each other without a gap"
        end_sample = block.end_sample
        n_samples += len(block.samples)
        n_spikes += len(detector.process(block).spikes)
    amplifier.stop()
    return n_samples, n_spikes, detector.status()
