"""The mock RHX: its detector and its filters."""

import numpy as np
import pytest
from rhx_rig import board_of

from mocks.rhx_detector import SpikeDetector
from mocks.rhx_filter import bessel2_high_pass, bessel2_low_pass


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
