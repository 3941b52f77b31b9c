"""What an electrode may receive and how often."""

import math
from dataclasses import replace

import msgspec
import pytest

from app.config.limits import StimulationLimits
from app.safety.requests import CauseKind, RefusalReason
from app.safety.stimulation_limits import judge_pattern, refused_patterns
from app.safety.stimulator_judge import StimulatorJudge
from drivers.mea.protocol import Pattern
from drivers.permit import DriveNeuron, Permit, Stimulate
from tests.test_gate_rig import MS, PULSE, SECOND, START, Rig, armed_rig, stimulator

AREA_UM2 = 100_000.0
LIMITS = StimulationLimits()
NUMBERS = [
    "first_amplitude_a",
    "first_duration_s",
    "second_amplitude_a",
    "second_duration_s",
    "interphase_s",
    "period_s",
    "n_pulses",
]


def verdict(limits=LIMITS, area_um2=AREA_UM2, channels=("A-000",), **changes):
    pattern = Pattern(1, channels, replace(PULSE, **changes))
    refusal = judge_pattern("mea", pattern, limits, area_um2)
    if refusal is None:
        return None
    assert refusal.sentence.startswith("mea, pattern 1: ")
    assert "allowed" in refusal.sentence
    return refusal.reason


def both(**changes):
    """The same change for both phases."""
    return {
        f"{phase}_{name}": value for phase in ("first", "second") for name, value in changes.items()
    }


def up(value):
    return math.nextafter(value, math.inf)


def down(value):
    return math.nextafter(value, -math.inf)


def test_a_careful_pattern_passes():
    assert verdict() is None


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, True])
def test_no_number_may_be_none(field, bad):
    assert verdict(**{field: bad}) is RefusalReason.MALFORMED


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("bad", [-1e-6, -1])
def test_no_number_may_be_negative(field, bad):
    is_meaningless = field == "period_s"
    refused = verdict(**{field: bad, **({"n_pulses": 2} if is_meaningless else {})})
    assert refused is not None


def test_a_count_is_whole_and_a_channel_stands_once():
    assert verdict(n_pulses=1.0) is RefusalReason.MALFORMED
    assert verdict(channels=("A-000", "A-000")) is RefusalReason.MALFORMED


@pytest.mark.parametrize("phase", ["first", "second"])
def test_current_of_each_phase(phase):
    other = {"first_duration_s": 100e-6, "second_duration_s": 100e-6}
    assert verdict(**both(amplitude_a=3e-6), **other) is None
    field = f"{phase}_amplitude_a"
    assert verdict(**{field: up(3e-6)}) is RefusalReason.CURRENT
    assert verdict(**{field: 0.0}) is RefusalReason.CURRENT


def test_charge_per_phase_at_its_limit_and_above():
    limits = StimulationLimits(max_charge_per_phase_c=0.4e-9)
    assert verdict(limits) is None
    assert verdict(limits, **both(duration_s=200.001e-6)) is RefusalReason.CHARGE
    # The second phase alone too much; the first is judged before the balance is.
    assert verdict(limits, second_duration_s=201e-6) is RefusalReason.CHARGE


def test_three_microamperes_for_a_millisecond_are_three_nanocoulombs():
    assert verdict(**both(amplitude_a=3e-6, duration_s=1e-3), area_um2=1e6) is None


def test_rounding_is_forgiven_by_a_billionth_and_no_more():
    # Phases of 1 s on 1 m2: charge, density and current are the same number.
    limit, loose = 0.5, 10.0
    most = limit * (1 + 1e-9)
    cases = {
        "max_charge_per_phase_c": RefusalReason.CHARGE,
        "max_charge_density_c_per_m2": RefusalReason.CHARGE_DENSITY,
    }
    for field, reason in cases.items():
        values = {
            "max_current_a": loose,
            "max_charge_per_phase_c": loose,
            "max_charge_density_c_per_m2": loose,
            field: limit,
        }
        limits = StimulationLimits(**values)
        at, above = (
            verdict(limits, 1e12, **both(amplitude_a=amplitude_a, duration_s=1.0))
            for amplitude_a in (most, up(most))
        )
        assert at is not reason
        assert above is reason
    even = StimulationLimits(
        max_current_a=loose,
        max_charge_per_phase_c=loose,
        max_charge_density_c_per_m2=loose,
        max_shannon_k=100.0,
        max_imbalance=0.5 - 1e-9,
    )
    one = {"first_amplitude_a": 1.0, **both(duration_s=1.0)}
    assert even.max_imbalance + 1e-9 == 0.5
    assert verdict(even, 1e12, second_amplitude_a=0.5, **one) is RefusalReason.PHASE_WIDTH
    assert verdict(even, 1e12, second_amplitude_a=0.5 - 1e-12, **one) is RefusalReason.BALANCE


def test_patterns_that_are_refused_each_time_are_known_beforehand():
    loud = Pattern(2, ("A-001",), replace(PULSE, first_amplitude_a=4e-6))
    profile = stimulator(patterns={1: Pattern(1, ("A-000",), PULSE), 2: loud})
    (refusal,) = refused_patterns(profile)
    assert refusal.sentence.startswith("mea, pattern 2: a phase of 4 uA")


def test_a_train_s_period_is_at_least_its_pulse():
    one_s = PULSE.first_duration_s + PULSE.interphase_s + PULSE.second_duration_s
    assert verdict(n_pulses=2, period_s=one_s) is None
    assert verdict(n_pulses=2, period_s=down(one_s)) is RefusalReason.DURATION


def test_charge_density_counts_the_area_and_the_larger_phase():
    # 0.4 nC on 400 um2 is 1 C/m2, the limit.
    assert verdict(area_um2=400.0) is None
    assert verdict(area_um2=399.9) is RefusalReason.CHARGE_DENSITY
    larger_second = {"second_duration_s": 201e-6}
    assert verdict(area_um2=400.0, **larger_second) is RefusalReason.CHARGE_DENSITY
    # safety.md's table: 3 nC on a 30 um disc is 424 uC/cm2.
    refused = judge_pattern(
        "mea",
        Pattern(1, ("A-000",), replace(PULSE, **both(amplitude_a=3e-6, duration_s=1e-3))),
        LIMITS,
        707.0,
    )
    assert "4.243 C/m2" in refused.sentence


@pytest.mark.parametrize(
    ("second_s", "is_balanced"), [(202e-6, 1), (198e-6, 1), (202.1e-6, 0), (197.9e-6, 0)]
)
def test_balance_within_one_percent_either_way(second_s, is_balanced):
    expected = None if is_balanced else RefusalReason.BALANCE
    assert verdict(second_duration_s=second_s) is expected


def test_a_monophasic_pulse_is_refused():
    assert verdict(second_amplitude_a=0.0) is RefusalReason.CURRENT
    assert verdict(second_duration_s=0.0) is RefusalReason.CHARGE


@pytest.mark.parametrize("phase", ["first", "second"])
def test_phase_width(phase):
    field = f"{phase}_duration_s"
    loose = StimulationLimits(max_imbalance=0.05, reason="r", confirmed_by="c")
    small = both(amplitude_a=1e-6)
    assert verdict(**small, **both(duration_s=20e-6)) is None
    assert (
        verdict(loose, **small, **{**both(duration_s=20e-6), field: down(20e-6)})
        is RefusalReason.PHASE_WIDTH
    )
    assert verdict(**small, **both(duration_s=1e-3), area_um2=1e6) is None
    wide = {**both(duration_s=1e-3), field: up(1e-3)}
    assert verdict(loose, **small, **wide, area_um2=1e6) is RefusalReason.PHASE_WIDTH


def test_pulses_per_trigger():
    assert verdict(n_pulses=10) is None
    assert verdict(n_pulses=11) is RefusalReason.N_PULSES
    assert verdict(n_pulses=0) is RefusalReason.N_PULSES


def test_electrodes_of_one_pattern():
    assert verdict(channels=("a", "b", "c", "d")) is None
    assert verdict(channels=("a", "b", "c", "d", "e")) is RefusalReason.N_ELECTRODES
    assert verdict(channels=()) is RefusalReason.N_ELECTRODES


def test_a_trigger_ends_by_itself_within_a_second():
    assert verdict(interphase_s=5e-3) is None
    assert verdict(interphase_s=up(5e-3)) is RefusalReason.DURATION
    assert verdict(n_pulses=2, period_s=0.9996) is None
    assert verdict(n_pulses=2, period_s=0.9997) is RefusalReason.DURATION
    assert verdict(n_pulses=2, period_s=399e-6) is RefusalReason.DURATION
    assert verdict(n_pulses=1, period_s=0.0) is None


def test_the_gate_refuses_a_bad_pattern_with_its_own_word():
    loud = replace(PULSE, **both(amplitude_a=3.1e-6, duration_s=100e-6))
    rig = armed_rig(stimulator(patterns={1: Pattern(1, ("A-000",), loud)}))
    refusal = rig.ask(Stimulate(1))
    assert refusal.reason is RefusalReason.CURRENT
    assert "3.1 uA" in refusal.sentence
    assert "3 uA" in refusal.sentence


def limited(**limits):
    values = {"min_interval_s": 1e-3, "reason": "test", "confirmed_by": "nobody", **limits}
    return armed_rig(stimulator(limits=StimulationLimits(**values)))


def test_interval_of_one_electrode():
    rig = armed_rig()
    assert rig.reason(Stimulate(1)) is None
    rig.now_ns += 5 * MS - 1
    assert rig.reason(Stimulate(1)) is RefusalReason.INTERVAL
    assert rig.reason(Stimulate(2)) is None
    rig.now_ns += 1
    assert rig.reason(Stimulate(1)) is None


def test_no_trigger_before_the_train_before_it_has_ended():
    train = replace(PULSE, n_pulses=3, period_s=0.01)
    rig = armed_rig(stimulator(patterns={1: Pattern(1, ("A-000",), train)}))
    assert rig.reason(Stimulate(1)) is None
    rig.now_ns += 20_399_999
    assert rig.reason(Stimulate(1)) is RefusalReason.INTERVAL
    rig.now_ns += 1
    assert rig.reason(Stimulate(1)) is None


def test_electrodes_of_several_patterns_at_once():
    rig = armed_rig()
    assert rig.reason(Stimulate(3)) is None
    assert rig.reason(Stimulate(2)) is RefusalReason.N_ELECTRODES
    assert rig.reason(Stimulate(1)) is None
    rig.now_ns += 399_999
    assert rig.reason(Stimulate(2)) is RefusalReason.N_ELECTRODES
    rig.now_ns += 1
    assert rig.reason(Stimulate(2)) is None


def test_rate_of_one_electrode_whatever_the_cause():
    rig = limited(max_per_second=3)
    operator = {"kind": CauseKind.OPERATOR}
    for _ in range(3):
        assert rig.reason(Stimulate(1), **operator) is None
        rig.now_ns += 10 * MS
    assert rig.reason(Stimulate(1), **operator) is RefusalReason.RATE
    assert rig.reason(Stimulate(2), **operator) is None
    rig.pass_time(SECOND - 30 * MS - 1)
    assert rig.reason(Stimulate(1), **operator) is RefusalReason.RATE
    rig.now_ns += 1
    assert rig.reason(Stimulate(1), **operator) is None
    assert rig.reason(Stimulate(1), **operator) is RefusalReason.INTERVAL


@pytest.mark.parametrize(
    ("cause", "is_remote"),
    [
        ({"kind": CauseKind.PSP}, True),
        ({"kind": CauseKind.RULE}, True),
        ({"kind": CauseKind.PROTOCOL}, False),
        ({"kind": CauseKind.OPERATOR}, False),
        ({"kind": CauseKind.PROTOCOL, "site": "zurich"}, True),
        ({"kind": CauseKind.OPERATOR, "site": "zurich"}, True),
    ],
)
def test_remote_rate_counts_spikes_and_other_sites(cause, is_remote):
    rig = limited(max_remote_per_second=2)
    for _ in range(2):
        assert rig.reason(Stimulate(1), **cause) is None
        rig.now_ns += 10 * MS
    expected = RefusalReason.REMOTE_RATE if is_remote else None
    assert rig.reason(Stimulate(1), **cause) is expected
    rig.now_ns += 10 * MS
    # The other causes have their own room.
    assert rig.reason(Stimulate(1), kind=CauseKind.OPERATOR) is None
    assert rig.reason(Stimulate(2), **cause) is None


def test_culture_rate_counts_one_for_a_trigger_of_several_electrodes():
    rig = limited(max_culture_remote_per_second=3)
    for pattern in (3, 2, 1):
        assert rig.reason(Stimulate(pattern)) is None
        rig.now_ns += 10 * MS
    assert rig.reason(Stimulate(1)) is RefusalReason.CULTURE_RATE
    assert rig.reason(Stimulate(1), kind=CauseKind.PROTOCOL) is None
    rig.pass_time(SECOND - 30 * MS)
    assert rig.reason(Stimulate(1)) is None


def test_hour_dose():
    rig = limited(max_triggers_per_hour=3)
    for _ in range(3):
        assert rig.reason(Stimulate(1)) is None
        rig.pass_time(10 * SECOND)
    assert rig.reason(Stimulate(1)) is RefusalReason.HOUR_DOSE
    assert rig.reason(Stimulate(2)) is None


def test_day_dose():
    rig = limited(max_triggers_per_day=3)
    for _ in range(3):
        assert rig.reason(Stimulate(1)) is None
        jump(rig, 2 * 3600 * SECOND)
    assert rig.reason(Stimulate(1)) is RefusalReason.DAY_DOSE
    # The first trigger's bucket of a minute has left the day 24 h after its own end.
    jump(rig, 18 * 3600 * SECOND + 60 * SECOND)
    assert rig.reason(Stimulate(1)) is None


def jump(rig, ns):
    """Let much time pass at once: the arming trips, and is given anew."""
    rig.now_ns += ns
    rig.gate.tick(rig.now_ns)
    assert rig.gate.acknowledge_trip("ada", rig.now_ns) is None
    assert rig.arm() is None


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("max_charge_per_hour_c", RefusalReason.HOUR_DOSE),
        ("max_charge_per_day_c", RefusalReason.DAY_DOSE),
    ],
)
def test_charge_in_an_hour_and_a_day(field, reason):
    # 0.4 nC each: three are 1.2 nC, exactly the limit.
    rig = limited(**{field: 1.2e-9})
    for _ in range(3):
        assert rig.reason(Stimulate(1)) is None
        rig.pass_time(SECOND)
    refusal = rig.ask(Stimulate(1))
    assert refusal.reason is reason
    assert f"1.6 nC in {reason.split()[0].replace('hour', 'an hour').replace('day', 'a day')}" in (
        refusal.sentence
    )
    assert rig.reason(Stimulate(2)) is None


@pytest.mark.parametrize(
    ("limits", "n_pulses", "charge_c", "reason"),
    [
        ({"max_triggers_per_hour": 5}, 5, 0.0, RefusalReason.HOUR_DOSE),
        ({"max_triggers_per_day": 5}, 5, 0.0, RefusalReason.DAY_DOSE),
        ({"max_charge_per_hour_c": 1e-9}, 1, 0.7e-9, RefusalReason.HOUR_DOSE),
        ({"max_charge_per_day_c": 1e-9}, 1, 0.7e-9, RefusalReason.DAY_DOSE),
    ],
)
def test_earlier_sessions_count(limits, n_pulses, charge_c, reason):
    def after(past):
        rig = Rig(stimulator(limits=StimulationLimits(**limits)))
        for n, c in past:
            rig.gate.note_past("mea", "A-000", START - SECOND, n, c)
        rig.gate.note_past("mea", "unused", START - SECOND, 1000, 1e-3)
        rig.gate.boot_done(rig.now_ns)
        assert rig.arm() is None
        return rig.reason(Stimulate(1))

    assert after([(n_pulses - 1, charge_c / 2)]) is None
    assert after([(n_pulses - 1, charge_c / 2), (1, charge_c / 2)]) is reason


def test_duty_is_the_time_in_which_current_flows():
    # 0.4 ms each; the gap between the phases does not count.
    pulse = replace(PULSE, interphase_s=1e-3)
    limits = StimulationLimits(max_duty=0.0012)
    rig = armed_rig(stimulator(patterns={1: Pattern(1, ("A-000",), pulse)}, limits=limits))
    for _ in range(3):
        assert rig.reason(Stimulate(1), kind=CauseKind.OPERATOR) is None
        rig.now_ns += 10 * MS
    refusal = rig.ask(Stimulate(1), kind=CauseKind.OPERATOR)
    assert refusal.reason is RefusalReason.DUTY
    assert "1.6 ms in a second, allowed 1.2 ms (max_duty)" in refusal.sentence
    rig.pass_time(SECOND - 30 * MS)
    assert rig.reason(Stimulate(1), kind=CauseKind.OPERATOR) is None


def test_residual_charge_adds_up_whatever_its_sign():
    # 1 % of 0.4 nC each way: 4 pC a trigger.
    limits = StimulationLimits(max_residual_charge_c=12e-12)
    patterns = {
        1: Pattern(1, ("A-000",), replace(PULSE, second_duration_s=202e-6)),
        2: Pattern(2, ("A-001",), replace(PULSE, second_duration_s=198e-6)),
    }
    for pattern in (1, 2):
        rig = armed_rig(stimulator(patterns=patterns, limits=limits))
        for _ in range(3):
            assert rig.reason(Stimulate(pattern)) is None
            rig.pass_time(SECOND)
        assert rig.reason(Stimulate(pattern)) is RefusalReason.RESIDUAL
        rig.pass_time(7 * SECOND - 1)
        assert rig.reason(Stimulate(pattern)) is RefusalReason.RESIDUAL
        rig.pass_time(1)
        assert rig.reason(Stimulate(pattern)) is None


def test_shannon_binds_large_electrodes():
    # 3 nC on 10 um: k = 1.06 (safety.md); 1 uC on 1 mm2 is k = 2.0.
    loose = StimulationLimits(
        max_current_a=1e-3, max_charge_per_phase_c=1e-6, max_charge_density_c_per_m2=40.0
    )
    pulse = both(amplitude_a=1e-3, duration_s=1e-3)
    assert verdict(loose, area_um2=1e6, **pulse) is RefusalReason.SHANNON
    k = math.log10(1.0 * 1.0 / 0.05)  # 1 uC on 5 mm2
    assert verdict(loose, area_um2=5e6, **pulse) is None
    charge_c = 1e-3 * 1e-3
    exact_k = math.log10(charge_c * 1e6 * (charge_c / (5e6 * 1e-12)) * 100.0)
    assert exact_k == pytest.approx(k)
    exact = replace_limits(loose, max_shannon_k=exact_k)
    assert verdict(exact, area_um2=5e6, **pulse) is None
    assert verdict(replace_limits(loose, max_shannon_k=down(exact_k)), area_um2=5e6, **pulse) is (
        RefusalReason.SHANNON
    )
    small = replace_limits(loose, max_shannon_k=1.07)
    assert verdict(small, area_um2=78.5, **both(amplitude_a=3e-6, duration_s=1e-3)) is None
    smaller = replace_limits(loose, max_shannon_k=1.05)
    assert verdict(smaller, area_um2=78.5, **both(amplitude_a=3e-6, duration_s=1e-3)) is (
        RefusalReason.SHANNON
    )


def replace_limits(limits, **changes):
    return msgspec.structs.replace(limits, **changes)


@pytest.mark.parametrize("first", [False, None, 0, "yes"])
def test_positive_first_only_where_it_is_allowed(first):
    assert verdict(is_negative_first=first) is RefusalReason.POLARITY
    assert verdict(StimulationLimits(allows_positive_first=True), is_negative_first=first) is None
    assert verdict(StimulationLimits(allows_positive_first="yes"), is_negative_first=first) is (
        RefusalReason.POLARITY
    )


def test_refused_triggers_do_not_count():
    rig = limited(max_per_second=2)
    assert rig.reason(Stimulate(1)) is None
    for _ in range(10):
        assert rig.reason(Stimulate(1)) is RefusalReason.INTERVAL
    rig.now_ns += 10 * MS
    assert rig.reason(Stimulate(1)) is None


@pytest.mark.parametrize(
    ("n", "expected"), [(0, None), (8, None), (9, RefusalReason.QUEUE), (-1, RefusalReason.QUEUE)]
)
def test_queue(n, expected):
    assert armed_rig().reason(Stimulate(1), queue_length=n) is expected


def test_the_judge_takes_only_its_own_actions():
    judge = StimulatorJudge(stimulator())
    with pytest.raises(TypeError):
        judge.count(DriveNeuron(7, 1), is_spike_caused=True, now_ns=0)


def test_a_permit_dies_after_20_ms_and_serves_once():
    rig = armed_rig()
    permit = rig.ask(Stimulate(1))
    assert isinstance(permit, Permit)
    assert permit.spend("mea") == Stimulate(1)
    rig.now_ns += 5 * MS
    permit = rig.ask(Stimulate(1))
    rig.now_ns += 20 * MS + 1
    with pytest.raises(Exception, match="expired"):
        permit.spend("mea")
