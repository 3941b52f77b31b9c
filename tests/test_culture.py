"""The simulated culture: what one, two and four electrodes do to a neuron, and what harms."""

import numpy as np
import pytest

from mocks.culture import N_BLOCK_SAMPLES, Culture, CultureSettings
from mocks.culture_layout import CultureLayout, channel_names, target_electrodes
from mocks.culture_tissue import StimPulse

RATE_HZ = 20_000
QUIET = CultureSettings(noise_uv=0.0, field_uv=0.0, n_background_neurons=0)


def biphasic(first_sample, electrode, current_a=2e-6, n_second=4):
    return StimPulse(first_sample, electrode, ((-current_a, 4), (current_a, n_second)))


def stimulate(culture, names, rate_hz, duration_s, current_a=2e-6):
    """Give every electrode a pulse at each stimulus; return the samples of the stimuli."""
    electrodes = [culture.settings.layout.names.index(name) for name in names]
    period = RATE_HZ // rate_hz
    stimuli = list(range(100, int(duration_s * RATE_HZ) - 400, period))
    waiting = [biphasic(s, e, current_a) for s in stimuli for e in electrodes]
    for first in range(0, int(duration_s * RATE_HZ), N_BLOCK_SAMPLES):
        end = first + N_BLOCK_SAMPLES
        culture.step([p for p in waiting if first <= p.first_sample < end])
        waiting = [p for p in waiting if p.first_sample >= end]
    return stimuli


def test_names_of_sixty_electrodes_are_those_of_two_ports():
    names = channel_names(60)
    assert (names[0], names[31], names[32], names[59]) == ("A-000", "A-031", "B-000", "B-027")


def test_layout_leaves_out_the_corners():
    layout = CultureLayout()
    assert layout.n_electrodes == 60
    assert layout.position_um[0].tolist() == [200.0, 0.0]
    with pytest.raises(ValueError, match="column 7, row 7"):
        layout.electrode_at(7, 7)


def test_patterns_are_distinct_and_never_record():
    electrodes = target_electrodes(CultureLayout(), 3, 3)
    assert len(set(electrodes.all_names)) == 8
    assert [len(p) for p in (electrodes.weak, electrodes.medium, electrodes.strong)] == [1, 2, 4]


def test_a_target_at_the_edge_is_refused():
    with pytest.raises(ValueError, match="no electrode"):
        target_electrodes(CultureLayout(), 0, 3)


@pytest.mark.parametrize(
    ("pattern", "low", "high"), [("weak", 0.2, 0.4), ("medium", 0.5, 0.7), ("strong", 1.0, 1.0)]
)
def test_one_stimulus_lifts_the_membrane_by_its_share(pattern, low, high):
    culture = Culture(QUIET, seed=1)
    names = getattr(culture.electrodes_of_targets[0], pattern)
    stimulate(culture, names, rate_hz=1, duration_s=0.1)
    reached = max(step.potential_v for step in culture.membrane_steps)
    assert low <= reached / culture.settings.membrane.threshold_v <= high


@pytest.mark.parametrize("pattern", ["weak", "medium"])
@pytest.mark.parametrize("rate_hz", [10, 30, 50])
@pytest.mark.parametrize("seed", [1, 2])
def test_weak_patterns_never_fire_the_neuron(pattern, rate_hz, seed):
    culture = Culture(CultureSettings(), seed)
    names = getattr(culture.electrodes_of_targets[0], pattern)
    stimulate(culture, names, rate_hz, duration_s=5.0)
    assert not culture.spikes
    assert len(culture.pulses) == len(names) * ((100_000 - 500 - 1) // (RATE_HZ // rate_hz) + 1)


@pytest.mark.parametrize("rate_hz", [10, 50])
def test_strong_pattern_fires_once_per_stimulus(rate_hz):
    culture = Culture(CultureSettings(), seed=1)
    stimuli = stimulate(culture, culture.electrodes_of_targets[0].strong, rate_hz, duration_s=5.0)
    delays_s = [
        (spike.sample_index - stimulus) / RATE_HZ
        for spike, stimulus in zip(culture.spikes, stimuli, strict=True)
    ]
    assert min(delays_s) >= 0.004
    assert max(delays_s) <= 0.008
    assert np.std(delays_s) > 0.0003
    assert culture.damage == 0.0


def test_the_target_does_not_fire_by_itself():
    culture = Culture(CultureSettings(), seed=3)
    for _ in range(1000):
        culture.step()
    assert not culture.spikes
    assert culture.potential_v() == 0.0


def test_membrane_decays_with_its_time_constant():
    culture = Culture(QUIET, seed=1)
    electrode = culture.settings.layout.names.index(culture.electrodes_of_targets[0].weak[0])
    culture.step([biphasic(0, electrode)])
    peak_v = culture.membrane_steps[0].potential_v
    culture.skip(300 - N_BLOCK_SAMPLES)
    assert culture.potential_v() == pytest.approx(peak_v * np.exp(-1), rel=1e-6)


def test_target_spike_is_seen_on_its_electrode_at_the_named_sample():
    culture = Culture(QUIET, seed=1)
    target = culture.electrodes_of_targets[0]
    names = culture.settings.layout.names
    pulses = [biphasic(5, names.index(name)) for name in target.strong]
    signal_uv = np.concatenate([culture.step(pulses), culture.step(), culture.step()])
    spike = culture.spikes[0].sample_index
    recorded = signal_uv[:, names.index(target.recording)]
    assert 70 + int(np.argmin(recorded[70:])) == spike
    assert recorded[spike] == pytest.approx(-220, abs=1)


@pytest.mark.parametrize("seed", range(4))
def test_background_stays_off_the_targets_electrode(seed):
    settings = CultureSettings(field_uv=0.0, burst_rate_hz=2.0)
    culture = Culture(settings, seed)
    recording = settings.layout.names.index(culture.electrodes_of_targets[0].recording)
    blocks = [culture.step() for _ in range(1500)]
    deepest_uv = np.array([block.min(axis=0) for block in blocks]).min(axis=0)
    assert deepest_uv[recording] >= -4 * settings.noise_uv - 1e-3
    assert (deepest_uv < -60).sum() > 20, "the other electrodes do see spikes"


def test_noise_has_its_size_and_is_independent_between_electrodes():
    culture = Culture(CultureSettings(field_uv=0.0, n_background_neurons=0), seed=5)
    signal_uv = np.concatenate([culture.step() for _ in range(100)])
    assert signal_uv.std() == pytest.approx(5.0, rel=0.02)
    assert abs(np.corrcoef(signal_uv[:, 10], signal_uv[:, 11])[0, 1]) < 0.05


def test_bursts_raise_the_rate_of_all_background_neurons():
    def n_crossings(burst_rate_hz):
        culture = Culture(CultureSettings(field_uv=0.0, burst_rate_hz=burst_rate_hz), seed=1)
        return sum(int((culture.step() < -50).sum()) for _ in range(800))

    assert n_crossings(5.0) > 2 * n_crossings(0.0)


def test_artefact_saturates_at_home_and_is_gone_after_two_milliseconds():
    culture = Culture(QUIET, seed=1)
    signal_uv = np.concatenate([culture.step([biphasic(10, 30)]), culture.step()])
    assert np.abs(signal_uv[10:18, 30]).min() > 6400
    others = np.delete(signal_uv, 30, axis=1)
    assert 100 < np.abs(others[10:18]).max() < 1000
    assert np.abs(others[18 + 30 :]).max() < 2.0
    assert np.abs(signal_uv[18 + 40 :, 30]).max() < 10.0


def test_artefact_crosses_the_edge_of_a_block_unbroken():
    at_edge, inside = Culture(QUIET, seed=1), Culture(QUIET, seed=1)
    edge_uv = np.concatenate([at_edge.step([biphasic(126, 30)]), at_edge.step()])
    inside_uv = np.concatenate([inside.step([biphasic(20, 30)]), inside.step()])
    np.testing.assert_allclose(edge_uv[126:200], inside_uv[20:94], atol=1e-3)


def test_same_seed_same_numbers_and_stimuli_leave_the_noise_alone():
    first, second, other = (Culture(CultureSettings(), seed) for seed in (7, 7, 8))
    for _ in range(50):
        a, b, c = first.step(), second.step(), other.step()
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
    second.step([biphasic(second.n_samples, 0)])
    first.step()
    second.skip(0)
    np.testing.assert_allclose(first.step()[:, 59], second.step()[:, 59], atol=1e-4)


def test_pulse_outside_its_block_is_refused():
    culture = Culture(QUIET, seed=1)
    with pytest.raises(ValueError, match="pulse at sample 128 is outside the next block, 0 to 127"):
        culture.step([biphasic(128, 0)])


def test_too_much_charge_per_phase_harms():
    culture = Culture(QUIET, seed=1)
    culture.step([biphasic(0, 0, current_a=20e-6)])
    assert culture.damage == 0.0, "20 uA x 200 us is 4 nC: borne"
    culture.step([biphasic(128, 0, current_a=25e-6)])
    assert culture.damage == pytest.approx(0.25)


def test_unbalanced_pulses_harm_when_their_charge_has_piled_up():
    culture = Culture(QUIET, seed=1)
    damages = []
    for i in range(8):
        culture.step([biphasic(i * 128, 0, n_second=2)])
        damages.append(culture.damage)
    assert damages[:5] == [0.0] * 5, "0.2 nC each, 1 nC borne"
    assert damages[7] > damages[6] > 0
    assert culture.net_charge_c(0) == pytest.approx(-1.6e-9, rel=0.02)


def test_recovered_charge_does_not_pile_up():
    culture = Culture(QUIET, seed=1)
    for i in range(20):
        culture.step([StimPulse(i * 128, 0, ((-2e-6, 4),), is_charge_recovered=True)])
    assert culture.damage == 0.0


def test_more_than_200_pulses_per_second_on_one_electrode_harm():
    def damage(period):
        culture = Culture(QUIET, seed=1)
        pulses = [biphasic(s, 0) for s in range(0, 128 * 60, period)]
        for first in range(0, 128 * 60, 128):
            culture.step([p for p in pulses if first <= p.first_sample < first + 128])
        return culture.damage

    assert damage(100) == 0.0
    assert damage(80) > 0.0
