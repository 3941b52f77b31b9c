"""What procedures ask for, what the Gate would say to it, and the pictures of what came."""

from dataclasses import replace

import numpy as np
import pytest
from bench_rig import LIMITS, limits
from test_bench_files import POINT, pulse

from app.bench.forms import BY_NAME, FORMS, AskedError
from app.bench.order_check import check_order
from app.console.happenings import ProcedureEnded, ProcedurePoints
from app.gui.bench.pictures import picture_of
from app.gui.bench.seen import BenchSeen
from drivers.smu.arc_one.driver import CAPABILITIES
from drivers.smu.keithley_2600.wire import Keithley2600

NAN = float("nan")


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_nothing_but_a_value_in_its_bounds_is_taken(form) -> None:
    for asked in form.asked:
        for given in (NAN, float("inf"), "1_5", "１", "1,5", b"1", [], object(), 1e300):
            with pytest.raises(AskedError):
                asked.taken(given)


def test_what_is_left_open_has_its_default_and_what_must_be_given_is_asked_for() -> None:
    values = BY_NAME["iv"].taken({"up": 2})
    assert (values["up"], values["down"], values["span"], values["no-halt"]) == (
        2.0,
        1.0,
        "both",
        False,
    )
    assert BY_NAME["program"].taken({"target": 6e3})["max-volts"] is None
    with pytest.raises(AskedError, match="target must be given"):
        BY_NAME["program"].taken({})
    assert BY_NAME["map"].taken({"volts": "1 -1", "widths": (1e-4,)})["volts"] == (1.0, -1.0)


@pytest.mark.parametrize(
    ("procedure", "given", "said"),
    [
        ("pulse", {"volts": 2.5, "width": 1e-4}, "pulse of 2.5 V, allowed up to +-2 V"),
        ("pulse", {"volts": -2.5, "width": 1e-4}, "pulse of -2.5 V"),
        ("pulse", {"volts": 1.0, "width": 20e-3}, "allowed 100 ns to 10 ms"),
        ("iv", {"down": 3.0}, "pulse of -3 V"),
        ("endurance", {"volts": 2.5, "width": 1e-4}, "pulse of 2.5 V"),
        ("map", {"volts": (1.0, -2.5), "widths": (1e-4,)}, "pulse of -2.5 V"),
        ("form", {"stop": 5.0}, "max_forming_v"),
        ("program", {"target": 6e3, "max-volts": 2.5}, "pulse of 2.5 V"),
        ("pulse", {"volts": 1.0, "width": 10e-6}, "makes pulses of 0.0001 to"),
    ],
)
def test_what_the_gate_or_the_unit_would_refuse_is_said_before(procedure, given, said) -> None:
    values = BY_NAME[procedure].taken(given)
    refusals = check_order(procedure, values, "a", LIMITS, Keithley2600.can).refusals
    assert said in refusals[0]
    assert "experiment" not in refusals[0]


@pytest.mark.parametrize(
    ("procedure", "given", "n_pulses"),
    [
        ("read", {}, 0),
        ("pulse", {"volts": 1.0, "width": 1e-4, "times": 7}, 7),
        ("iv", {"up": 0.5, "down": 0.3, "cycles": 2}, 2 * (9 + 5)),
        ("iv", {"up": 0.5, "down": 3.0, "span": "up"}, 9),
        ("endurance", {"volts": 1.0, "width": 1e-4, "cycles": 10, "pulses": 3}, 60),
        ("map", {"volts": "1 -1", "widths": "1e-5 1e-4 1e-3", "repeats": 2}, 12),
        ("form", {"start": 1.0, "stop": 2.0}, 11),
        ("program", {"target": 6e3}, 20),
    ],
)
def test_what_is_allowed_is_counted(procedure, given, n_pulses) -> None:
    values = BY_NAME[procedure].taken(given)
    in_force = limits(max_per_second=10)
    found = check_order(procedure, values, "a", in_force, CAPABILITIES)
    assert found.refusals == ()
    assert found.n_pulses == n_pulses
    assert found.shortest_s == pytest.approx(n_pulses / 10)


def test_a_staircase_is_refused_where_the_unit_makes_none_and_where_it_lasts_too_long() -> None:
    values = BY_NAME["iv"].taken({"shape": "staircase", "width": 1e-3})
    (refusal,) = check_order("iv", values, "a", limits(max_width_s=0.1), CAPABILITIES).refusals
    assert "returns to 0 V after every level" in refusal
    (refusal,) = check_order("iv", values, "a", LIMITS, Keithley2600.can).refusals
    assert "pulse of 19 ms, allowed 100 ns to 10 ms" in refusal
    found = check_order("iv", values, "a", limits(max_width_s=0.1), Keithley2600.can)
    assert (found.refusals, found.n_pulses) == ((), 2)  # one to the Gate for each polarity


def test_a_curve_shows_where_the_compliance_was() -> None:
    values = BY_NAME["iv"].taken({})
    picture = picture_of("iv", [pulse("CT", v) for v in (0.5, 1.0, 1.5)], values)
    assert [len(curve.x) for curve in picture.curves] == [3, 1]
    assert picture.curves[1].label == "at compliance"


def test_programming_shows_its_target_and_each_device() -> None:
    points = [replace(POINT, tag="CTS", device=name) for name in ("a", "b", "a")]
    picture = picture_of("program", points, BY_NAME["program"].taken({"target": 6000.0}))
    assert picture.band == pytest.approx((5.88, 6.12))
    assert [(curve.label, len(curve.x)) for curve in picture.curves] == [("a", 2), ("b", 1)]


def test_a_map_is_a_table_with_gaps_where_nothing_was_measured() -> None:
    values = BY_NAME["map"].taken({"volts": (1.0, -1.0), "widths": (1e-4, 1e-3)})
    picture = picture_of("map", [pulse("MAP", 1.0), pulse("MAP", 1.0)], values)
    assert (picture.rows, picture.columns) == (("-1", "+1"), ("100", "1000"))
    assert picture.table[1, 0] == pytest.approx(10.0)
    assert np.isnan(picture.table).sum() == 3


@pytest.mark.parametrize("form", [form for form in FORMS if form.name != "unfreeze"])
def test_every_procedure_has_a_picture_of_nothing(form) -> None:
    given = {a.name: 1.0 for a in form.asked if getattr(a, "is_required", False)}
    assert picture_of(form.name, [], form.taken(given))


def test_a_window_that_looked_late_says_what_it_missed() -> None:
    seen = BenchSeen()
    seen.take(ProcedurePoints(time_ns=0, number=2, first=5, points=(POINT, POINT)))
    seen.take(ProcedurePoints(time_ns=0, number=2, first=9, points=(POINT,)))
    assert (seen.run.n_seen, seen.run.n_missed) == (3, 7)
    seen.take(ProcedurePoints(time_ns=0, number=1, first=0, points=(POINT,)))  # an older one's
    assert seen.run.n_seen == 3
    ended = ProcedureEnded(
        time_ns=0, number=2, procedure="iv", devices=("a",), is_well=True, lines=("x",),
        n_points=10, folder="f", files=(),
    )  # fmt: skip
    seen.take(ended)
    assert seen.run.ended == ended
