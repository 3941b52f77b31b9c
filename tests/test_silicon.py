"""Adaptive exponential neurons: the model's own numbers, and what weights and rates do."""

import math
import time

import numpy as np
import pytest

from mocks.silicon import MISMATCH, STEP_S, AdexNeuron, AdexParameters, mismatched

START_S = 1.0


def spikes_of_events(code, rate_hz, n=100, parameters=None, step_s=STEP_S):
    """Return the spikes within one interval of each event, as delays after it."""
    neuron = AdexNeuron(parameters, step_s)
    events_s = START_S + np.arange(n) / rate_hz
    spikes_s = [spike_s for at_s in events_s for spike_s in neuron.inject(code, float(at_s))]
    spikes_s += neuron.advance(float(events_s[-1]) + 1.0)
    of_event = np.searchsorted(events_s, spikes_s, side="right") - 1
    return [[s - at_s for s, e in zip(spikes_s, of_event, strict=True) if e == k]
            for k, at_s in enumerate(events_s)]  # fmt: skip


@pytest.mark.parametrize("code", [0, 1, 30, 60, 100, 130])
def test_weak_events_at_10_hz_never_fire(code):
    assert not any(spikes_of_events(code, 10.0, n=300))


@pytest.mark.parametrize("code", [160, 178, 200, 220, 240])
def test_strong_events_at_10_hz_fire_once_each_within_10_ms(code):
    delays = spikes_of_events(code, 10.0, n=300)
    assert [len(d) for d in delays] == [1] * 300
    assert all(1e-3 < d[0] < 10e-3 for d in delays)


def test_the_strongest_events_fire_at_least_once_and_at_most_twice():
    counts = [len(d) for d in spikes_of_events(255, 10.0)]
    assert set(counts) == {1, 2}


def test_stronger_events_fire_sooner():
    first = [spikes_of_events(code, 10.0, n=1)[0][0] for code in (160, 200, 240)]
    assert first == sorted(first, reverse=True)
    assert len(set(first)) == 3


def test_adaptation_asks_for_more_at_30_hz():
    n_at_160 = sum(map(len, spikes_of_events(160, 30.0)))
    assert 20 < n_at_160 < 80
    assert [len(d) for d in spikes_of_events(210, 30.0)] == [1] * 100


def test_adaptation_grows_by_the_published_step_at_a_spike():
    neuron = AdexNeuron()
    neuron.inject(200, START_S)
    spike_s = neuron.next_spike_s()
    neuron.advance(spike_s - STEP_S / 2)
    before_a = neuron.adaptation_a
    assert neuron.advance(spike_s + STEP_S / 2) == [spike_s]
    assert neuron.adaptation_a - before_a == pytest.approx(80.5e-12, rel=0.05)
    assert neuron.membrane_v == pytest.approx(-70.6e-3, abs=1e-3)


def test_half_the_step_moves_a_spike_by_less_than_a_quarter_millisecond():
    for code in (160, 200, 240):
        whole = spikes_of_events(code, 10.0, n=20)
        half = spikes_of_events(code, 10.0, n=20, step_s=STEP_S / 2)
        assert [len(d) for d in whole] == [len(d) for d in half]
        assert np.abs(np.subtract(whole, half)).max() < 0.25e-3


def subthreshold_peak_v(p, added_a):
    """Return the closed form's peak, without adaptation and upswing: difference of exponentials."""
    tau_s = p.capacitance_f / p.leak_siemens
    t_s = np.arange(0.0, 0.05, 1e-6)
    factor_v = added_a / p.capacitance_f / (1 / p.synapse_s - 1 / tau_s)
    return (factor_v * (np.exp(-t_s / tau_s) - np.exp(-t_s / p.synapse_s))).max()


@pytest.mark.parametrize(("step_s", "error"), [(STEP_S, 0.02), (STEP_S / 20, 0.001)])
def test_a_weak_event_makes_the_psp_of_the_closed_form(step_s, error):
    linear = AdexParameters(adaptation_siemens=0.0)
    neuron = AdexNeuron(linear, step_s)
    neuron.inject(30, START_S)
    trace_v = []
    for k in range(1, 300):
        neuron.advance(START_S + k * STEP_S)
        trace_v.append(neuron.membrane_v - linear.rest_v)
    expected_v = subthreshold_peak_v(linear, linear.full_weight_a * 30 / 255)
    assert max(trace_v) == pytest.approx(expected_v, rel=error)


def test_a_steady_current_fires_once_no_rest_is_left():
    """Rest needs I = (gL + a)(V - EL) - gL DT exp((V - VT) / DT) for some V: the largest such I."""
    p = AdexParameters()
    v = np.linspace(p.rest_v, p.threshold_v + 10 * p.slope_v, 100_001)
    held_a = (p.leak_siemens + p.adaptation_siemens) * (v - p.rest_v)
    upswing_a = p.leak_siemens * p.slope_v * np.exp((v - p.threshold_v) / p.slope_v)
    largest_a = float((held_a - upswing_a).max())

    def n_spikes(current_a):
        neuron = AdexNeuron(AdexParameters(synapse_s=1e6, full_weight_a=current_a))
        neuron.inject(255, START_S)
        return len(neuron.advance(START_S + 3.0))

    assert 0.5e-9 < largest_a < 0.7e-9
    assert n_spikes(0.85 * largest_a) == 0
    assert n_spikes(1.05 * largest_a) > 3


def test_what_is_foretold_happens():
    neuron = AdexNeuron()
    for k in range(20):
        at_s = START_S + 0.1 * k
        neuron.inject(190, at_s)
        foretold_s = neuron.next_spike_s()
        assert at_s < foretold_s < at_s + 0.01
        assert neuron.advance(foretold_s) == [foretold_s]
        assert neuron.next_spike_s() is None


def test_an_event_changes_what_was_foretold():
    neuron = AdexNeuron()
    neuron.inject(160, START_S)
    alone_s = neuron.next_spike_s()
    neuron.inject(200, START_S + 1e-3)
    together_s = neuron.next_spike_s()
    assert START_S + 1e-3 < together_s < alone_s - 1e-3
    assert neuron.advance(START_S + 1.0)[0] == together_s


def test_looking_ahead_changes_nothing():
    looking, blind = AdexNeuron(), AdexNeuron()
    for k in range(400):
        at_s = START_S + 0.0013 * k
        if k % 17 == 0:
            assert looking.inject(230, at_s) == blind.inject(230, at_s)
        looking.next_spike_s()
        assert looking.advance(at_s + 1e-3) == blind.advance(at_s + 1e-3)
        assert looking.membrane_v == pytest.approx(blind.membrane_v, abs=1e-12)


def test_a_spike_that_nobody_asked_for_is_returned_by_the_next_event():
    neuron = AdexNeuron()
    neuron.inject(200, START_S)
    assert len(neuron.inject(200, START_S + 0.02)) == 1


@pytest.mark.parametrize("n_parts", [1, 7, 500])
def test_the_outcome_does_not_depend_on_how_often_one_looks(n_parts):
    whole, parts = AdexNeuron(), AdexNeuron()
    for neuron in (whole, parts):
        neuron.inject(255, START_S)
    expected = whole.advance(START_S + 0.5)
    got = [s for k in range(n_parts) for s in parts.advance(START_S + 0.5 * (k + 1) / n_parts)]
    assert got == pytest.approx(expected, abs=1e-12)
    assert parts.membrane_v == pytest.approx(whole.membrane_v, abs=1e-6)


def test_it_comes_to_rest_and_a_day_there_costs_nothing():
    neuron = AdexNeuron()
    neuron.inject(255, START_S)
    neuron.advance(START_S + 0.05)
    assert abs(neuron.membrane_v - -70.6e-3) > 1e-3
    started_s = time.process_time()
    assert neuron.advance(START_S + 86_400.0) == []
    assert time.process_time() - started_s < 0.05
    assert neuron.membrane_v == pytest.approx(-70.6e-3, abs=1e-9)
    assert neuron.adaptation_a == pytest.approx(0.0, abs=1e-15)


def plain_steps(added_a, until_s):
    """Return the spikes after one event at rest, and the state, by the full equations alone."""
    p, spikes_s = AdexParameters(), []
    v, w, i, t = p.rest_v, 0.0, added_a, 0.0
    while t < until_s - STEP_S / 2:
        upswing_v = p.slope_v * math.exp(min(50.0, (v - p.threshold_v) / p.slope_v))
        dv = STEP_S / p.capacitance_f * (p.leak_siemens * (p.rest_v - v + upswing_v) - w + i)
        w += STEP_S / p.adaptation_s * (p.adaptation_siemens * (v - p.rest_v) - w)
        v, i, t = v + dv, i * math.exp(-STEP_S / p.synapse_s), t + STEP_S
        if v >= p.peak_v:
            v, w = p.rest_v, w + p.adaptation_step_a
            spikes_s.append(t)
    return spikes_s, v, w


def test_taking_the_quiet_steps_at_once_is_taking_them():
    neuron = AdexNeuron()
    neuron.inject(200, 0.0)
    neuron.advance(0.3 + STEP_S / 2)
    _, v, w = plain_steps(4.6e-9 * 200 / 255, 0.3)
    assert neuron.membrane_v == pytest.approx(v, abs=0.02e-3)
    assert neuron.adaptation_a == pytest.approx(w, abs=1e-12)


def test_a_spike_is_not_missed_however_late_it_comes():
    """Just above threshold the membrane hesitates while the event's current dies away."""
    silent_a, firing_a = 2e-9, 3e-9
    for _ in range(45):
        middle_a = (silent_a + firing_a) / 2
        if plain_steps(middle_a, 0.1)[0]:
            firing_a = middle_a
        else:
            silent_a = middle_a
    ((late_s,), _, _) = plain_steps(firing_a, 0.1)
    assert late_s > 0.02
    neuron = AdexNeuron(AdexParameters(full_weight_a=firing_a))
    neuron.inject(255, 0.0)
    assert neuron.next_spike_s() == pytest.approx(late_s, abs=1e-3)


def test_neurons_of_a_chip_differ_a_little_and_a_seed_decides_how():
    gains = [mismatched(5, neuron).full_weight_a / 4.6e-9 for neuron in range(200)]
    assert np.std(gains) == pytest.approx(MISMATCH, rel=0.2)
    assert np.mean(gains) == pytest.approx(1.0, abs=0.005)
    assert mismatched(5, 1) == mismatched(5, 1)
    assert len({mismatched(seed, 1).full_weight_a for seed in range(10)}) == 10


def test_mismatch_spares_what_weak_and_strong_mean():
    for sigmas in (-4, 4):
        p = AdexParameters(full_weight_a=4.6e-9 * (1 + sigmas * MISMATCH))
        assert not any(spikes_of_events(120, 10.0, parameters=p))
        assert [len(d) for d in spikes_of_events(178, 10.0, parameters=p)] == [1] * 100


@pytest.mark.parametrize("code", [-1, 256, math.nan])
def test_a_weight_beyond_its_byte_is_refused(code):
    with pytest.raises(ValueError, match="outside 0 to 255"):
        AdexNeuron().inject(code, START_S)


@pytest.mark.parametrize("until_s", [START_S - 0.01, math.nan, math.inf])
def test_time_that_runs_backwards_or_to_nowhere_is_refused(until_s):
    neuron = AdexNeuron()
    neuron.advance(START_S)
    with pytest.raises(ValueError, match=f"time {until_s}"):
        neuron.advance(until_s)
