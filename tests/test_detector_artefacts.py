"""Stimulation, saturation, gaps, coincidences: what must not become a spike."""

import numpy as np
import pytest
from detector_streams import (
    QUICK,
    RATE_HZ,
    add_spikes,
    counts,
    cut,
    detect,
    noise_uv,
    run,
    run_for_details,
    stream,
)

from app.core.detector import Detector, warm_up
from app.core.detector_results import DetectionFlag
from app.core.detector_settings import DetectorSettings
from drivers.mea.protocol import SampleBlock, StimMark

pytestmark = pytest.mark.timeout(240)  # the first of them waits for the compilation


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    warm_up()


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


def test_each_pulse_of_a_train_is_blanked() -> None:
    x = noise_uv(1.0, 8)
    pulses = range(10_000, 12_000, 200)
    for pulse in pulses:
        x[pulse : pulse + 20, :3] -= 1000.0  # on too few channels for a veto
    marks = [StimMark(pulse, 0, 1e-6) for pulse in pulses]
    samples = counts(x)
    for repeats, n_hit in ((tuple(marks[1:]), 0), ((), 9)):
        block = SampleBlock(samples, 0, 0, 0, (marks[0],), repeats)
        detector = Detector(stream(8), DetectorSettings(**QUICK))
        found = run(detector, [block])
        strong = found[found["amplitude_uv"] < -100]
        assert len(set(strong["sample_index"] // 200)) == n_hit


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
