"""Everything off in parallel, within its time, tried three times, and each answer in a word."""

import threading

from app.safety.make_safe import make_all_safe
from drivers.safe_state import SafeReport, SafeState


class Instrument:
    """Answers `make_safe` with the next of its states."""

    def __init__(self, name: str, *states: SafeState | Exception) -> None:
        self.name = name
        self.states = list(states)
        self.n_calls = 0

    def make_safe(self) -> SafeReport:
        self.n_calls += 1
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, Exception):
            raise state
        return SafeReport(self.name, state, "test")


def test_one_report_each_in_order():
    instruments = [Instrument("a", SafeState.CONFIRMED), Instrument("b", SafeState.BY_CONSTRUCTION)]
    reports = make_all_safe(instruments)
    assert [(r.instrument, r.state) for r in reports] == [
        ("a", SafeState.CONFIRMED),
        ("b", SafeState.BY_CONSTRUCTION),
    ]
    assert [i.n_calls for i in instruments] == [1, 1]
    assert make_all_safe([]) == []


def test_what_is_not_known_to_be_off_is_tried_three_times():
    stubborn = Instrument("a", SafeState.FAILED)
    unsure = Instrument("b", SafeState.SENT)
    late = Instrument("c", SafeState.SENT, SafeState.FAILED, SafeState.CONFIRMED)
    reports = make_all_safe([stubborn, unsure, late])
    assert [r.state for r in reports] == [SafeState.FAILED, SafeState.SENT, SafeState.CONFIRMED]
    assert [i.n_calls for i in (stubborn, unsure, late)] == [3, 3, 3]


def test_no_second_try_when_the_time_is_over():
    failing = Instrument("a", SafeState.FAILED)
    make_all_safe([failing], timeout_s=0.0)
    assert failing.n_calls <= 1


def test_a_driver_that_breaks_its_promise_is_reported_and_hinders_no_other():
    reports = make_all_safe(
        [Instrument("a", OSError("gone")), Instrument("b", SafeState.CONFIRMED)]
    )
    assert reports[0].state is SafeState.FAILED
    assert "gone" in reports[0].detail
    assert reports[1].state is SafeState.CONFIRMED


def test_an_answer_counts_although_another_try_hangs():
    release = threading.Event()

    class SlowlySure(Instrument):
        def make_safe(self) -> SafeReport:
            if self.n_calls:
                release.wait(10.0)
            return super().make_safe()

    try:
        (report,) = make_all_safe([SlowlySure("a", SafeState.SENT)], timeout_s=0.05)
    finally:
        release.set()
    assert report.state is SafeState.SENT


def test_one_that_hangs_is_reported_and_ends_with_its_call():
    release = threading.Event()

    class Hanging(Instrument):
        def make_safe(self) -> SafeReport:
            release.wait(10.0)
            return super().make_safe()

    try:
        reports = make_all_safe(
            [Hanging("a", SafeState.CONFIRMED), Instrument("b", SafeState.CONFIRMED)],
            timeout_s=0.05,
        )
    finally:
        release.set()
    assert [r.state for r in reports] == [SafeState.FAILED, SafeState.CONFIRMED]
    assert reports[0].detail == "no answer in 0.05 s"
