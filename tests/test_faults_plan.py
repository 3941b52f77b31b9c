"""Fault plans: what strikes when, the same every time, and JSON both ways."""

import json

import pytest

from mocks.faults import KINDS, Fault, FaultPlan, longest_s, plan_from, random_plan, spoil


def test_a_fault_strikes_the_nth_piece_of_its_direction_and_only_that():
    plan = plan_from('[{"kind": "drop", "on": "reply", "at": 3}]')
    replies = [bool(plan.next_piece("reply")) for _ in range(5)]
    assert replies == [False, False, True, False, False]
    assert not any(plan.next_piece("request") for _ in range(5))
    assert [f.kind for f in plan.struck] == ["drop"]


def test_count_makes_a_fault_last_for_several_pieces():
    plan = FaultPlan((Fault("garbage", "request", 2, count=2),))
    assert [len(plan.next_piece("request")) for _ in range(4)] == [0, 1, 1, 0]


def test_timed_faults_come_in_order_and_once():
    plan = FaultPlan((Fault("reset", "time", 2.0), Fault("stall", "time", 0.5)))
    assert plan.next_time_s() == 0.5
    assert plan.take_due(0.4) == ()
    assert [f.kind for f in plan.take_due(5.0)] == ["stall", "reset"]
    assert plan.take_due(9.0) == ()
    assert plan.next_time_s() is None


@pytest.mark.parametrize(
    ("fault", "left"),
    [
        (Fault("drop"), b""),
        (Fault("drop_bytes", n_bytes=2, offset=1), b"ad"),
        (Fault("garbage", data_hex="ff00"), b"\xff\x00abcd"),
        (Fault("replace", data_hex="0000c07f"), b"\x00\x00\xc0\x7f"),
        (Fault("duplicate"), b"abcdabcd"),
        (Fault("delay"), b"abcd"),
    ],
)
def test_what_is_left_of_a_piece(fault, left):
    assert fault.spoil(b"abcd") == left


def test_faults_on_one_piece_add_up_in_order():
    faults = (Fault("drop_bytes", n_bytes=1), Fault("garbage", data_hex="21"))
    assert spoil(b"abc", faults) == b"!bc"
    waits = (Fault("delay", duration_s=0.1), Fault("delay", duration_s=0.3), Fault("stall"))
    assert longest_s(waits, "delay") == 0.3
    assert longest_s(waits, "drop") == 0.0


def test_a_random_plan_is_the_same_for_a_seed_and_differs_for_another():
    text = json.dumps({"seed": 7, "n_faults": 20, "within": 100, "kinds": ["drop", "garbage"]})
    faults = plan_from(text).faults
    assert (
        faults
        == plan_from(text).faults
        == random_plan(7, 20, 100, kinds=("drop", "garbage")).faults
    )
    assert faults != random_plan(8, 20, 100, kinds=("drop", "garbage")).faults
    assert len({f.at for f in faults}) == 20
    assert all(1 <= f.at <= 100 for f in faults)
    assert {f.kind for f in faults} == {"drop", "garbage"}


@pytest.mark.parametrize(
    "text",
    [
        '[{"kind": "explode"}]',
        '[{"kind": "drop", "on": "tuesday"}]',
        '[{"kind": "drop", "on": "time", "at": 1}]',
        '[{"kind": "drop", "at": 0}]',
        '[{"kind": "drop", "at": NaN}]',
        '[{"kind": "stall", "duration_s": -1}]',
        '[{"kind": "drop", "n_bytes": 0}]',
        '[{"kind": "garbage", "data_hex": "xy"}]',
        '[{"kind": "drop", "wat": 1}]',
        "[3]",
        "3",
        "{",
        '{"seed": 1, "n_faults": 9, "within": 3}',
    ],
)
def test_a_wrong_plan_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        plan_from(text)


def test_no_plan_means_no_faults_and_every_kind_can_be_made():
    assert plan_from("").faults == plan_from("[]").faults == ()
    assert {Fault(kind).kind for kind in KINDS} == set(KINDS)
