"""The simulated memristor against published data and against its model's known numbers.

Published: the example device of the ArC ONE's manual (W15 B15, 100 us pulses). Model: the
data-driven TiOx model of Messaris et al., 2017; NeuroPack's and the ArC GUI's parameters.
"""

import math
from dataclasses import replace

import numpy as np
import pytest

from mocks.arc_crossbar import OPEN_OHM, Crossbar
from mocks.memristor import (
    PRESETS,
    MemristorModel,
    SwitchingBranch,
    bias_for_v,
    current_a,
    resistance_at_ohm,
    switched_ohm,
)
from mocks.memristor_noise import NOISE_FULL, NOISE_MILD, NOISE_OFF, Memristor, NoiseSettings
from mocks.memristor_scatter import NO_SCATTER, SCATTER, scattered

A, B, C = PRESETS["A"], PRESETS["B"], PRESETS["C"]
WIDTH_S = 100e-6

_HIGH = (3999.1, 3936.9, 3927.7, 3960.9, 3975.6, 4004.5, 3993.9, 3931.5, 4010.7, 4076.8)
_LOW = (2861.3, 2888.6, 2935.8, 3010.3, 3030.9, 3069.1, 3098.5, 3140.2, 3161.4, 3210.0)


def _ramp(sign, first_ohm, after_ohm):
    before = (first_ohm, *after_ohm)
    return [(r, sign * 0.25 * (k + 1), after_ohm[k]) for k, r in enumerate(before[:-1])]


def _cycles():
    before = 2762.4
    for high, low in zip(_HIGH, _LOW, strict=True):
        yield before, 2.0, high
        yield high, -2.0, low
        before = low


PUBLISHED_PULSES = [
    *_ramp(-1, 4453.6, (4455.3, 4450.1, 4448.7, 4437.4, 4420.1, 4171.1, 3355.1, 2714.4)),
    *_ramp(+1, 2717.6, (2719.1, 2719.0, 2716.2, 2715.7, 2713.0, 2713.4, 2776.7, 4390.1)),
    (4437.5, 2.0, 5745.0),
    (5794.0, -2.0, 2802.0),
    (2802.0, -2.0, 2759.0),
    *_cycles(),
]
"""(before in ohm, pulse in V, after in ohm); before is the published value just before."""

PUBLISHED_UP = {
    0.0959: 5387.2, 0.1975: 5132.2, 0.2988: 4678.3, 0.3991: 4168.1, 0.4988: 3710.8,
    0.6016: 3329.8, 0.7062: 3015.4, 0.8107: 2788.3, 0.9126: 2623.5, 1.0148: 2490.1,
}  # fmt: skip
PUBLISHED_DOWN = {
    -0.0998: 5234.9, -0.2021: 4851.9, -0.3035: 4356.2, -0.4033: 3871.1, -0.5044: 3491.4,
    -0.6061: 3146.3, -0.7068: 2899.2, -0.8068: 2710.1, -0.9087: 2563.2, -1.0109: 2415.1,
}  # fmt: skip
PUBLISHED_BACK = {
    -0.0998: 4973.1, -0.2021: 4640.7, -0.3035: 4194.2, -0.4033: 3738.7, -0.5044: 3369.2,
    -0.6061: 3060.0, -0.7068: 2830.5, -0.8068: 2652.5, -0.9087: 2515.3,
}  # fmt: skip


def change(model, ohm, pulse_v, width_s=WIDTH_S):
    return switched_ohm(model, ohm, pulse_v, width_s) / ohm - 1


def device(model=B, ohm=5000.0, noise=NOISE_OFF, seed=1):
    return Memristor(model, ohm, noise, np.random.default_rng(seed))


# -- switching


def test_preset_a_one_step_ahead_over_the_published_pulses():
    assert len(PUBLISHED_PULSES) == 39
    errors = [switched_ohm(A, r, v, WIDTH_S) / after - 1 for r, v, after in PUBLISHED_PULSES]
    assert math.sqrt(np.mean(np.square(errors))) == pytest.approx(0.039, abs=0.001)
    assert max(map(abs, errors)) < 0.14
    worst = sorted(errors, key=abs)[-4:]
    assert sorted(worst) == pytest.approx([-0.13, -0.08, 0.08, 0.09], abs=0.006)


@pytest.mark.parametrize("pulse_v", [0.25, 1.25, -0.25, -1.25])
def test_preset_a_does_not_move_up_to_a_volt_and_a_quarter(pulse_v):
    assert switched_ohm(A, 4453.6, pulse_v, WIDTH_S) == 4453.6


def test_preset_a_free_run_of_the_negative_ramp():
    ohm = 4453.6
    for step in range(1, 9):
        ohm = switched_ohm(A, ohm, -0.25 * step, WIDTH_S)
    assert ohm == pytest.approx(2934, abs=1)


@pytest.mark.parametrize(
    ("model", "ohm", "pulse_v", "width_s", "percent"),
    [
        (B, 5000, 1.2, WIDTH_S, 1.95),
        (B, 5000, 1.5, WIDTH_S, 8.63),
        (B, 5000, 2.0, WIDTH_S, 47.2),
        (B, 5000, -1.2, WIDTH_S, -2.92),
        (B, 5000, -1.5, WIDTH_S, -11.29),
        (B, 5000, -2.0, WIDTH_S, -35.6),
        (B, 5000, 1.5, 1e-6, 0.089),
        (B, 5000, -1.5, 1e-6, -0.139),
        (B, 14_000, -2.0, 1e-6, -4.7),
        (B, 5000, 4.0, WIDTH_S, 298),
        (B, 5000, -4.0, WIDTH_S, -60),
        (C, 5000, 4.0, WIDTH_S, 12.7),
        (C, 5000, -4.0, WIDTH_S, -15.4),
    ],
)
def test_changes_of_the_soft_presets(model, ohm, pulse_v, width_s, percent):
    decimals = len(str(percent).partition(".")[2])
    got = 100 * change(model, ohm, pulse_v, width_s)
    assert got == pytest.approx(percent, abs=0.51 * 10.0**-decimals)


@pytest.mark.parametrize("pulse_v", [2.0, -2.0, 3.0, -3.0])
def test_preset_c_does_not_move_at_two_volts_whatever_the_width(pulse_v):
    assert switched_ohm(C, 5000, pulse_v, 10.0) == 5000


def test_preset_b_at_exactly_half_of_two_volts_is_not_disturbed():
    assert switched_ohm(B, 5000, 1.0, 10.0) == 5000


def test_twenty_up_and_twenty_down():
    ohm = 5000.0
    for pulse_v, expected in ((1.5, 10_580), (-1.5, 2600)):
        for _ in range(20):
            ohm = switched_ohm(B, ohm, pulse_v, WIDTH_S)
        assert ohm == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(
    ("start", "end", "pulse_v", "n"), [(4e3, 9e3, 4.0, 10), (9e3, 4e3, -4.0, 4)]
)
def test_the_founding_experiments_window_in_preset_c(start, end, pulse_v, n):
    ohm, n_pulses = start, 0
    while (ohm < end) if pulse_v > 0 else (ohm > end):
        ohm = switched_ohm(C, ohm, pulse_v, WIDTH_S)
        n_pulses += 1
    assert n_pulses == n


@pytest.mark.parametrize("model", PRESETS.values(), ids=PRESETS.keys())
@pytest.mark.parametrize("pulse_v", [-5.0, -2.0, -1.5, 1.5, 2.0, 5.0])
def test_no_pulse_leaves_the_bounds_or_goes_the_wrong_way(model, pulse_v):
    for ohm in (model.negative.bound_ohm, 3000.0, 10_000.0, 20_000.0):
        for width_s in (0.0, 1e-9, 1e-4, 1.0):
            after = switched_ohm(model, ohm, pulse_v, width_s)
            assert model.negative.bound_ohm <= after <= model.positive.bound_ohm
            assert (after - ohm) * pulse_v >= 0


def test_two_halves_of_a_pulse_are_the_whole():
    half = switched_ohm(B, 5000, 1.5, WIDTH_S / 2)
    assert switched_ohm(B, half, 1.5, WIDTH_S / 2) == pytest.approx(
        switched_ohm(B, 5000, 1.5, WIDTH_S), rel=1e-12
    )


def _published_form(rate, slope_v, a0, a1):
    """Return one polarity of the 2017 form, whose bound depends on the voltage, as a function."""

    def model(pulse_v):
        branch = SwitchingBranch(abs(rate), 0.0, slope_v, a0 + a1 * pulse_v)
        return MemristorModel(branch, branch, reference_v=0.5)

    return model


SIMULATED_UP = _published_form(11.483, 1.731, 9000, 500)
SIMULATED_DOWN = _published_form(-11.483, 1.731, 5000, 500)
NEUROPACK_UP = _published_form(0.21389, 1.65910, 37086.7, -20193.2)
NEUROPACK_DOWN = _published_form(-0.81302, 1.51483, 43430.0, 34332.9)


@pytest.mark.parametrize(
    ("form", "ohm", "pulse_v", "width_s", "n", "expected"),
    [
        (SIMULATED_UP, 5000, 0.5, WIDTH_S, 1, 7640),
        (SIMULATED_UP, 4500, 1.5, 1e-6, 10, 6883),
        (SIMULATED_DOWN, 6883, -1.5, 1e-6, 10, 6108),
        (SIMULATED_UP, 4500, 4.0, WIDTH_S, 1, 10_906),
        (NEUROPACK_UP, 5000, 0.5, WIDTH_S, 1, 8120),
        (NEUROPACK_DOWN, 5000, -1.5, WIDTH_S, 1, -3400),
        (NEUROPACK_UP, 5000, 1.2, WIDTH_S, 1, 6190),
        (NEUROPACK_UP, 5000, 1.5, WIDTH_S, 1, 5100),
    ],
)
def test_the_exact_solution_with_published_parameter_sets(form, ohm, pulse_v, width_s, n, expected):
    for _ in range(n):
        ohm = switched_ohm(form(pulse_v), ohm, pulse_v, width_s)
    assert ohm == pytest.approx(expected, abs=6)


# -- conduction


def _rms_error(published, ohm):
    errors = [resistance_at_ohm(A, ohm, v) / r - 1 for v, r in published.items()]
    return math.sqrt(np.mean(np.square(errors)))


def _best_ohm(published):
    return min(np.arange(4000.0, 5000.0, 2.0), key=lambda ohm: _rms_error(published, ohm))


@pytest.mark.parametrize(
    ("published", "limit"),
    [(PUBLISHED_UP, 0.0090), (PUBLISHED_DOWN, 0.0035), (PUBLISHED_BACK, 0.0045)],
    ids=["up", "down", "back"],
)
def test_the_published_curve(published, limit):
    assert _rms_error(published, _best_ohm(published)) < limit


@pytest.mark.parametrize(
    ("kilo_ohm", "ratio"),
    [(2.0, 1.06), (2.66, 1.14), (3.71, 1.24), (5.0, 1.34), (10.0, 1.55), (20.0, 1.69)],
)
def test_resistance_depends_on_the_read_voltage(kilo_ohm, ratio):
    ohm = 1e3 * kilo_ohm
    assert resistance_at_ohm(B, ohm, 0.5) == pytest.approx(ohm, rel=1e-6)
    assert resistance_at_ohm(B, ohm, 0.3) / ohm == pytest.approx(ratio, abs=0.006)


@pytest.mark.parametrize(("volt", "milli_a"), [(0.5, 0.13), (2.0, 1.1), (4.0, 2.7)])
def test_currents_of_the_published_device(volt, milli_a):
    assert 1e3 * current_a(B, 3700, volt) == pytest.approx(milli_a, rel=0.05)


@pytest.mark.parametrize("ohm", [150.0, 1000.0, 1600.0, 3700.0, 20_000.0, 20e6])
@pytest.mark.parametrize("volt", [0.001, 0.1, 0.5, 2.0, 12.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_current_solves_its_equation_and_has_an_inverse(ohm, volt, sign):
    current = current_a(B, ohm, sign * volt)
    assert current * sign > 0
    assert bias_for_v(B, ohm, current) == pytest.approx(sign * volt, rel=1e-4)


def test_a_reading_at_no_voltage_is_refused():
    with pytest.raises(ValueError, match="other than 0"):
        resistance_at_ohm(B, 5000, 0.0)


# -- noise, memory, damage


def test_read_noise_is_that_of_the_published_bursts():
    one = device(noise=NoiseSettings(read_noise=3.4e-4))

    def spread(read_v, n_cycles):
        read = [one.read_ohm(read_v, n_cycles, 0.0) for _ in range(4000)]
        return np.std(read) / np.mean(read)

    assert spread(0.5, 50) == pytest.approx(3.4e-4, rel=0.1)
    assert spread(0.25, 50) == pytest.approx(6.8e-4, rel=0.1)
    assert spread(0.5, 5000) == pytest.approx(3.4e-5, rel=0.1)


def test_slow_noise_has_its_size_and_forgets_slowly():
    ones = [device(noise=NoiseSettings(flicker=2e-3), seed=k) for k in range(300)]
    first = np.array([d.read_ohm(0.5, 50, 0.0) for d in ones]) / 5000 - 1
    soon = np.array([d.read_ohm(0.5, 50, 1e-3) for d in ones]) / 5000 - 1
    late = np.array([d.read_ohm(0.5, 50, 1e6) for d in ones]) / 5000 - 1
    assert np.std(first) == pytest.approx(2e-3, rel=0.2)
    assert np.corrcoef(first, soon)[0, 1] > 0.95
    assert abs(np.corrcoef(first, late)[0, 1]) < 0.2


def test_telegraph_noise_is_in_some_devices_and_has_two_states():
    settings = NoiseSettings(telegraph_share=0.15)
    n_with = 0
    for seed in range(400):
        one = device(noise=settings, seed=seed)
        levels = {round(one.read_ohm(0.5, 50, 5.0 * k), 6) for k in range(60)}
        assert len(levels) <= 2
        n_with += len(levels) == 2
        assert max(levels) / min(levels) - 1 < 0.02
    assert 40 <= n_with <= 80


def test_a_part_of_a_step_fades():
    one = device(noise=NoiseSettings(volatile_part=0.1, volatile_s=0.5))
    one.pulse(1.5, WIDTH_S, 0.0)
    step = one.true_ohm(0.0) - 5000
    assert step == pytest.approx(431.5, rel=1e-3)
    assert one.true_ohm(0.5) - 5000 == pytest.approx(step * (0.9 + 0.1 / math.e))
    assert one.true_ohm(1e6) - 5000 == pytest.approx(step * 0.9)


def test_a_negative_part_creeps_on_as_the_published_device_did():
    one = device(noise=NoiseSettings(volatile_part=-0.05))
    one.pulse(1.5, WIDTH_S, 0.0)
    assert one.true_ohm(100.0) > one.true_ohm(0.0) > 5000


def test_fatigue_raises_the_lower_state_by_the_published_part_for_ten_cycles():
    one = device(replace(B, positive=replace(B.positive, rate_per_ohm_s=1.0)), 2000.0,
                 NoiseSettings(fatigue_per_cycle=0.013))  # fmt: skip
    lows = []
    for _ in range(14):
        one.pulse(2.0, 1e-3, 0.0)
        one.pulse(-2.0, 10e-3, 0.0)
        lows.append(one.true_ohm(0.0))
    assert lows[9] == pytest.approx(2000 * 1.013**10, rel=2e-3)
    assert lows[-1] == pytest.approx(lows[9], rel=2e-3)


@pytest.mark.parametrize(("pulse_v", "width_s"), [(5.1, 1e-6), (-12.0, 1e-6), (1.5, 0.1)])
def test_a_pulse_beyond_reason_makes_a_short_for_ever(pulse_v, width_s):
    one = device()
    one.pulse(pulse_v, width_s, 0.0)
    assert one.is_damaged
    one.pulse(1.5, WIDTH_S, 0.0)
    assert one.true_ohm(0.0) < 300


def test_a_long_step_below_the_threshold_harms_nothing():
    one = device()
    one.pulse(0.9, 5.0, 0.0)
    assert not one.is_damaged
    assert one.true_ohm(0.0) == 5000


@pytest.mark.parametrize("noise", [NOISE_OFF, NOISE_MILD, NOISE_FULL], ids=["off", "mild", "full"])
@pytest.mark.parametrize("pulse_v", [1.5, -1.5])
@pytest.mark.parametrize("first_ohm", [4700.0, 7500.0])
def test_two_hundred_pulses_of_the_2020_demo(noise, pulse_v, first_ohm):
    """Device of preset B, 1.5 V for 100 us: moves visibly, one way, and stays in the window."""
    one = device(B, first_ohm, noise)
    truth = [first_ohm]
    for k in range(200):
        one.pulse(pulse_v, WIDTH_S, 2.0 * k)
        truth.append(one.true_ohm(2.0 * k))
        assert 100 < one.read_ohm(0.5, 50, 2.0 * k) < 100e6
    steps = np.diff(truth) * pulse_v
    faded = 0.002 * first_ohm if noise is NOISE_FULL else 0.0
    assert np.all(steps[:10] > 0)
    assert np.all(steps >= -faded)  # what a volatile device gives back between two pulses
    assert abs(truth[10] / first_ohm - 1) > 0.3
    assert min(truth) >= 2000
    assert max(truth) <= 20_000


# -- the array


def crossbar(model=B, scatter=NO_SCATTER, shape=(4, 4), seed=1):
    return Crossbar(model, NOISE_OFF, seed, shape, 6000.0, {(1, 1): 5000.0}, lambda: 0, scatter)


@pytest.mark.parametrize(
    ("name", "pulse_v", "part", "is_disturbed"),
    [
        ("B", 2.0, 1 / 2, False),
        ("A", 2.0, 1 / 2, False),
        ("B", 4.0, 1 / 2, True),
        ("A", 4.0, 1 / 2, True),
        ("C", 4.0, 1 / 2, False),
        ("B", 2.9, 1 / 3, False),
        ("B", 4.0, 0.0, False),
    ],
)
def test_half_selected_devices(name, pulse_v, part, is_disturbed):
    array = crossbar(PRESETS[name])
    array.pulse(1, 1, pulse_v, WIDTH_S, part)
    for place in ((1, 2), (1, 4), (4, 1)):
        assert (array.true_ohm(*place) != 6000) == is_disturbed
    assert array.true_ohm(2, 2) == 6000
    assert array.n_pulses == 1


def test_a_limit_lowers_the_voltage_until_the_current_is_at_it():
    array = crossbar()
    assert array.limited_v(1, 1, 1.0, 0.0) == 1.0
    assert array.limited_v(1, 1, 1.0, 1.0) == 1.0
    lowered = array.limited_v(1, 1, -1.0, 2e-4)
    assert -1.0 < lowered < 0
    assert current_a(B, 5000, lowered) == pytest.approx(-2e-4, rel=1e-3)


def test_a_pulse_into_nothing_is_remembered_too():
    array = crossbar()
    array.pulse(9, 1, 2.0, WIDTH_S, 0.5)
    assert array.pulses[0].before_ohm == array.pulses[0].after_ohm == OPEN_OHM


def test_a_device_is_the_same_whatever_was_looked_at_before():
    one, other = (crossbar(scatter=SCATTER) for _ in range(2))
    for place in reversed(other.places):
        other.true_ohm(*place)
    assert [one.true_ohm(*p) for p in one.places] == [other.true_ohm(*p) for p in other.places]
    assert one.true_ohm(1, 1) == 5000


def test_scatter_has_the_sizes_it_says():
    rng = np.random.default_rng(4)
    devices = [scattered(B, 6000.0, SCATTER, rng) for _ in range(4000)]
    ohms = np.array([ohm for _, ohm in devices])
    works = (ohms > 300) & (ohms < 10e6)
    assert np.mean(ohms > 10e6) == pytest.approx(0.02, abs=0.007)
    assert np.mean(ohms < 300) == pytest.approx(0.01, abs=0.005)
    assert np.median(ohms[works]) == pytest.approx(6000, rel=0.03)
    assert np.std(np.log(ohms[works])) == pytest.approx(0.35, rel=0.05)
    models = [model for (model, _), ok in zip(devices, works, strict=True) if ok]
    rates = np.log([m.positive.rate_per_ohm_s / B.positive.rate_per_ohm_s for m in models])
    assert np.std(rates) == pytest.approx(0.4, rel=0.05)
    assert np.std([m.negative.threshold_v for m in models]) == pytest.approx(0.06, rel=0.05)


def test_a_stuck_device_does_not_move():
    rng = np.random.default_rng(4)
    stuck = [d for d in (scattered(B, 6e3, SCATTER, rng) for _ in range(400)) if d[1] > 10e6]
    model, ohm = stuck[0]
    one = Memristor(model, ohm, NOISE_OFF, np.random.default_rng(1))
    one.pulse(-2.0, WIDTH_S, 0.0)
    assert one.true_ohm(0.0) == pytest.approx(ohm)
