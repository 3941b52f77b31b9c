"""The detector on synthetic streams whose truth is known."""

import math

import numpy as np
import pytest
from detector_streams import (
    QUICK,
    RATE_HZ,
    UV_PER_COUNT,
    add_spikes,
    counts,
    cut,
    detect,
    noise_uv,
    run,
    run_for_details,
    stream,
)
from scipy import signal

from app.core.detector import Detector, warm_up
from app.core.detector_settings import DetectorSettings
from drivers.mea.protocol import StimMark

pytestmark = pytest.mark.timeout(240)  # the first of them waits for the compilation


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    warm_up()


# What is found


def test_crossings_equal_a_plain_loop_over_scipys_filter() -> None:
    x = noise_uv(2.0, 3, seed=5)
    detector_settings = DetectorSettings(
        **QUICK, threshold_uv={"A-000": 12.0, "A-001": 12.0, "A-002": 10.0}, max_rate_hz=1e4
    )
    details = run_for_details(Detector(stream(3), detector_settings), cut(counts(x)))
    raw = counts(x) * UV_PER_COUNT
    sos = signal.butter(1, (300.0, 6000.0), "bandpass", fs=RATE_HZ, output="sos")
    y = signal.sosfilt(sos, raw - raw[0], axis=0)
    start = 2100  # before, the blanking of the beginning and the first noise estimate
    stop = len(y) - 100
    for channel, threshold_uv in enumerate((12.0, 12.0, 10.0)):
        expected, dead_until = [], 0
        for t in range(2, stop):
            is_edge = y[t, channel] < -threshold_uv <= y[t - 1, channel]
            if is_edge and t >= dead_until and t >= 2000:
                expected.append(t)
                dead_until = t + 20
        is_ours = details.records["channel"] == channel
        ours, snippets_uv = details.records[is_ours], details.snippets_uv[is_ours]
        is_compared = (ours["sample_index"] >= start) & (ours["sample_index"] < stop)
        ours, snippets_uv = ours[is_compared], snippets_uv[is_compared]
        assert ours["sample_index"].tolist() == [t for t in expected if t >= start]
        assert len(expected) > 30
        for spike, snippet_uv in zip(ours, snippets_uv, strict=True):
            t, trough = spike["sample_index"], spike["trough_index"]
            window = y[t : t + 11, channel]
            assert spike["amplitude_uv"] == pytest.approx(window.min(), abs=1e-3)
            assert trough == t + np.argmin(window)
            expected_uv = y[trough - 20 : trough + 40, channel]
            assert snippet_uv == pytest.approx(expected_uv, abs=1e-3)


def test_templates_are_found_once_each_and_the_offset_is_known() -> None:
    rng = np.random.default_rng(3)
    x = noise_uv(10.0, 4, sigma_uv=5.0)
    truth = {c: np.sort(rng.choice(np.arange(25_000, 199_000, 80), 60, False)) for c in range(4)}
    for channel, troughs in truth.items():
        add_spikes(x, channel, troughs.tolist(), -80.0)
    found = detect(x, DetectorSettings())
    trough_errors, crossing_errors = [], []
    for channel, troughs in truth.items():
        mine = found[found["channel"] == channel]
        at = mine["sample_index"] + mine["trough_offset"]
        nearest = np.abs(at[:, None] - troughs[None, :])
        assert nearest.min(axis=0).max() <= 10, "a spike was missed"
        assert len(mine) <= len(troughs) + 2, "a spike was found twice"
        near = nearest.argmin(axis=1)
        is_match = nearest.min(axis=1) <= 10
        trough_errors += (at - troughs[near])[is_match].tolist()
        crossing_errors += (mine["sample_index"] - troughs[near])[is_match].tolist()
    # The causal filter moves the trough by under one sample; the crossing comes before it.
    assert np.median(trough_errors) in (0, 1)
    assert np.std(trough_errors) < 1.0
    assert -5 <= np.median(crossing_errors) <= -1


def test_gaussian_noise_gives_almost_no_events_at_five_sigma() -> None:
    found = detect(noise_uv(20.0, 16), DetectorSettings())
    # Rice's rate for this band: about 4 kHz * exp(-12.5), 4 in 300 channel-seconds.
    assert len(found) < 16
    found_at_4 = detect(noise_uv(20.0, 16), DetectorSettings(threshold_sigma=4.0))
    assert 100 < len(found_at_4) < 800


@pytest.mark.parametrize(
    ("polarity", "expected"), [("neg", [-1.0]), ("pos", [1.0]), ("both", [-1.0, 1.0])]
)
def test_polarity(polarity: str, expected: list[float]) -> None:
    x = noise_uv(1.0, 1, sigma_uv=3.0)
    add_spikes(x, 0, [10_000], -80.0)
    add_spikes(x, 0, [15_000], 80.0)
    found = detect(x, DetectorSettings(**QUICK, polarity=polarity, threshold_sigma=8.0))  # type: ignore[arg-type]
    strong = found[np.abs(found["amplitude_uv"]) > 40]
    assert np.sign(strong["amplitude_uv"]).tolist() == expected
    assert np.sign(strong["threshold_uv"]).tolist() == expected


def test_dead_time_is_per_channel() -> None:
    x = noise_uv(1.0, 2, sigma_uv=3.0)
    add_spikes(x, 0, [10_000, 10_014], -120.0)
    add_spikes(x, 1, [10_010], -120.0)
    long = detect(x, DetectorSettings(**QUICK, dead_time_s=0.001))
    short = detect(x, DetectorSettings(**QUICK, dead_time_s=0.0005))
    assert [s["channel"] for s in long if s["amplitude_uv"] < -60] == [0, 1]
    assert [s["channel"] for s in short if s["amplitude_uv"] < -60] == [0, 1, 0]


def test_a_slow_wave_fires_once_and_not_each_dead_time() -> None:
    x = noise_uv(1.0, 1, sigma_uv=3.0)
    x[10_000:10_400, 0] -= 400 * np.arange(400) ** 1.2 / 100  # beyond the threshold for 20 ms
    found = detect(x, DetectorSettings(**QUICK, dead_time_s=0.002))
    during = found[(found["sample_index"] >= 10_000) & (found["sample_index"] < 10_390)]
    assert len(during) == 1


# Noise


def test_noise_is_that_of_the_filtered_signal_and_bursts_do_not_inflate_it() -> None:
    x = noise_uv(6.0, 2)
    add_spikes(x, 1, list(range(30_000, 119_000, 100)), -300.0)  # 200 Hz
    detector = Detector(stream(2), DetectorSettings())
    run(detector, cut(counts(x)))
    sos = signal.butter(1, (300.0, 6000.0), "bandpass", fs=RATE_HZ, output="sos")
    truth_uv = signal.sosfilt(sos, x[:, 0]).std()
    sigma_uv = detector.status().sigma_uv
    assert sigma_uv[0] == pytest.approx(truth_uv, rel=0.05)
    assert sigma_uv[1] == pytest.approx(truth_uv, rel=0.10)


def test_noise_is_frozen_while_blanked() -> None:
    x = noise_uv(4.0, 1)
    x[40_000:] *= 5
    marks = [StimMark(row, 0, 1e-6) for row in range(39_990, 80_000, 30)]
    detector = Detector(stream(1), DetectorSettings(**QUICK))
    blocks = cut(counts(x), (39_000,), marks)
    detector.process(blocks[0])
    before = detector.status()
    detector.process(blocks[1])
    after = detector.status()
    assert after.sigma_uv[0] == pytest.approx(before.sigma_uv[0], rel=0.05)
    assert after.n_events[0] == before.n_events[0]
    assert after.is_blanked[0]


def test_noise_follows_a_lasting_change() -> None:
    x = noise_uv(12.0, 1)
    x[60_000:] *= 4
    detector = Detector(stream(1), DetectorSettings(noise_smoothing_s=2.0))
    blocks = cut(counts(x), (60_000,))
    detector.process(blocks[0])
    quiet = detector.status().sigma_uv[0]
    detector.process(blocks[1])
    assert detector.status().sigma_uv[0] == pytest.approx(4 * quiet, rel=0.1)


def test_nothing_is_detected_before_the_first_estimate() -> None:
    x = noise_uv(1.5, 1)
    add_spikes(x, 0, [5000, 15_000, 25_000], -200.0)
    detector = Detector(stream(1), DetectorSettings())
    blocks = cut(counts(x), (19_000, 23_000))
    assert not detector.is_settled
    assert len(detector.process(blocks[0]).spikes) == 0
    assert not detector.is_settled
    assert math.isnan(detector.status().sigma_uv[0])
    detector.process(blocks[1])
    assert detector.is_settled
    assert len(detector.process(blocks[2]).spikes) == 1


def test_a_dead_channel_is_flagged_and_cannot_flood() -> None:
    x = noise_uv(2.0, 3)
    x[:, 1] *= 0.02
    x[:, 2] = 0.0
    detector = Detector(stream(3), DetectorSettings(**QUICK))
    found = run(detector, cut(counts(x)))
    assert detector.status().is_dead.tolist() == [False, True, True]
    assert detector.status().threshold_uv[1] == 5.0
    assert not np.any(found["channel"] > 0)


def test_a_runaway_channel_is_suspended_visibly_and_comes_back() -> None:
    x = noise_uv(6.0, 2)
    x[20_000:30_000, 0] -= 200 * (np.arange(10_000) % 40 < 4)  # 500 Hz for half a second
    detector = Detector(stream(2), DetectorSettings(max_rate_hz=100.0))
    blocks = cut(counts(x), (26_000, 119_000))
    first = detector.process(blocks[0]).spikes
    assert 100 <= np.sum(first["channel"] == 0) <= 103
    assert detector.status().is_suspended.tolist() == [True, False]
    assert detector.status().n_suspensions.tolist() == [1, 0]
    detector.process(blocks[1])
    assert detector.status().is_suspended.tolist() == [False, False]
