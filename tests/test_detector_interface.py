"""What a detector takes, refuses, shows and lets an operator change."""

import math
import subprocess
import sys

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
    eventful_stream,
    noise_uv,
    run,
    stream,
)
from scipy import signal

from app.core.detector import Detector, warm_up
from app.core.detector_settings import DetectorSettings
from app.core.signal_view import ColumnMark, ThresholdChange
from drivers.mea.protocol import SampleBlock, StimMark

pytestmark = pytest.mark.timeout(240)  # the first of them waits for the compilation


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    warm_up()


# What an operator changes and sees


def test_a_threshold_can_be_moved_while_samples_come() -> None:
    x = noise_uv(3.0, 2, sigma_uv=3.0)
    for row in range(10_000, 59_000, 1000):
        add_spikes(x, 0, [row], -60.0)
        add_spikes(x, 1, [row + 400], -60.0)
    detector = Detector(stream(2), DetectorSettings(**QUICK))
    blocks = cut(counts(x), (25_000, 40_000))
    assert set(detector.process(blocks[0]).spikes["channel"]) == {0, 1}
    detector.set_threshold(ThresholdChange(("A-001",), threshold_uv=100.0))
    status = detector.status()
    assert status.threshold_uv[1] == 100.0
    assert np.isnan(status.threshold_sigma).tolist() == [False, True]
    assert set(detector.process(blocks[1]).spikes["channel"]) == {0}
    detector.set_threshold(ThresholdChange(None, threshold_sigma=6.0))
    status = detector.status()
    assert status.threshold_uv == pytest.approx(6.0 * status.sigma_uv)
    assert set(detector.process(blocks[2]).spikes["channel"]) == {0, 1}
    with pytest.raises(ValueError, match="new threshold X-999"):
        detector.set_threshold(ThresholdChange(("X-999",), threshold_sigma=5.0))


def test_each_channel_may_have_a_threshold_of_its_own() -> None:
    x = noise_uv(2.0, 3, sigma_uv=3.0)
    settings = DetectorSettings(
        **QUICK, threshold_uv={"A-000": 25.0}, channel_threshold_sigma={"A-002": 8.0}
    )
    detector = Detector(stream(3), settings)
    run(detector, cut(counts(x)))
    status = detector.status()
    expected = [25.0, 5 * status.sigma_uv[1], 8 * status.sigma_uv[2]]
    assert status.threshold_uv.tolist() == pytest.approx(expected)


def test_details_follow_under_the_same_id() -> None:
    x = noise_uv(2.0, 2, sigma_uv=3.0)
    x[10_000:10_008, 0] -= np.arange(8) * 20.0  # crosses early, and has its trough late
    x[10_008:10_016, 0] -= 160.0 - np.arange(8) * 20.0
    detector = Detector(stream(2), DetectorSettings(**QUICK))
    results = [detector.process(block) for block in cut(counts(x), range(20, 40_000, 20))]
    spikes = np.concatenate([r.spikes for r in results])
    flushed = detector.process(SampleBlock(counts(x)[:0], 40_001, 1, 0))
    details = np.concatenate([r.details.records for r in (*results, flushed)])
    assert spikes["spike_id"].tolist() == list(range(len(spikes)))
    assert details["spike_id"].tolist() == list(range(len(details)))
    n = len(details)
    assert np.array_equal(details["sample_index"], spikes["sample_index"][:n])
    assert np.array_equal(details["channel"], spikes["channel"][:n])
    at = int(np.flatnonzero((details["amplitude_uv"] < -80) & (details["channel"] == 0))[0])
    assert details["trough_index"][at] > spikes["sample_index"][at] + 3
    assert details["amplitude_uv"][at] <= spikes["amplitude_uv"][at]
    block_of = [i for i, r in enumerate(results) if at in r.spikes["spike_id"]]
    sent_at = results[block_of[0]].end_sample + 6  # samples known when it left
    assert sent_at - spikes["sample_index"][at] <= 6 + 20


def test_envelope_columns_hold_the_extremes_of_the_signal_and_say_what_happened() -> None:
    x = noise_uv(0.4, 3)
    x[3000:3010, 1] = 40_000.0
    detector = Detector(stream(3), DetectorSettings(**QUICK))
    samples = counts(x)
    blocks = cut(samples, (777, 5003), [StimMark(6005, 0, 1e-6)], [(7011, 100)])
    columns = []
    at = 0
    for block in blocks:
        detector.process(block)
        columns.append(detector.envelopes.take(at))
        assert columns[-1].n_missed == 0
        at = columns[-1].next_column
    first = np.concatenate([c.first_sample for c in columns])
    n_samples = np.concatenate([c.n_samples for c in columns])
    raw_low = np.concatenate([c.raw_lowest for c in columns])
    raw_high = np.concatenate([c.raw_highest for c in columns])
    high = np.concatenate([c.highest for c in columns])
    marks = np.concatenate([c.marks for c in columns])
    assert n_samples.sum() == 8000
    is_after_gap = (marks & ColumnMark.AFTER_GAP) > 0
    assert first[is_after_gap.all(axis=1)].tolist() == [7111]
    for row in (0, 100, 350, len(first) - 1):
        start = first[row] - (100 if first[row] >= 7111 else 0)
        piece = samples[start : start + n_samples[row]]
        assert raw_low[row].tolist() == piece.min(axis=0).tolist()
        assert raw_high[row].tolist() == piece.max(axis=0).tolist()
    sos = signal.butter(1, (300.0, 6000.0), "bandpass", fs=RATE_HZ, output="sos")
    y = signal.sosfilt(sos, (samples[:3000] - samples[0].astype(float)) * UV_PER_COUNT, axis=0)
    assert high[60] * UV_PER_COUNT == pytest.approx(y[1200:1220].max(axis=0), abs=UV_PER_COUNT)
    at_rail = (first >= 3000) & (first < 3010)
    assert (marks[at_rail] & ColumnMark.SATURATED).astype(bool).tolist() == [[False, True, False]]
    at_stimulus = (first >= 6000) & (first < 6040)
    assert np.all(marks[at_stimulus] & ColumnMark.BLANKED)
    before = (first >= 5000) & (first < 6000)
    assert not np.any(marks[before])


# Kinds of samples


def test_unsigned_and_float_samples_give_the_same_spikes_as_signed_ones() -> None:
    samples = eventful_stream(4)
    settings_ = DetectorSettings(**QUICK, saturation_uv=6389.0)
    signed = run(Detector(stream(8), settings_), cut(samples, (3000, 3001)))
    unsigned_samples = (samples.astype(np.int32) + 32768).astype(np.uint16)
    unsigned = run(Detector(stream(8), settings_), cut(unsigned_samples, (3000, 3001)))
    assert unsigned.tobytes() == signed.tobytes()
    floats = run(Detector(stream(8), settings_), cut(samples.astype(np.float32), (3000, 3001)))
    assert len(signed) > 100
    assert np.array_equal(floats["sample_index"], signed["sample_index"])
    assert np.array_equal(floats["channel"], signed["channel"])


def test_float_samples_that_are_no_numbers_blank_their_channel_and_nothing_else() -> None:
    x = noise_uv(2.0, 3, sigma_uv=3.0).astype(np.float32)
    add_spikes(x, 0, [20_000, 30_000], -100.0)
    add_spikes(x, 1, [15_000, 30_000], -100.0)
    x[15_000:15_100, 0] = np.nan
    x[15_050, 1] = np.inf
    x[:, 2] = np.nan
    detector = Detector(stream(3, scale_uv=1.0), DetectorSettings(**QUICK))
    found = run(detector, cut(x, (15_010,)))
    strong = found[found["amplitude_uv"] < -50]
    assert {(int(s["channel"]), round(int(s["sample_index"]), -2)) for s in strong} == {
        (1, 15_000),
        (0, 20_000),
        (0, 30_000),
        (1, 30_000),
    }
    assert detector.status().is_pegged.tolist() == [False, False, True]
    assert np.all(np.isfinite(found["amplitude_uv"]))


# The common reference


def test_the_common_reference_removes_what_all_channels_share() -> None:
    rng = np.random.default_rng(7)
    x = noise_uv(2.0, 9, sigma_uv=4.0)
    shared = rng.normal(0.0, 60.0, len(x))
    add_spikes(x, 3, [20_000, 30_000], -150.0)
    detector_settings = DetectorSettings(**QUICK, has_common_reference=True)
    referenced = detect(x + shared[:, None], detector_settings)
    strong = referenced[referenced["amplitude_uv"] < -80]
    assert strong["channel"].tolist() == [3, 3]
    sigma_uv = 4.0
    detector = Detector(stream(9), detector_settings)
    run(detector, cut(counts(x + shared[:, None])))
    assert np.all(detector.status().sigma_uv < 1.5 * sigma_uv)
    plain = Detector(stream(9), DetectorSettings(**QUICK))
    run(plain, cut(counts(x + shared[:, None])))
    assert np.all(plain.status().sigma_uv > 6 * sigma_uv)


def test_bad_saturated_and_stimulated_channels_are_not_in_the_reference() -> None:
    x = noise_uv(1.5, 7, sigma_uv=4.0)
    x[:, 4:6] = 3000.0 * np.sin(np.arange(len(x)) / 3.0)[:, None]  # bad, and wild
    x[18_000:19_000, 0] = 40_000.0
    x[25_000:25_060, 1] += 3000.0
    bad = ("A-004", "A-005")
    detector = Detector(stream(7), DetectorSettings(**QUICK, has_common_reference=True), bad)
    found = run(detector, cut(counts(x), (), [StimMark(25_000, 1, 1e-6)]))
    on_others = found[np.isin(found["channel"], (2, 3, 6))]
    assert not np.any(np.abs(on_others["amplitude_uv"]) > 60)
    assert np.nanmax(detector.status().sigma_uv) < 8.0


# Edges of the interface


def test_blocks_of_another_shape_are_refused() -> None:
    detector = Detector(stream(2), DetectorSettings())
    for wrong in (np.zeros((5, 3), np.int16), np.zeros((5, 2)), np.zeros(5, np.int16)):
        with pytest.raises(ValueError, match=r"must be int16 or .* \(n_samples, 2\)"):
            detector.process(SampleBlock(wrong, 0, 0, 0))  # type: ignore[arg-type]


def test_memory_layout_and_writability_of_a_block_do_not_matter() -> None:
    samples = eventful_stream(2)
    plain = samples.copy()
    plain.flags.writeable = False
    wide = np.zeros((len(samples), 16), np.int16)
    wide[:, ::2] = samples
    results = [
        run(Detector(stream(8), DetectorSettings(**QUICK)), [SampleBlock(x, 0, 0, 0)]).tobytes()
        for x in (samples, plain, wide[:, ::2], np.asfortranarray(samples))
    ]
    assert len(set(results)) == 1
    assert samples.flags.writeable


def test_unknown_channels_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="bad channel B-000"):
        Detector(stream(2), DetectorSettings(), ("B-000",))
    with pytest.raises(ValueError, match="threshold of its own X"):
        Detector(stream(2), DetectorSettings(threshold_uv={"X": 30.0}))
    with pytest.raises(ValueError, match="threshold of its own Y"):
        Detector(stream(2), DetectorSettings(channel_threshold_sigma={"Y": 6.0}))


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"polarity": "up"}, "polarity"),
        ({"threshold_sigma": math.nan}, "threshold_sigma"),
        ({"threshold_sigma": -5.0}, "threshold_sigma"),
        ({"threshold_uv": {"A-000": -50.0}}, "A-000"),
        ({"threshold_uv": {"A-000": math.nan}}, "A-000"),
        ({"channel_threshold_sigma": {"A-001": math.nan}}, "A-001 is nan sigma"),
        (
            {"channel_threshold_sigma": {"A-001": 4.0}, "threshold_uv": {"A-001": 40.0}},
            "A-001 has a threshold in uV and one in sigma",
        ),
        ({"dead_time_s": math.nan}, "dead_time_s"),
        ({"blank_after_s": -0.001}, "blank_after_s"),
        ({"coincidence_fraction": 0.0}, "coincidence_fraction"),
        ({"n_channels_for_veto": 1}, "n_channels_for_veto"),
        ({"event_delay_s": 0.0001}, "coincidence_window_s"),
        ({"event_delay_s": math.nan}, "event_delay_s"),
        ({"max_rate_hz": 0.0}, "max_rate_hz"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        DetectorSettings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"band_hz": (300.0, 10_000.0)}, "half the sample rate"),
        ({"trough_window_s": 0.02}, "trough_window_s"),
        ({"dead_time_s": 0.0002}, "counts twice"),
        ({"saturation_uv": 7000.0}, "more than the stream can carry"),
    ],
)
def test_settings_that_do_not_fit_the_stream_are_refused(
    wrong: dict[str, object], word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        Detector(stream(1), DetectorSettings(**wrong))  # type: ignore[arg-type]


def test_settings_cost_no_numba_and_nothing_costs_scipy_signal() -> None:
    code = (
        "import sys; import app.core.detector as d; assert 'numba' not in sys.modules; "
        "d.warm_up(); assert 'numba' in sys.modules; assert 'scipy.signal' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
