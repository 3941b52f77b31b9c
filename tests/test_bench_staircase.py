"""A true staircase: from level to level without 0 V in between, where the unit can."""

import re
from dataclasses import replace

import pytest
from bench_rig import BenchRig
from bench_smu_rig import CELL, DIALECTS, SETTINGS, Rig
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.bench.errors import BenchError
from app.bench.iv_curve import IvSettings, Span, iv_curve
from drivers.errors import SafetyLimitError
from drivers.permit import PulseDevice
from drivers.smu.keithley_2600.staircase import parse_staircase, staircase_message
from drivers.tagged.tsp import TspGrammar

UNIT = "keithley_2600"
OTHERS = sorted(set(DIALECTS) - {UNIT})
LONG = replace(SETTINGS, max_pulse_width_s=0.1)
LEVEL = re.compile(r"levelv = (-?[0-9.]+)")


def levels_in(line: str) -> list[float]:
    return [float(level) for level in LEVEL.findall(line)]


def test_the_program_of_two_steps_word_for_word() -> None:
    message = staircase_message(SETTINGS, PulseDevice(1, 1, 1.0, 3e-3), 2, halts=True)
    assert TspGrammar().compose(7, message) == (
        "c1, c2 = nil d1, d2 = nil smua.measure.nplc = 0.020 "
        "smua.source.levelv = 0.500000 delay(0.000500) i1, v1 = smua.measure.iv() "
        "c1 = smua.source.compliance "
        "if not c1 then "
        "smua.source.levelv = 1.000000 delay(0.000500) i2, v2 = smua.measure.iv() "
        "c2 = smua.source.compliance "
        "smua.source.levelv = 0.500000 delay(0.000500) j1, w1 = smua.measure.iv() "
        "d1 = smua.source.compliance end "
        "smua.source.levelv = 0 smua.measure.nplc = 0.100 "
        'print("#7", v1, i1, c1, v2, i2, c2, w1, j1, d1, smua.source.output, errorqueue.count)'
    )


def test_a_staircase_goes_out_and_back_and_ends_at_zero() -> None:
    rig = Rig(UNIT, LONG)
    rig.driver.open()
    rig.driver.read_agreed(CELL)
    rig.wire.sent.clear()
    outcome = rig.driver.staircase(rig.permit(1.0, 19e-3), 10, halts=True)
    volts = [step.voltage_v for step in outcome.steps]
    assert volts == pytest.approx([k / 10 for k in (*range(1, 11), *range(9, 0, -1))])
    assert all(step.current_a > 0 for step in outcome.steps)
    assert outcome.device == CELL
    assert outcome.after is not None
    (program,) = (line for line in rig.wire.sent if line.count("levelv") > 2)
    assert levels_in(program).count(0.0) == 1  # the last
    assert rig.wire.instrument.output.level_v == 0.0


def test_it_turns_back_where_the_compliance_is_reached() -> None:
    rig = Rig(UNIT, replace(LONG, compliance_a=1e-4))
    rig.driver.open()
    rig.driver.read_agreed(CELL)
    outcome = rig.driver.staircase(rig.permit(1.0, 19e-3), 10, halts=True)
    limited = [step.is_limited for step in outcome.steps]
    top = limited.index(True)
    assert 2 < top < 9
    assert len(limited) == 2 * top + 1
    assert sum(limited) == 1
    assert outcome.is_limited
    on = rig.driver.staircase(rig.permit(1.0, 19e-3), 10, halts=False)
    assert len(on.steps) == 19
    assert sum(step.is_limited for step in on.steps) > 1


@pytest.mark.parametrize("unit", OTHERS)
def test_a_unit_that_cannot_refuses_before_a_byte(unit: str) -> None:
    rig = Rig(unit)
    rig.driver.open()
    rig.driver.read_agreed(CELL)
    rig.wire.sent.clear()
    assert rig.driver.capabilities.min_step_s is None
    with pytest.raises(SafetyLimitError, match="returns to 0 V after every level"):
        rig.driver.staircase(rig.permit(1.0, 10e-3), 2, halts=True)
    assert not rig.wire.sent


@pytest.mark.parametrize(
    ("amplitude_v", "width_s", "n_steps", "why"),
    [
        (1.0, 19e-3, 0, "allowed are 1 to 20"),
        (1.0, 50e-3, 21, "allowed are 1 to 20"),
        (1.0, 1e-3, 10, "allowed from 0.0005 s"),
        (float("nan"), 19e-3, 10, "pulse of nan V"),
        (7.0, 19e-3, 10, "pulse of 7.0 V"),
    ],
)
def test_what_is_outside_is_refused_before_a_byte(
    amplitude_v: float, width_s: float, n_steps: int, why: str
) -> None:
    rig = Rig(UNIT, LONG)
    rig.driver.open()
    rig.driver.read_agreed(CELL)
    rig.wire.sent.clear()
    with pytest.raises(SafetyLimitError, match=why):
        rig.driver.staircase(rig.permit(amplitude_v, width_s), n_steps, halts=True)
    assert not rig.wire.sent


def test_a_permit_is_spent_once_and_a_trip_stops_it() -> None:
    rig = Rig(UNIT, LONG)
    rig.driver.open()
    rig.driver.read_agreed(CELL)
    permit = rig.permit(1.0, 19e-3)
    rig.driver.staircase(permit, 10, halts=True)
    with pytest.raises(SafetyLimitError, match="already spent"):
        rig.driver.staircase(permit, 10, halts=True)
    n_programs = sum(line.count("levelv") > 2 for line in rig.wire.sent)
    with pytest.raises(SafetyLimitError, match="tripped"):
        rig.driver.staircase(rig.permit(1.0, 19e-3, is_tripped=lambda: True), 10, halts=True)
    assert sum(line.count("levelv") > 2 for line in rig.wire.sent) == n_programs


def test_a_lost_answer_is_an_unconfirmed_staircase_that_is_not_sent_again() -> None:
    rig = Rig(UNIT, LONG)
    rig.driver.open()
    rig.driver.read_agreed(CELL)
    rig.wire.on_reply = lambda n, text: [] if text.count("\t") > 20 else [(0.0, text)]
    outcome = rig.driver.staircase(rig.permit(1.0, 19e-3), 10, halts=True)
    assert (outcome.is_confirmed, outcome.steps) == (False, ())
    assert "the staircase may have happened" in outcome.detail
    assert sum(line.count("levelv") > 2 for line in rig.wire.sent) == 1


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    amplitude_v=st.floats(0.01, 6.0).map(lambda v: round(v, 6)),
    sign=st.sampled_from((1, -1)),
    n_steps=st.integers(1, 20),
    width_s=st.floats(1e-3, 0.1),
    halts=st.booleans(),
)
def test_no_level_is_above_the_permitted_amplitude(
    amplitude_v: float, sign: int, n_steps: int, width_s: float, halts: bool
) -> None:
    pulse = PulseDevice(1, 1, sign * amplitude_v, width_s)
    line = TspGrammar().compose(1, staircase_message(SETTINGS, pulse, n_steps, halts=halts))
    levels = levels_in(line)
    assert len(levels) == 2 * n_steps  # out, back, and 0 V
    assert all(0 <= sign * level <= amplitude_v + 1e-9 for level in levels)
    assert levels[-1] == 0.0


def test_answers_that_are_no_way_out_and_back_are_not_believed() -> None:
    made, skipped = ["0.1", "1e-5", "false"], ["nil", "nil", "nil"]
    assert len(parse_staircase((*made, *made, *made, "1"), 2)) == 3
    with pytest.raises(Exception, match="is none"):
        parse_staircase((*made, *made, *skipped, "1"), 2)
    with pytest.raises(Exception, match="is none"):
        parse_staircase((*skipped, *made, *skipped, "1"), 2)


def test_a_curve_as_a_staircase_is_refused_by_name_where_the_unit_cannot(tmp_path) -> None:
    rig = BenchRig(tmp_path)
    asked = IvSettings(up_v=0.5, down_v=0.5, step_v=0.1, width_s=1e-3, is_staircase=True)
    with pytest.raises(BenchError, match="no staircase; trace a pulsed curve"):
        iv_curve(rig.bench, "a", asked)
    assert rig.smu.crossbar.n_pulses == 0


def test_a_curve_as_a_staircase_is_one_permit_for_each_polarity(tmp_path) -> None:
    rig = BenchRig(tmp_path)
    wire = Rig(UNIT, LONG)
    wire.driver.name = "smu1"
    wire.driver.open()
    rig.bench.smu = rig.bench._delivery.smu = wire.driver
    asked = IvSettings(
        up_v=0.5, down_v=0.3, step_v=0.1, width_s=1e-3, is_staircase=True, span=Span.BOTH_UP_FIRST
    )
    points = iv_curve(rig.bench, "a", asked)
    assert [round(p.voltage_v, 3) for p in points] == [
        0.1, 0.2, 0.3, 0.4, 0.5, 0.4, 0.3, 0.2, 0.1, -0.1, -0.2, -0.3, -0.2, -0.1,
    ]  # fmt: skip
    assert [row.verdict for row in rig.audit] == ["permit", "delivered"] * 2
    kept = [p for p in rig.bench.points if p.tag == "CT"]
    assert len(kept) == 14
    assert [p.resistance_ohm is not None for p in kept].count(True) == 2
