"""The detector on synthetic streams whose truth is known, and on any cutting of them."""

import itertools
import math
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import signal

from app.core.detector import Detector, warm_up
from app.core.detector_results import DetectedSpikes, DetectionFlag
from app.core.detector_settings import DetectorSettings
from app.core.signal_view import ColumnMark, SpikeDetails, ThresholdChange
from drivers.mea.protocol import SampleBlock, StimMark, StreamFormat

RATE_HZ = 20_000.0
UV_PER_COUNT = 0.195  # of an Intan RHX
pytestmark = pytest.mark.timeout(240)  # the first of them waits for the compilation
QUICK = {"min_noise_s": 0.1, "noise_refresh_s": 0.2}


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    warm_up()


def stream(
    n_channels: int, rate_hz: float = RATE_HZ, scale_uv: float = UV_PER_COUNT
) -> StreamFormat:
    return StreamFormat(tuple(f"A-{i:03d}" for i in range(n_channels)), rate_hz, scale_uv)


def noise_uv(seconds: float, n_channels: int, sigma_uv: float = 6.0, seed: int = 1) -> np.ndarray:
    n_samples = round(seconds * RATE_HZ)
    return np.random.default_rng(seed).normal(0.0, sigma_uv, (n_samples, n_channels))


def counts(signal_uv: np.ndarray) -> np.ndarray:
    return np.clip(np.round(signal_uv / UV_PER_COUNT), -32768, 32767).astype(np.int16)


def template(amplitude_uv: float) -> np.ndarray:
    """A biphasic spike of 2.5 ms with its trough at sample 8."""
    t_s = (np.arange(50) - 8) / RATE_HZ
    trough = np.exp(-((t_s / 0.00015) ** 2))
    hump = 0.3 * np.exp(-(((t_s - 0.0005) / 0.0003) ** 2))
    return amplitude_uv * (trough - hump)


def add_spikes(
    signal_uv: np.ndarray, channel: int, troughs: Sequence[int], amplitude_uv: float
) -> None:
    for trough in troughs:
        signal_uv[trough - 8 : trough + 42, channel] += template(amplitude_uv)


def cut(
    samples: np.ndarray,
    edges: Sequence[int] = (),
    marks: Sequence[StimMark] = (),
    gaps: Sequence[tuple[int, int]] = (),
) -> list[SampleBlock]:
    """Cut rows at `edges`; at each gap (row, n_lost) the counter jumps. Marks are given by row."""
    lost_at = {row: n_lost for row, n_lost in gaps if 0 < row < len(samples)}
    rows = sorted({0, len(samples), *edges, *lost_at})
    blocks, n_lost_so_far = [], 0
    for start, stop in itertools.pairwise(rows):
        n_lost = lost_at.get(start, 0)
        n_lost_so_far += n_lost
        own = tuple(
            StimMark(m.sample_index + n_lost_so_far, m.channel, m.amplitude_a)
            for m in marks
            if start <= m.sample_index < stop
        )
        first = start + n_lost_so_far
        blocks.append(SampleBlock(samples[start:stop], first, n_lost, 0, own))
    return blocks


def run(detector: Detector, blocks: Sequence[SampleBlock]) -> np.ndarray:
    return np.concatenate([detector.process(block).spikes for block in blocks])


def flush(blocks: Sequence[SampleBlock]) -> SampleBlock:
    """Return an empty block beyond the end; at the gap before it everything is handed out."""
    return SampleBlock(blocks[-1].samples[:0], blocks[-1].end_sample + 1, 1, 0)


def run_for_details(detector: Detector, blocks: Sequence[SampleBlock]) -> SpikeDetails:
    """Return the details of all spikes."""
    results = [detector.process(block) for block in blocks]
    results.append(detector.process(flush(blocks)))
    return SpikeDetails(
        np.concatenate([r.details.records for r in results]),
        np.concatenate([r.details.snippets_uv for r in results]),
        results[0].details.n_before,
    )


def detect(
    signal_uv: np.ndarray, detector_settings: DetectorSettings, **cutting: Sequence[object]
) -> np.ndarray:
    detector = Detector(stream(signal_uv.shape[1]), detector_settings)
    return run(detector, cut(counts(signal_uv), **cutting))  # type: ignore[arg-type]


# What a cutting must not change


def eventful_stream(seed: int) -> np.ndarray:
    """0.6 s of eight channels with everything that may happen to them."""
    rng = np.random.default_rng(seed)
    n_samples = 12_000
    x = rng.normal(0.0, 6.0, (n_samples, 8)) + rng.normal(0.0, 500.0, 8)
    for channel in range(8):
        add_spikes(x, channel, rng.integers(20, n_samples - 50, 40).tolist(), rng.normal(0.0, 90.0))
    for trough in rng.integers(2500, n_samples - 50, 4):
        for channel in range(8):
            add_spikes(x, channel, [int(trough)], -150.0)
    x[:, 6] += 60 * (np.arange(n_samples) // 40 % 2)  # fires at 500 Hz and gets suspended
    start = int(rng.integers(3000, 9000))
    x[start : start + 50, 2] = 20_000.0
    x[start + 50 : start + 52, 3] = -20_000.0
    return counts(x)


def outcome(
    blocks: Sequence[SampleBlock], detector_settings: DetectorSettings
) -> tuple[bytes, int, list[object]]:
    """Run all blocks, checking each `end_sample`; return what must not depend on the cutting."""
    detector = Detector(stream(8), detector_settings, bad_channels=("A-005",))
    results = [detector.process(block) for block in blocks]
    check_promises(results)
    status = detector.status()
    end_sample = results[-1].end_sample
    results.append(detector.process(flush(blocks)))
    totals = [
        sum(r.n_vetoed for r in results),
        sum(r.n_blanked for r in results),
        status.is_settled,
        *(a.tobytes() for a in (status.sigma_uv, status.threshold_uv, status.n_blanked)),
        *(a.tobytes() for a in (status.is_pegged, status.is_suspended, status.n_events)),
        status.n_suspensions.tobytes(),
    ]
    envelopes = detector.envelopes
    totals += [a.tobytes() for a in (envelopes.values, envelopes.marks, envelopes.extents)]
    totals += [envelopes.n_published]
    totals += [b"".join(r.details.records.tobytes() for r in results)]
    totals += [b"".join(r.details.snippets_uv.tobytes() for r in results)]
    spikes = np.concatenate([r.spikes for r in results])
    return spikes.tobytes(), end_sample, totals


def check_promises(results: Sequence[DetectedSpikes]) -> None:
    last_end = 0
    for result in results:
        index = result.spikes["sample_index"]
        assert np.all(np.diff(index) >= 0)
        assert np.all(index >= last_end)
        assert result.end_sample >= last_end
        assert np.all(index < result.end_sample)
        last_end = result.end_sample


VARIANTS = [
    DetectorSettings(**QUICK, settle_max_s=0.01, suspend_s=0.1, max_rate_hz=200.0),
    DetectorSettings(
        **QUICK, polarity="both", n_poles_per_edge=2, blank_before_s=0.0, suspend_s=0.1
    ),
    DetectorSettings(
        **QUICK,
        polarity="pos",
        blank_before_s=0.002,
        trough_window_s=0.0001,
        event_delay_s=0.002,
        noise_interval_s=0.00035,
        threshold_uv={"A-001": 30.0},
    ),
    DetectorSettings(**QUICK, has_common_reference=True, snippet_after_s=0.0001, column_s=0.005),
]


@st.composite
def cuttings(draw: st.DrawFn) -> tuple[int, list[int], list[StimMark], list[tuple[int, int]]]:
    row = st.integers(0, 11_999)
    marks = [
        StimMark(draw(row), draw(st.integers(-1, 7)), math.nan)
        for _ in range(draw(st.integers(0, 6)))
    ]
    gaps = draw(st.lists(st.tuples(row, st.integers(1, 30_000)), max_size=3))
    edges = draw(st.lists(row, max_size=12))
    near = [m.sample_index for m in marks] + [g for g, _ in gaps] + [3000]
    for at in near:  # cuts close to what happens are the ones that could matter
        edges += [at + d for d in draw(st.lists(st.integers(-25, 25), max_size=4))]
    edges = [edge for edge in edges if 0 < edge < 12_000]
    return draw(st.integers(0, 5)), edges, marks, gaps


@pytest.mark.parametrize("variant", VARIANTS)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(cutting=cuttings())
def test_any_cutting_gives_the_same_bits(
    variant: DetectorSettings,
    cutting: tuple[int, list[int], list[StimMark], list[tuple[int, int]]],
) -> None:
    seed, edges, marks, gaps = cutting
    samples = eventful_stream(seed)
    whole = outcome(cut(samples, (), marks, gaps), variant)
    assert outcome(cut(samples, edges, marks, gaps), variant) == whole


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("n_rows", [1, 7, 128, 1000])
def test_even_cuttings_give_the_same_bits(variant: DetectorSettings, n_rows: int) -> None:
    samples = eventful_stream(9)
    marks = [StimMark(4000, 3, 1e-6), StimMark(4001, 1, 1e-6), StimMark(9000, 0, 1e-6)]
    gaps = [(6003, 77)]
    whole = outcome(cut(samples, (), marks, gaps), variant)
    edges = range(n_rows, len(samples), n_rows)
    assert outcome(cut(samples, edges, marks, gaps), variant) == whole
    spikes, _, totals = whole
    assert len(spikes) > 100 * 32  # the streams compared are not empty
    assert totals[0] > 0 or variant.polarity == "pos" or variant.has_common_reference


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


# Stimulation, saturation, gaps


def artefact(amplitude_uv: float, decay_s: float) -> np.ndarray:
    t_s = np.arange(round(20 * decay_s * RATE_HZ)) / RATE_HZ
    return amplitude_uv * np.exp(-t_s / decay_s)


def stimulated_stream(decay_s: float, sign: int) -> tuple[np.ndarray, list[StimMark], list[int]]:
    """Artefacts of up to 5000 uV on eight channels, the stimulated one 10 ms at the rails."""
    rng = np.random.default_rng(4)
    x = noise_uv(6.0, 8) + rng.normal(0.0, 1000.0, 8)
    rows = list(range(30_000, 118_000, 1000))
    spikes = [row + 700 for row in rows]
    for channel in range(8):
        add_spikes(x, channel, [s + 40 * channel for s in spikes], -90.0)
    for row in rows:
        for channel in range(8):
            tail = artefact(sign * 5000.0 * (1 if channel < 2 else rng.random()), decay_s)
            x[row : row + len(tail), channel] += tail
        x[row : row + 10, 0] = sign * 40_000.0
        x[row + 10 : row + 200, 0] += artefact(sign * 40_000.0, 0.001)[:190]
    return x, [StimMark(row, 0, 1e-6) for row in rows], spikes


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("decay_s", [0.0003, 0.0015])
@pytest.mark.parametrize("polarity", ["neg", "both"])
def test_artefacts_give_no_events_and_spikes_after_them_are_found(
    sign: int, decay_s: float, polarity: str
) -> None:
    x, marks, spikes = stimulated_stream(decay_s, sign)
    detector_settings = DetectorSettings(polarity=polarity)  # type: ignore[arg-type]
    found = detect(x, detector_settings, marks=marks)
    after = (found["sample_index"] - 30_000 + 4) % 1000
    is_late = found["sample_index"] >= 30_000 - 4
    assert np.sum(is_late & (after < 600)) <= 3, "chance crossings at most"
    for channel in range(8):
        mine = found[found["channel"] == channel]["sample_index"]
        assert all(np.any(np.abs(mine - s - 40 * channel) <= 10) for s in spikes)


def test_without_the_settling_rule_the_same_artefacts_do_cross() -> None:
    x, marks, _ = stimulated_stream(0.0015, 1)
    found = detect(x, DetectorSettings(settle_max_s=0.0), marks=marks)
    settled = detect(x, DetectorSettings(), marks=marks)
    assert len(found) > len(settled) + 500


def test_blanking_ends_soon_when_the_artefact_is_small_and_later_where_it_was_stimulated() -> None:
    x = noise_uv(1.0, 2)
    for channel in range(2):
        add_spikes(x, channel, [10_065, 10_200], -200.0)
    found = detect(x, DetectorSettings(**QUICK), marks=[StimMark(10_000, 0, 1e-6)])
    strong = found[found["amplitude_uv"] < -100]
    at = strong["sample_index"] + strong["trough_offset"]
    assert strong["channel"].tolist() == [1, 0, 1]
    assert np.abs(at - [10_065, 10_200, 10_200]).max() <= 1


def test_blanking_reaches_back_before_the_mark() -> None:
    x = noise_uv(1.0, 1)
    x[9_997:10_010, 0] -= 300.0  # begins before the mark says so
    marks = [StimMark(10_000, 0, 1e-6)]
    narrow = DetectorSettings(**QUICK, blank_before_s=0.0)
    assert np.any(detect(x, narrow, marks=marks)["amplitude_uv"] < -100)
    found = detect(x, DetectorSettings(**QUICK), marks=marks, edges=(10_000,))
    assert not np.any(found["amplitude_uv"] < -100)


def test_a_trough_search_ends_where_blanking_begins() -> None:
    x = noise_uv(1.0, 1, sigma_uv=3.0)
    add_spikes(x, 0, [10_000], -100.0)
    x[10_006:10_030, 0] -= 4000.0
    detector = Detector(stream(1), DetectorSettings(**QUICK))
    found = run_for_details(detector, cut(counts(x), (), [StimMark(10_006, 0, 1e-6)])).records
    (spike,) = found[found["amplitude_uv"] < -50]
    assert spike["amplitude_uv"] > -150
    assert spike["flags"] == DetectionFlag.TRUNCATED


def test_blanked_samples_are_counted() -> None:
    detector = Detector(stream(3), DetectorSettings(**QUICK), bad_channels=("A-002",))
    x = counts(noise_uv(1.0, 3))
    blocks = cut(x, (8000, 16_000), [StimMark(10_000, 1, 1e-6)])
    detector.process(blocks[0])
    assert detector.process(blocks[1]).n_blanked == (4 + 40) + (4 + 100)
    assert detector.process(blocks[2]).n_blanked == 0
    assert detector.status().n_blanked.tolist() == [144, 204, 0]  # 100 each at the beginning


def test_a_saturated_channel_is_blanked_until_it_comes_back_and_others_are_not() -> None:
    x = noise_uv(2.0, 2)
    x[10_000:20_000, 0] = 40_000.0
    add_spikes(x, 1, [15_000], -200.0)
    add_spikes(x, 0, [30_000], -200.0)
    detector = Detector(stream(2), DetectorSettings(**QUICK, polarity="both"))
    blocks = cut(counts(x), (16_000,))
    found = detector.process(blocks[0]).spikes
    assert detector.status().is_pegged.tolist() == [True, False]
    rest = detector.process(blocks[1]).spikes
    assert detector.status().is_pegged.tolist() == [False, False]
    strong = [s for s in np.concatenate([found, rest]) if abs(s["amplitude_uv"]) > 80]
    assert [s["channel"] for s in strong] == [1, 0]


def test_a_pegged_channel_does_not_keep_the_rest_from_settling() -> None:
    x = noise_uv(1.0, 2)
    x[:, 0] = 40_000.0
    detector = Detector(stream(2), DetectorSettings(**QUICK))
    run(detector, cut(counts(x)))
    assert detector.is_settled
    both = Detector(stream(1), DetectorSettings(**QUICK))
    run(both, cut(counts(x[:, :1])))
    assert not both.is_settled


def test_saturation_below_the_int16_range() -> None:
    x = noise_uv(1.0, 1)
    x[10_000:10_020, 0] = 5000.0
    found = detect(x, DetectorSettings(**QUICK, saturation_uv=4990.0, polarity="both"))
    assert not np.any(np.abs(found["amplitude_uv"]) > 100)


@pytest.mark.parametrize("n_lost", [700, -1, 0])
def test_a_gap_with_a_step_gives_no_event_and_is_reported(n_lost: int) -> None:
    x = noise_uv(2.0, 2) + 1000.0
    x[20_000:] -= 4000.0
    add_spikes(x, 0, [19_998], -200.0)
    add_spikes(x, 1, [20_200], -100.0)
    samples = counts(x)
    detector = Detector(stream(2), DetectorSettings(**QUICK, polarity="both"))
    before = detector.process(SampleBlock(samples[:20_000], 0, 0, 0))
    after = detector.process(SampleBlock(samples[20_000:], 20_700, n_lost, 0))
    assert before.end_sample < 20_000
    assert after.has_gap
    assert after.n_before_gap == 1
    assert [(s["channel"], s["sample_index"] < 20_000) for s in after.spikes] == [
        (0, True),
        (1, False),
    ]
    assert after.spikes[0]["flags"] == DetectionFlag.TRUNCATED
    assert detector.status().n_gaps == 1
    assert detector.status().n_lost == max(n_lost, 0)


def test_a_restarted_counter_is_a_gap_and_leaves_nothing_in_a_far_future() -> None:
    samples = counts(noise_uv(3.0, 1))
    x = noise_uv(1.0, 1)
    x[:10_000, 0] -= 200 * (np.arange(10_000) % 40 < 4)
    add_spikes(x, 0, [15_000], -200.0)
    detector = Detector(stream(1), DetectorSettings(**QUICK, max_rate_hz=20.0, suspend_s=0.3))
    detector.process(SampleBlock(samples, 1_000_000, 0, 0))
    assert detector.status().n_gaps == 0, "the first block begins, it does not follow"
    detector.process(SampleBlock(samples[:0], 1_060_000, 0, 0))
    result = detector.process(SampleBlock(counts(x), 0, -1, 0))
    assert result.has_gap
    assert result.end_sample == 20_000 - 6
    assert abs(result.spikes[-1]["sample_index"] - 15_000) < 5


def test_marks_outside_their_block_are_counted_and_still_obeyed() -> None:
    x = noise_uv(2.0, 1)
    x[20_100:20_110] -= 300.0
    samples = counts(x)
    mark = StimMark(20_100, 0, 1e-6)
    detector = Detector(stream(1), DetectorSettings(**QUICK))
    first = detector.process(SampleBlock(samples[:20_000], 0, 0, 0, (mark,)))
    second = detector.process(SampleBlock(samples[20_000:], 20_000, 0, 0))
    assert detector.status().n_stray_marks == 1
    assert not np.any(np.concatenate([first.spikes, second.spikes])["amplitude_uv"] < -100)


# Coincidence and bad channels


@pytest.mark.parametrize(
    ("n_together", "spread", "is_vetoed"), [(12, 0, False), (13, 0, True), (13, 1, False)]
)
def test_coincident_crossings_are_flagged(n_together: int, spread: int, is_vetoed: bool) -> None:
    x = noise_uv(1.0, 20, sigma_uv=3.0)
    for channel in range(n_together):
        add_spikes(x, channel, [10_000 + spread * channel], -150.0)
    detector = Detector(stream(20), DetectorSettings(**QUICK))
    result = detector.process(cut(counts(x))[0])
    strong = result.spikes[result.spikes["amplitude_uv"] < -70]
    assert len(strong) == n_together
    assert np.all((strong["flags"] == DetectionFlag.ARTEFACT) == is_vetoed)
    assert result.n_vetoed == (n_together if is_vetoed else 0)


def test_few_channels_know_no_veto() -> None:
    x = noise_uv(1.0, 4, sigma_uv=3.0)
    for channel in range(4):
        add_spikes(x, channel, [10_000], -150.0)
    found = detect(x, DetectorSettings(**QUICK))
    assert len(found) >= 4
    assert not np.any(found["flags"])


def test_bad_channels_are_silent_and_do_not_count_for_the_veto() -> None:
    x = noise_uv(1.0, 12, sigma_uv=3.0)
    for channel in range(6):
        add_spikes(x, channel, [10_000], -150.0)
    x[:, 11] *= 200
    bad = tuple(f"A-{i:03d}" for i in (6, 7, 11))
    detector = Detector(stream(12), DetectorSettings(**QUICK), bad)
    result = detector.process(cut(counts(x))[0])
    assert result.n_vetoed == 6  # of nine; of twelve it would not be over 60 %
    assert not set(result.spikes["channel"]) & {6, 7, 11}
    assert detector.is_settled
    status = detector.status()
    assert np.flatnonzero(status.is_bad).tolist() == [6, 7, 11]
    assert np.flatnonzero(np.isnan(status.sigma_uv)).tolist() == [6, 7, 11]


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


def test_an_event_leaves_three_tenths_of_a_millisecond_after_its_crossing() -> None:
    assert Detector(stream(1), DetectorSettings()).look_ahead_s == 0.0003


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
        run(Detector(stream(8), VARIANTS[0]), [SampleBlock(x, 0, 0, 0)]).tobytes()
        for x in (samples, plain, wide[:, ::2], np.asfortranarray(samples))
    ]
    assert len(set(results)) == 1
    assert samples.flags.writeable


def test_unknown_channels_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="bad channel B-000"):
        Detector(stream(2), DetectorSettings(), ("B-000",))
    with pytest.raises(ValueError, match="fixed threshold X"):
        Detector(stream(2), DetectorSettings(threshold_uv={"X": 30.0}))


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"polarity": "up"}, "polarity"),
        ({"threshold_sigma": math.nan}, "threshold_sigma"),
        ({"threshold_sigma": -5.0}, "threshold_sigma"),
        ({"threshold_uv": {"A-000": -50.0}}, "A-000"),
        ({"threshold_uv": {"A-000": math.nan}}, "A-000"),
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
